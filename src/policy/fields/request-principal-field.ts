/** `requestPrincipals` and `request.auth.principal`: issuer and subject of the verified token, both strings. */
import type { RequestPrincipalMatcher } from '../matchers/request-principal-matcher.ts';
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class RequestPrincipalField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: readonly RequestPrincipalMatcher[];

  constructor(matchers: readonly RequestPrincipalMatcher[]) {
    this.#matchers = matchers;
    this.keys = textKeys(
      'requestPrincipal',
      matchers.map((matcher) => matcher.key),
    );
  }

  hit(view: RequestView): boolean {
    const issuer = view.stringClaim('iss');
    const subject = view.stringClaim('sub');
    if (issuer === null || subject === null) return false;
    for (const matcher of this.#matchers) {
      if (matcher.issuer.matches(issuer) && matcher.subject.matches(subject)) return true;
    }
    return false;
  }

  got(view: RequestView): readonly string[] {
    if ((view.request?.token ?? null) === null) return [];
    return [`${view.stringClaim('iss') ?? ''}/${view.stringClaim('sub') ?? ''}`];
  }
}
