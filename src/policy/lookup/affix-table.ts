/**
 * All stored prefixes (or suffixes) of a text in one pass, whatever their number: a hash rolls along the text and is
 * looked up at the lengths that occur. Keys come from policies alone, so no peer can crowd a slot.
 */
import type { Postings, PostingsSink } from './postings.ts';

const SEED = 0x811c9dc5 | 0;
const PRIME = 0x01000193;

interface Entry {
  readonly hash: number;
  readonly text: string;
  readonly postings: Postings;
}

export class AffixTable {
  readonly #fromEnd: boolean;
  /** By length: whether an entry has it. */
  readonly #lengths: Uint8Array;
  readonly #slots: (Entry | undefined)[];
  readonly #mask: number;

  constructor(entries: ReadonlyMap<string, Postings>, side: 'prefix' | 'suffix') {
    this.#fromEnd = side === 'suffix';
    let longest = 0;
    for (const text of entries.keys()) longest = Math.max(longest, text.length);
    this.#lengths = new Uint8Array(longest + 1);
    let size = 4;
    while (size < entries.size * 4) size *= 2;
    this.#mask = size - 1;
    this.#slots = Array.from({ length: size }, () => undefined);
    for (const [text, postings] of entries) this.#add(text, postings);
  }

  /** Affixes of `text`, of which prefixes begin at `from`. */
  find(text: string, from: number, sink: PostingsSink): void {
    const lengths = this.#lengths;
    const available = text.length - from;
    const longest = available < lengths.length - 1 ? available : lengths.length - 1;
    let hash = SEED;
    if (lengths[0] === 1) this.#probe(hash, text, from, 0, sink);
    for (let length = 1; length <= longest; length++) {
      const at = this.#fromEnd ? text.length - length : from + length - 1;
      hash = Math.imul(hash ^ text.charCodeAt(at), PRIME);
      if (lengths[length] === 1) this.#probe(hash, text, from, length, sink);
    }
  }

  #probe(hash: number, text: string, from: number, length: number, sink: PostingsSink): void {
    let slot = slotOf(hash) & this.#mask;
    for (;;) {
      const entry = this.#slots[slot];
      if (entry === undefined) return;
      if (entry.hash === hash && entry.text.length === length) {
        const isHit = this.#fromEnd ? text.endsWith(entry.text) : text.startsWith(entry.text, from);
        if (isHit) {
          sink.consider(entry.postings);
          return;
        }
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  #add(text: string, postings: Postings): void {
    let hash = SEED;
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(this.#fromEnd ? text.length - 1 - i : i), PRIME);
    }
    this.#lengths[text.length] = 1;
    let slot = slotOf(hash) & this.#mask;
    while (this.#slots[slot] !== undefined) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = { hash, text, postings };
  }
}

/** The low bits of the rolling hash know only the last characters well. */
function slotOf(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 7;
}
