/**
 * The values of one field, any of which may match. Many whole texts are one look-up.
 */
import { ExactText } from './text-matcher.ts';
import type { TextKey, TextMatcher } from './text-matcher.ts';

/** Below this, comparing one by one is faster than hashing. */
const SET_FROM = 8;

export class TextMatchers {
  readonly keys: readonly TextKey[];
  readonly #whole: ReadonlySet<string> | null;
  readonly #others: readonly TextMatcher[];

  constructor(matchers: readonly TextMatcher[]) {
    this.keys = matchers.map((matcher) => matcher.key);
    const whole = matchers.filter((matcher) => matcher instanceof ExactText);
    const isMany = whole.length >= SET_FROM;
    this.#whole = isMany ? new Set(whole.map((matcher) => matcher.key.text)) : null;
    this.#others = isMany ? matchers.filter((matcher) => !(matcher instanceof ExactText)) : matchers;
  }

  matchAny(text: string): boolean {
    if (this.#whole?.has(text) === true) return true;
    for (const matcher of this.#others) {
      if (matcher.matches(text)) return true;
    }
    return false;
  }
}
