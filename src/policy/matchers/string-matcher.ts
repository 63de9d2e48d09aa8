/**
 * Istio's string match (pilot authz/matcher/string.go) in the order of its tests: `*`, a leading star, a trailing
 * star, else the whole text. A star in the middle is a star, and so is a trailing one after a leading one.
 */
import { ExactText, NonEmptyText, PrefixText, PresentText, SuffixText } from './text-matcher.ts';
import type { TextMatcher } from './text-matcher.ts';

/** `*` wants a text that is not empty. */
export function stringMatcher(value: string): TextMatcher {
  return value === '*' ? new NonEmptyText() : affixMatcher(value);
}

/** For headers, where `*` wants the header to be there, even empty. */
export function headerMatcher(value: string): TextMatcher {
  return value === '*' ? new PresentText() : affixMatcher(value);
}

function affixMatcher(value: string): TextMatcher {
  if (value.startsWith('*')) return new SuffixText(value.slice(1));
  if (value.endsWith('*')) return new PrefixText(value.slice(0, -1));
  return new ExactText(value);
}
