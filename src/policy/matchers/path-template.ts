/**
 * Path templates, `{*}` and `{**}` (Envoy's URI template matcher): `{*}` is one segment of at least one character,
 * `{**}` any characters with slashes, even none. Both take RFC 3986's path characters only, of which `*` is one.
 *
 * One `{**}` at most and each `{*}` ended by a slash: nothing is ever tried twice, so time is linear in the path.
 */
import type { TextKey, TextMatcher } from './text-matcher.ts';

const SLASH = 47;

const SEGMENT_CHARACTERS = new Uint8Array(256);
for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+,;:@=") {
  SEGMENT_CHARACTERS[character.charCodeAt(0)] = 1;
}

/** null: no template that Envoy would take; operators stand alone between slashes, `{**}` last. */
export function parsePathTemplate(value: string): PathTemplate | null {
  const anyAt = value.indexOf('{**}');
  const literals = (anyAt === -1 ? value : value.slice(0, anyAt)).split('{*}');
  const tail = anyAt === -1 ? null : value.slice(anyAt + '{**}'.length);
  if (tail !== null && !(isLiteral(tail) && (tail === '' || tail.startsWith('/')))) return null;
  for (const [index, literal] of literals.entries()) {
    const isLast = index === literals.length - 1;
    const endsPath = isLast && tail === null;
    if (!isLiteral(literal) || !(endsPath || literal.endsWith('/'))) return null;
    if (index > 0 && !literal.startsWith('/') && !(endsPath && literal === '')) return null;
  }
  return new PathTemplate(literals, tail);
}

function isLiteral(text: string): boolean {
  return !text.includes('{') && !text.includes('}') && !text.includes('*');
}

export class PathTemplate implements TextMatcher {
  readonly key: TextKey;
  /** A `{*}` stands between each two. */
  readonly #literals: readonly string[];
  /** What follows the `{**}`; null: there is none. */
  readonly #tail: string | null;

  constructor(literals: readonly string[], tail: string | null) {
    this.#literals = literals;
    this.#tail = tail;
    const head = literals[0] ?? '';
    const end = tail ?? (literals.length > 1 ? (literals.at(-1) ?? '') : '');
    this.key = end.length > head.length ? { kind: 'suffix', text: end } : { kind: 'prefix', text: head };
  }

  matches(path: string): boolean {
    let at = 0;
    for (let i = 0; i < this.#literals.length; i++) {
      if (i > 0) {
        const end = segmentEnd(path, at);
        if (end === at) return false;
        at = end;
      }
      const literal = this.#literals[i] ?? '';
      if (!path.startsWith(literal, at)) return false;
      at += literal.length;
    }
    if (this.#tail === null) return at === path.length;
    const tailAt = path.length - this.#tail.length;
    return tailAt >= at && path.endsWith(this.#tail) && isPathText(path, at, tailAt);
  }
}

function segmentEnd(path: string, from: number): number {
  let at = from;
  while (at < path.length && SEGMENT_CHARACTERS[path.charCodeAt(at)] === 1) at++;
  return at;
}

function isPathText(path: string, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    const code = path.charCodeAt(at);
    if (code !== SLASH && SEGMENT_CHARACTERS[code] !== 1) return false;
  }
  return true;
}
