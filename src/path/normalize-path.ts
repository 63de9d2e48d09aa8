/**
 * Path normalisation in Istio's four modes (MeshConfig.pathNormalization), answer for answer as Envoy 1.40.
 *
 * The query is never touched. The normalised path is what filters judge and what the upstream receives.
 * Linear in the path's length; a path with nothing to do comes back as the same string.
 *
 *   DECODE only: %2F %5C → / \  ─▶  `/..;x/` → `/../`  ─▶  escapes, `\`, dot segments  ─▶  MERGE, DECODE: // → /
 */

/** MeshConfig.pathNormalization.normalization; `DEFAULT` is `BASE`. */
export type NormalizationMode = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

const SLASH = 0x2f;
const BACKSLASH = 0x5c;
const DOT = 0x2e;
const PERCENT = 0x25;
const QUERY = 0x3f;

/** Stays as it is, escaped or not. */
const PASS = 0;
/** Written as `%XX` where it stands bare; an escape of it stays. */
const ENCODE = 1;
/** Unreserved (RFC 3986 §2.3): its escape is decoded. */
const DECODE = 2;
/** Neither bare nor escaped: the path cannot be normalised. */
const FORBIDDEN = 3;
/** Looked at together with its neighbours: `/`, `\`, `.`, `%`, `?`. */
const STRUCTURE = 4;

const CLASS: Uint8Array = new Uint8Array(256).fill(ENCODE);
const classify = (chars: string, charClass: number): void => {
  for (const char of chars) CLASS[char.charCodeAt(0)] = charClass;
};
classify('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~', DECODE);
classify("!$&'()*+,:;=@[]", PASS);
classify('/\\.%?', STRUCTURE);
classify('\0', FORBIDDEN);

const HEX_DIGITS = '0123456789ABCDEF';

/** The value of a hexadecimal digit, 255 for any other byte. */
const HEX_VALUE: Uint8Array = new Uint8Array(256).fill(255);
for (let value = 0; value < 16; value++) {
  const digit = HEX_DIGITS[value]!;
  HEX_VALUE[digit.charCodeAt(0)] = value;
  HEX_VALUE[digit.toLowerCase().charCodeAt(0)] = value;
}

/** Answers path and query with the path normalised; null: it cannot be (`path_normalization_failed`). */
export function normalizePath(path: string, mode: NormalizationMode): string | null {
  if (mode === 'NONE' || path === '*') return path;
  const decodes = mode === 'DECODE_AND_MERGE_SLASHES';
  if (isNormal(path, decodes, mode !== 'BASE')) return path;
  const queryAt = path.indexOf('?');
  const query = queryAt === -1 ? '' : path.slice(queryAt);
  let bare = queryAt === -1 ? path : path.slice(0, queryAt);
  if (decodes) bare = decodeSlashes(bare);
  if (bare.includes('.;')) bare = stripDotParameters(bare);
  const writer = new PathWriter(bare);
  if (!writer.run()) return null;
  if (mode !== 'BASE') writer.mergeSlashes();
  return writer.text() + query;
}

/** Proves that nothing is to be done; may answer false for a path that stays as it is. */
function isNormal(path: string, decodes: boolean, merges: boolean): boolean {
  if (path.charCodeAt(0) !== SLASH) return false;
  for (let i = 1, before = SLASH; i < path.length; i++) {
    const code = path.charCodeAt(i);
    const charClass = code > 0xff ? FORBIDDEN : CLASS[code]!;
    if (charClass === STRUCTURE) {
      if (code === QUERY) return true;
      if (code === BACKSLASH) return false;
      if (code === SLASH) {
        if (before === SLASH && merges) return false;
      } else if (code === DOT) {
        if (before === SLASH && !isNameAfterDot(path.charCodeAt(i + 1))) return false;
      } else {
        const value = escapeAt(path, i);
        // Below 0: no escape at all, which the writer must see in its surroundings.
        if (value <= 0 || value === DOT || CLASS[value] === DECODE) return false;
        if (decodes && (value === SLASH || value === BACKSLASH)) return false;
        i += 2;
      }
    } else if (charClass === ENCODE || charClass === FORBIDDEN) return false;
    before = code;
  }
  return true;
}

/** Whether `/.` with this character after it begins a plain name, such as `/.well-known`. */
function isNameAfterDot(code: number): boolean {
  return code <= 0xff && CLASS[code] === DECODE;
}

/** The value of the escape that begins at `at`, -1 if there is none. */
function escapeAt(text: string, at: number): number {
  const high = HEX_VALUE[text.charCodeAt(at + 1)] ?? 255;
  const low = HEX_VALUE[text.charCodeAt(at + 2)] ?? 255;
  return high === 255 || low === 255 ? -1 : high * 16 + low;
}

function decodeSlashes(path: string): string {
  return path.replaceAll(/%(?:2[Ff]|5[Cc])/g, (escape) => (escape[1] === '2' ? '/' : '\\'));
}

/**
 * Takes parameters off segments that are a dot or two dots before one, as servlet containers will.
 * Only bare ones between forward slashes: `%2e.;` and `\..;` stay, in Envoy as here.
 */
function stripDotParameters(path: string): string {
  return path.replaceAll(/(?<=^|\/)(\.\.?);[^/]*/g, '$1');
}

/** Writes one normalised path. */
class PathWriter {
  readonly #in: string;
  readonly #out: Buffer;
  #length = 0;
  /** Where the last `%` that begins no escape was written; -1: none that could still become one. */
  #strayPercentAt = -1;

  constructor(path: string) {
    this.#in = path.charCodeAt(0) === SLASH || path.charCodeAt(0) === BACKSLASH ? path : `/${path}`;
    this.#out = Buffer.allocUnsafe(this.#in.length * 3 + 4);
  }

  /** False: the path holds NUL in some form, or something that is no byte. */
  run(): boolean {
    const path = this.#in;
    for (let i = 0; i < path.length;) {
      const code = path.charCodeAt(i);
      if (code > 0xff) return false;
      const charClass = CLASS[code]!;
      const dot = dotLength(path, i);
      if (dot > 0) {
        i += this.#dot(i, dot);
      } else if (code === PERCENT) {
        const value = escapeAt(path, i);
        if (value === 0) return false;
        i += this.#escape(i, value);
      } else if (charClass === ENCODE) {
        this.#push(PERCENT);
        this.#push(HEX_DIGITS.charCodeAt(code >> 4));
        this.#push(HEX_DIGITS.charCodeAt(code & 15));
        i++;
      } else if (charClass === FORBIDDEN) {
        return false;
      } else {
        this.#push(code === BACKSLASH ? SLASH : code);
        i++;
      }
    }
    return true;
  }

  /** Leaves one of every run of slashes, but two where there is nothing else: `//` stays in Envoy. */
  mergeSlashes(): void {
    const out = this.#out;
    let to = 0;
    for (let from = 0; from < this.#length; from++) {
      if (out[from] === SLASH && to > 0 && out[to - 1] === SLASH) continue;
      out[to++] = out[from]!;
    }
    this.#length = to === 1 && this.#length > 1 ? 2 : to;
  }

  text(): string {
    return this.#out.toString('latin1', 0, this.#length);
  }

  /** Answers how many characters the dot and what belongs to it took. */
  #dot(at: number, dot: number): number {
    const path = this.#in;
    const after = at + dot;
    if (this.#last() === SLASH) {
      if (after >= path.length) return dot;
      if (isSlash(path.charCodeAt(after))) return dot + 1;
      const second = dotLength(path, after);
      const end = after + second;
      if (second > 0 && (end >= path.length || isSlash(path.charCodeAt(end)))) {
        this.#leaveSegment();
        return dot + second + (end >= path.length ? 0 : 1);
      }
    }
    this.#push(DOT);
    return dot;
  }

  /** `value` below 0: the `%` begins no escape. Answers how many characters were taken. */
  #escape(at: number, value: number): number {
    if (value < 0) {
      this.#strayPercentAt = this.#length;
      this.#push(PERCENT);
      return 1;
    }
    if (CLASS[value] === DECODE) {
      this.#push(value);
      if (this.#strayPercentAt >= 0 && this.#strayPercentAt >= this.#length - 3) this.#defuse(at + 3);
      return 3;
    }
    // The case of its digits stays: a server may tell them apart.
    for (let i = at; i < at + 3; i++) this.#push(this.#in.charCodeAt(i));
    return 3;
  }

  /**
   * A decoded character may complete an escape that the sender never wrote (`%%32e` → `%2e`): the stray `%`
   * before it then becomes `%25`. `next` is the first character not yet read.
   */
  #defuse(next: number): void {
    const percentAt = this.#strayPercentAt;
    const out = this.#out;
    const first = HEX_VALUE[out[percentAt + 1]!]!;
    if (percentAt === this.#length - 2) {
      const code = next < this.#in.length ? this.#in.charCodeAt(next) : 0;
      if (first === 255 || code > 0xff || HEX_VALUE[code] === 255) return;
    } else if (first === 255 || HEX_VALUE[out[percentAt + 2]!] === 255) return;
    out.copyWithin(percentAt + 3, percentAt + 1, this.#length);
    out[percentAt + 1] = 0x32;
    out[percentAt + 2] = 0x35;
    this.#length += 2;
  }

  /** Drops the last segment; the text ends with a slash before and after. */
  #leaveSegment(): void {
    if (this.#length <= 1) return;
    this.#length = this.#out.lastIndexOf(SLASH, this.#length - 2) + 1;
    if (this.#strayPercentAt >= this.#length) this.#strayPercentAt = -1;
  }

  #last(): number {
    return this.#length === 0 ? 0 : this.#out[this.#length - 1]!;
  }

  #push(code: number): void {
    this.#out[this.#length++] = code;
  }
}

function isSlash(code: number): boolean {
  return code === SLASH || code === BACKSLASH;
}

/** 1 for `.`, 3 for `%2e` and `%2E`, else 0. */
function dotLength(path: string, at: number): number {
  const code = path.charCodeAt(at);
  if (code === DOT) return 1;
  return code === PERCENT && escapeAt(path, at) === DOT ? 3 : 0;
}
