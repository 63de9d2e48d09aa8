/**
 * `namespaces` and `source.namespace`: Istio's `/ns/<value>/` anywhere in the whole identity, in which each star of the
 * value stands for any characters, slashes too. Found piece by piece from the left, so in linear time.
 */

export class NamespaceMatcher {
  /** What follows some `/ns/` of every identity that matches. */
  readonly tailPrefix: string;
  readonly #pieces: readonly string[];

  constructor(value: string) {
    const pieces = `/ns/${value}/`.split('*');
    this.#pieces = pieces;
    this.tailPrefix = pieces[0]?.slice('/ns/'.length) ?? '';
  }

  matches(identity: string): boolean {
    let from = 0;
    for (const piece of this.#pieces) {
      const at = identity.indexOf(piece, from);
      if (at === -1) return false;
      from = at + piece.length;
    }
    return !identity.includes('\n');
  }
}
