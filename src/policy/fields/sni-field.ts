/** `connection.sni`: the server name of the ClientHello, which reaches us in lower case. */
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { TextMatcher } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class SniField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: TextMatchers;

  constructor(matchers: readonly TextMatcher[]) {
    this.#matchers = new TextMatchers(matchers);
    this.keys = textKeys('sni', this.#matchers.keys);
  }

  hit(view: RequestView): boolean {
    return this.#matchers.matchAny(view.connection.facts.sni);
  }

  got(view: RequestView): readonly string[] {
    return [view.connection.facts.sni];
  }
}
