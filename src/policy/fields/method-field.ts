/** `methods`: case-sensitive; gRPC is always POST. */
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { TextMatcher } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class MethodField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: TextMatchers;

  constructor(matchers: readonly TextMatcher[]) {
    this.#matchers = new TextMatchers(matchers);
    this.keys = textKeys('method', this.#matchers.keys);
  }

  hit(view: RequestView): boolean {
    return this.#matchers.matchAny(view.method);
  }

  got(view: RequestView): readonly string[] {
    return [view.method];
  }
}
