/**
 * `principals` and `source.principal` (Istio's StringMatcherWithPrefix): what is written stands after `spiffe://`.
 */
import { ExactText, NonEmptyText, PrefixText } from './text-matcher.ts';
import type { TextKey, TextMatcher } from './text-matcher.ts';

const SCHEME = 'spiffe://';

export function principalMatcher(value: string): TextMatcher {
  if (value === '*') return new NonEmptyText();
  if (value.startsWith('*')) return new PrincipalSuffix(value.slice(1));
  if (value.endsWith('*')) return new PrefixText(SCHEME + value.slice(0, -1));
  return new ExactText(SCHEME + value);
}

/** `spiffe://.*` and the suffix, which does not overlap the scheme. */
class PrincipalSuffix implements TextMatcher {
  readonly key: TextKey;
  readonly #suffix: string;

  constructor(suffix: string) {
    this.key = { kind: 'suffix', text: suffix };
    this.#suffix = suffix;
  }

  matches(identity: string): boolean {
    return (
      identity.length >= SCHEME.length + this.#suffix.length &&
      identity.startsWith(SCHEME) &&
      identity.endsWith(this.#suffix) &&
      !identity.includes('\n')
    );
  }
}
