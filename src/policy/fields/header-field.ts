/**
 * `request.headers[name]` as Envoy 1.40 matches it: each copy of a header by itself, any hit wins; headers of which
 * Envoy keeps one slot are joined with commas first. DENY and CUSTOM look at both (row of differences): neither a
 * second copy nor a joined one slips past a rule.
 */
import type { TextMatcher } from '../matchers/text-matcher.ts';
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { RequestView } from '../request-view.ts';
import type { Field, IndexKey } from './field.ts';
import { collectValues, joinAll, joinSlot } from './header-values.ts';
import { SINGLE_SLOT_HEADERS } from './single-slot-headers.ts';

/** `envoy`: joined or each by itself. `strict`: both. */
export type HeaderCopies = 'envoy' | 'strict';

export class HeaderField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #name: string;
  readonly #isSingleSlot: boolean;
  readonly #copies: HeaderCopies;
  readonly #matchers: TextMatchers;

  constructor(name: string, matchers: readonly TextMatcher[], copies: HeaderCopies) {
    const lower = name.toLowerCase();
    this.#name = lower === 'host' ? ':authority' : lower;
    this.#isSingleSlot = SINGLE_SLOT_HEADERS.has(this.#name);
    this.#copies = copies;
    this.#matchers = new TextMatchers(matchers);
    this.keys = this.#matchers.keys.map((key) => ({ by: 'header', name: this.#name, key }));
  }

  hit(view: RequestView): boolean {
    const values = collectValues(view, this.#name);
    if (values.length === 0) return false;
    if (values.length === 1) return this.#matchers.matchAny(values[0] ?? '');
    if (this.#isSingleSlot || this.#copies === 'strict') {
      if (this.#matchers.matchAny(this.#isSingleSlot ? joinSlot(values) : joinAll(values))) return true;
      if (this.#copies !== 'strict') return false;
    }
    for (const value of values) {
      if (this.#matchers.matchAny(value)) return true;
    }
    return false;
  }

  got(view: RequestView): readonly string[] {
    const values = collectValues(view, this.#name);
    return this.#isSingleSlot && values.length > 1 ? [joinSlot(values)] : values;
  }
}
