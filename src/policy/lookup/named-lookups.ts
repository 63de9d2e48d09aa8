/**
 * Look-ups by the name of a header or claim first, then by its value. A request costs what it has, not how many names
 * the rules have.
 */
import { claimAt } from '../fields/claim-field.ts';
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

interface NamedClaim {
  readonly path: readonly string[];
  readonly collected: TextCollection;
  lookup: TextLookup | null;
}

export class ClaimLookups {
  /** By the first name of their path. */
  readonly #byFirstName = new Map<string, Map<string, NamedClaim>>();
  #first: { readonly name: string; readonly claims: readonly NamedClaim[] }[] = [];

  add(path: readonly string[], key: TextKey, rank: number): void {
    const first = path[0] ?? '';
    let claims = this.#byFirstName.get(first);
    if (claims === undefined) this.#byFirstName.set(first, (claims = new Map()));
    const id = JSON.stringify(path);
    let claim = claims.get(id);
    if (claim === undefined)
      claims.set(id, (claim = { path, collected: new TextCollection(), lookup: null }));
    claim.collected.add(key, rank);
  }

  build(): void {
    this.#first = [...this.#byFirstName].map(([name, claims]) => ({ name, claims: [...claims.values()] }));
    for (const { claims } of this.#first) {
      for (const claim of claims) claim.lookup = new TextLookup(claim.collected);
    }
  }

  find(payload: Readonly<Record<string, unknown>>, sink: PostingsSink): void {
    if (this.#first.length <= 8) {
      for (const { claims } of this.#first) findClaims(claims, payload, sink);
      return;
    }
    for (const name of Object.keys(payload)) {
      const claims = this.#byFirstName.get(name);
      if (claims !== undefined) findClaims(claims.values(), payload, sink);
    }
  }
}

function findClaims(
  claims: Iterable<NamedClaim>,
  payload: Readonly<Record<string, unknown>>,
  sink: PostingsSink,
): void {
  for (const { path, lookup } of claims) {
    const claim = claimAt(payload, path);
    if (typeof claim === 'string') {
      lookup?.find(claim, sink);
    } else if (Array.isArray(claim)) {
      for (const element of claim as readonly unknown[]) {
        if (typeof element === 'string') lookup?.find(element, sink);
      }
    }
  }
}
