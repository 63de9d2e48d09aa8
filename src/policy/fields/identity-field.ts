/**
 * Fields on the peer's proved identity: `principals`, `namespaces`, `serviceAccounts`, `trustDomains`. Each identity
 * of the peer is tried; a peer without one matches nothing.
 */
import type { RequestView } from '../request-view.ts';
import type { Field, IndexKey } from './field.ts';

interface IdentityMatcher {
  matches(identity: string): boolean;
}

export class IdentityField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: readonly IdentityMatcher[];

  constructor(matchers: readonly IdentityMatcher[], keys: readonly IndexKey[]) {
    this.keys = keys;
    this.#matchers = matchers;
  }

  hit(view: RequestView): boolean {
    for (const identity of view.connection.facts.identities) {
      for (const matcher of this.#matchers) {
        if (matcher.matches(identity)) return true;
      }
    }
    return false;
  }

  /** As principals are written in policies. */
  got(view: RequestView): readonly string[] {
    return view.connection.facts.identities.map((identity) =>
      identity.startsWith('spiffe://') ? identity.slice('spiffe://'.length) : identity,
    );
  }
}
