/** `paths`: the normalised path without query and fragment, case-sensitive. */
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { TextMatcher } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class PathField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: TextMatchers;

  constructor(matchers: readonly TextMatcher[]) {
    this.#matchers = new TextMatchers(matchers);
    this.keys = textKeys('path', this.#matchers.keys);
  }

  hit(view: RequestView): boolean {
    return this.#matchers.matchAny(view.path);
  }

  got(view: RequestView): readonly string[] {
    return [view.path];
  }
}
