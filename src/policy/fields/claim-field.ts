/**
 * `request.auth.claims[a][b]`, `request.auth.audiences` (aud), `request.auth.presenter` (azp): a claim of the verified
 * token that is a matching string or a list with a matching string. Numbers, booleans, null and objects never match.
 */
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { TextMatcher } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import type { Field, IndexKey } from './field.ts';

export class ClaimField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #path: readonly string[];
  readonly #matchers: TextMatchers;

  constructor(path: readonly string[], matchers: readonly TextMatcher[]) {
    this.#path = path;
    this.#matchers = new TextMatchers(matchers);
    this.keys = this.#matchers.keys.map((key) => ({ by: 'claim', path, key }));
  }

  hit(view: RequestView): boolean {
    const claim = claimAt(view.request?.token?.payload, this.#path);
    if (typeof claim === 'string') return this.#matchers.matchAny(claim);
    if (!Array.isArray(claim)) return false;
    for (const element of claim as readonly unknown[]) {
      if (typeof element === 'string' && this.#matchers.matchAny(element)) return true;
    }
    return false;
  }

  got(view: RequestView): readonly string[] {
    const claim = claimAt(view.request?.token?.payload, this.#path);
    if (claim === undefined) return [];
    const elements: readonly unknown[] = Array.isArray(claim) ? claim : [claim];
    return elements.map((element) => (typeof element === 'string' ? element : JSON.stringify(element)));
  }
}

/** Own properties of objects only: `__proto__` is a name like any other. undefined: there is no such claim. */
export function claimAt(payload: unknown, path: readonly string[]): unknown {
  let value = payload;
  for (const name of path) {
    if (!isObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A claim that others may be inside of. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
