/**
 * How one wanted text is compared with one given text: whole, by its beginning, by its end, or by being there.
 * Every comparison takes time linear in the text; nothing that a user writes becomes a regular expression.
 */

/** What every text that matches has in common: the key it is looked up by. A prefix of '' is any text. */
export interface TextKey {
  readonly kind: 'exact' | 'prefix' | 'suffix';
  readonly text: string;
}

export interface TextMatcher {
  readonly key: TextKey;
  matches(text: string): boolean;
}

const ANY: TextKey = { kind: 'prefix', text: '' };

export class ExactText implements TextMatcher {
  readonly key: TextKey;
  readonly #text: string;

  constructor(text: string) {
    this.key = { kind: 'exact', text };
    this.#text = text;
  }

  matches(text: string): boolean {
    return text === this.#text;
  }
}

export class PrefixText implements TextMatcher {
  readonly key: TextKey;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.key = { kind: 'prefix', text: prefix };
    this.#prefix = prefix;
  }

  matches(text: string): boolean {
    return text.startsWith(this.#prefix);
  }
}

export class SuffixText implements TextMatcher {
  readonly key: TextKey;
  readonly #suffix: string;

  constructor(suffix: string) {
    this.key = { kind: 'suffix', text: suffix };
    this.#suffix = suffix;
  }

  matches(text: string): boolean {
    return text.endsWith(this.#suffix);
  }
}

/** Envoy's `.+`, a full match of RE2: at least one character, and no line feed. */
export class NonEmptyText implements TextMatcher {
  readonly key: TextKey = ANY;

  matches(text: string): boolean {
    return text !== '' && !text.includes('\n');
  }
}

/** Present, be it empty: what `*` means for headers. */
export class PresentText implements TextMatcher {
  readonly key: TextKey = ANY;

  matches(_text: string): boolean {
    return true;
  }
}
