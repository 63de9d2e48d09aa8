/** The key sets that the control half fetched, by name, for one data half; they outlive snapshots. */
import type { FetchedKeySet } from '../core/jwt-plan.ts';
import { parseKeySet } from './jwt-key-set.ts';
import type { KeySet } from './jwt-key-set.ts';

export class JwtKeySets {
  readonly #sets = new Map<string, { readonly text: string; readonly set: KeySet }>();
  #version = 0;

  /** Grows whenever a key set changes. */
  get version(): number {
    return this.#version;
  }

  /** Each replaces what was known under its name; one that says the same as before changes nothing. */
  put(sets: readonly FetchedKeySet[]): void {
    for (const { jwks, name } of sets) {
      if (jwks === null) {
        if (this.#sets.delete(name)) this.#version++;
      } else if (this.#sets.get(name)?.text !== jwks) {
        this.#sets.set(name, { text: jwks, set: parseKeySet(jwks) });
        this.#version++;
      }
    }
  }

  /** null: it was never fetched. */
  get(name: string): KeySet | null {
    return this.#sets.get(name)?.set ?? null;
  }
}
