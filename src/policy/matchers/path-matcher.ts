/**
 * `paths`: a string match or a template, both over the path without query and fragment.
 */
import { isPathTemplate } from '../../core/policy-notation.ts';
import { parsePathTemplate } from './path-template.ts';
import { stringMatcher } from './string-matcher.ts';
import type { TextMatcher } from './text-matcher.ts';
import { wireText } from './wire-text.ts';

/** null: a template that nothing can be made of. */
export function pathMatcher(value: string): TextMatcher | null {
  return isPathTemplate(value) ? parsePathTemplate(value) : stringMatcher(wireText(value));
}
