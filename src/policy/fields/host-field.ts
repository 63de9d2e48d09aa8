/**
 * `hosts`: host and port as received, without regard to case. Where a match refuses or reports (DENY, CUSTOM, AUDIT),
 * a host also matches with any port and with a trailing dot, so that neither slips past a rule (row of differences).
 */
import { TextMatchers } from '../matchers/text-matchers.ts';
import type { TextMatcher } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class HostField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #matchers: TextMatchers;
  readonly #anyForm: boolean;

  constructor(matchers: readonly TextMatcher[], anyForm: boolean) {
    this.#matchers = new TextMatchers(matchers);
    this.#anyForm = anyForm;
    this.keys = textKeys('host', this.#matchers.keys);
  }

  hit(view: RequestView): boolean {
    if (this.#matchers.matchAny(view.host)) return true;
    if (!this.#anyForm) return false;
    for (const form of view.hostForms) {
      if (this.#matchers.matchAny(form)) return true;
    }
    return false;
  }

  got(view: RequestView): readonly string[] {
    return view.request === null ? [] : [view.request.authority];
  }
}
