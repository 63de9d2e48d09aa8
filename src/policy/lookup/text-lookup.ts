/**
 * From a text to the rules that want it whole, its beginning or its end.
 */
import { AffixTable } from './affix-table.ts';
import type { TextKey } from '../matchers/text-matcher.ts';
import type { Postings, PostingsSink } from './postings.ts';

export class TextLookup {
  readonly #whole: ReadonlyMap<string, Postings>;
  readonly #prefixes: AffixTable | null;
  readonly #suffixes: AffixTable | null;

  constructor(collected: TextCollection) {
    this.#whole = collected.exact;
    this.#prefixes = collected.prefix.size === 0 ? null : new AffixTable(collected.prefix, 'prefix');
    this.#suffixes = collected.suffix.size === 0 ? null : new AffixTable(collected.suffix, 'suffix');
  }

  find(text: string, sink: PostingsSink): void {
    this.findWhole(text, sink);
    this.findPrefixes(text, 0, sink);
    this.#suffixes?.find(text, 0, sink);
  }

  findWhole(text: string, sink: PostingsSink): void {
    if (this.#whole.size === 0) return;
    const postings = this.#whole.get(text);
    if (postings !== undefined) sink.consider(postings);
  }

  findPrefixes(text: string, from: number, sink: PostingsSink): void {
    this.#prefixes?.find(text, from, sink);
  }
}

/** What a `TextLookup` is built from. */
export class TextCollection {
  readonly exact: Map<string, number[]> = new Map();
  readonly prefix: Map<string, number[]> = new Map();
  readonly suffix: Map<string, number[]> = new Map();

  /** Ranks come in ascending order. */
  add(key: TextKey, rank: number): void {
    const texts = this[key.kind];
    const ranks = texts.get(key.text);
    if (ranks === undefined) texts.set(key.text, [rank]);
    else if (ranks.at(-1) !== rank) ranks.push(rank);
  }
}
