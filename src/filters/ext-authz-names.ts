/** A provider's list of field names: `exact`, `pre*`, `*suf`, in lower case as fields are. */

export class HeaderNames {
  readonly #exact = new Set<string>();
  readonly #prefixes: string[] = [];
  readonly #suffixes: string[] = [];

  constructor(patterns: readonly string[]) {
    for (const pattern of patterns) {
      const lower = pattern.toLowerCase();
      if (lower.endsWith('*')) this.#prefixes.push(lower.slice(0, -1));
      else if (lower.startsWith('*')) this.#suffixes.push(lower.slice(1));
      else this.#exact.add(lower);
    }
  }

  has(lowerName: string): boolean {
    if (this.#exact.has(lowerName)) return true;
    for (const prefix of this.#prefixes) if (lowerName.startsWith(prefix)) return true;
    for (const suffix of this.#suffixes) if (lowerName.endsWith(suffix)) return true;
    return false;
  }
}
