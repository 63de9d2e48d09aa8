/**
 * Names of fields that only this proxy gives, as what a token proved: nobody else's field of such a name reaches the
 * app, neither one that a CGI-style app reads as the same name (`_` for `-`) nor one in the trailers.
 */
import type { Fields } from './fields.ts';

export class ReservedNames {
  /** With `-` for `_`. */
  readonly #dashed: ReadonlySet<string>;

  /** In lower case. */
  constructor(names: readonly string[]) {
    this.#dashed = new Set(names.map(dashed));
  }

  has(lowerName: string): boolean {
    return this.#dashed.size > 0 && this.#dashed.has(dashed(lowerName));
  }

  removeFrom(fields: Fields): void {
    if (this.#dashed.size === 0) return;
    let to = 0;
    for (let from = 0; from < fields.length; from += 2) {
      if (this.has(fields[from]!)) continue;
      if (to !== from) {
        fields[to] = fields[from]!;
        fields[to + 1] = fields[from + 1]!;
      }
      to += 2;
    }
    fields.length = to;
  }
}

export const NO_RESERVED_NAMES: ReservedNames = new ReservedNames([]);

function dashed(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name;
}
