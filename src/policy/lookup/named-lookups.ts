/**
 * Look-ups by the name of a header or claim first, then by its value. A request costs what it has, not how many names
 * the rules have.
 */
import { isObject } from '../fields/claim-field.ts';
import { collectValues, joinAll, joinSlot } from '../fields/header-values.ts';
import type { TextKey } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';
import type { PostingsSink } from './postings.ts';
import { TextCollection, TextLookup } from './text-lookup.ts';

/** Headers that rules may name and that are not among the fields of a head. */
const OUTSIDE_FIELDS: readonly string[] = [
  ':authority',
  ':path',
  ':method',
  ':scheme',
  'content-length',
  'te',
  'expect',
];

export class HeaderLookups {
  readonly #collected = new Map<string, TextCollection>();
  readonly #lookups = new Map<string, TextLookup>();

  add(name: string, key: TextKey, rank: number): void {
    let collected = this.#collected.get(name);
    if (collected === undefined) this.#collected.set(name, (collected = new TextCollection()));
    collected.add(key, rank);
  }

  build(): void {
    for (const [name, collected] of this.#collected) this.#lookups.set(name, new TextLookup(collected));
    this.#collected.clear();
  }

  find(view: RequestView, sink: PostingsSink): void {
    if (this.#lookups.size === 0) return;
    for (const name of OUTSIDE_FIELDS) this.#findNamed(view, name, sink);
    const fields = view.request?.fields ?? [];
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? '';
      // All copies are looked up with the first of them.
      if (this.#lookups.has(name) && !isLaterCopy(fields, i)) this.#findNamed(view, name, sink);
    }
  }

  #findNamed(view: RequestView, name: string, sink: PostingsSink): void {
    const lookup = this.#lookups.get(name);
    if (lookup === undefined) return;
    const values = collectValues(view, name);
    for (const value of values) lookup.find(value, sink);
    if (values.length < 2) return;
    lookup.find(joinAll(values), sink);
    lookup.find(joinSlot(values), sink);
  }
}

function isLaterCopy(fields: readonly string[], at: number): boolean {
  for (let i = 0; i < at; i += 2) {
    if (fields[i] === fields[at]) return true;
  }
  return false;
}

/** Below this many names it is cheaper to ask for each than to go through what a token has. */
const FEW_NAMES = 8;

/** Claims as a tree of names: a token costs what it has, however many paths the rules have. */
export class ClaimLookups {
  readonly #root = new ClaimNode();

  add(path: readonly string[], key: TextKey, rank: number): void {
    let node = this.#root;
    for (const name of path) {
      let next = node.inside.get(name);
      if (next === undefined) node.inside.set(name, (next = new ClaimNode()));
      node = next;
    }
    node.add(key, rank);
  }

  build(): void {
    this.#root.build();
  }

  find(payload: Readonly<Record<string, unknown>>, sink: PostingsSink): void {
    this.#root.find(payload, sink);
  }
}

/** One claim: what rules want of it, and of the claims inside it. */
class ClaimNode {
  readonly inside = new Map<string, ClaimNode>();
  #collected: TextCollection | null = null;
  #lookup: TextLookup | null = null;

  add(key: TextKey, rank: number): void {
    this.#collected ??= new TextCollection();
    this.#collected.add(key, rank);
  }

  build(): void {
    if (this.#collected !== null) this.#lookup = new TextLookup(this.#collected);
    this.#collected = null;
    for (const node of this.inside.values()) node.build();
  }

  find(claim: unknown, sink: PostingsSink): void {
    if (this.#lookup !== null) findTexts(this.#lookup, claim, sink);
    if (this.inside.size === 0 || !isObject(claim)) return;
    if (this.inside.size <= FEW_NAMES) {
      for (const [name, node] of this.inside) if (Object.hasOwn(claim, name)) node.find(claim[name], sink);
      return;
    }
    for (const name of Object.keys(claim)) this.inside.get(name)?.find(claim[name], sink);
  }
}

function findTexts(lookup: TextLookup, claim: unknown, sink: PostingsSink): void {
  if (typeof claim === 'string') lookup.find(claim, sink);
  else if (Array.isArray(claim)) {
    for (const element of claim as readonly unknown[]) {
      if (typeof element === 'string') lookup.find(element, sink);
    }
  }
}
