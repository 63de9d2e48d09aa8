/**
 * Finds the parts of a message head (RFC 9112 §2) by position: every byte is checked against a table, and
 * nothing is decoded before the head is whole.
 *
 * Strict where leniency lets two parsers disagree: CR LF only, no folding, no space before the colon, no
 * control character anywhere. A line that is not whole is scanned again only when its LF has come, so a
 * head that drips in costs linear time.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import {
  BYTE_CLASSES,
  COLON,
  CR,
  HTAB,
  LF,
  SP,
  TARGET,
  TOKEN,
  UNDERSCORE,
  UPPER,
  VALUE,
} from './byte-classes.ts';

export type ScanResult = 'more' | 'whole' | 'error';

/** What kind of head, and so which start line, is expected. */
export type HeadKind = 'request' | 'response' | 'trailers';

export interface HeadLimits {
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
}

/** Numbers per field in `spans`: name start, name end, value start, value end. */
const SPAN = 4;

/** The spans of whichever head is being scanned: its owner reads a whole head before any other is looked at. */
let sharedSpans = new Int32Array(0);

/** One scanner serves one direction of one connection, message after message. */
export class HeadScanner {
  /** Where the head starts: after empty lines that RFC 9112 §2.2 lets a server skip. */
  start = 0;
  /** The byte after the head, when whole. */
  end = 0;
  /** Offsets of the fields, four each; of a whole head valid until the next scan, whoever's it is. */
  spans: Int32Array = sharedSpans;
  fieldCount = 0;
  /** Some name has an upper-case letter. */
  hasUpper = false;
  /** Some name has `_`. */
  hasUnderscore = false;
  /** Request: method end, target start and end; minor version. Response: status, reason start and end. */
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  minorVersion = 0;
  status = 0;
  error: ErrorCodeName = 'bug';
  errorDetail = '';

  readonly #kind: HeadKind;
  readonly #limits: HeadLimits;
  #line = 0;
  #searchFrom = 0;
  #startLineDone = false;
  /** Those of a head that comes in pieces. */
  #ownSpans: Int32Array | null = null;

  constructor(kind: HeadKind, limits: HeadLimits) {
    this.#kind = kind;
    this.#limits = limits;
    const needed = limits.maxHeaders * SPAN;
    if (sharedSpans.length < needed) sharedSpans = new Int32Array(needed);
  }

  /** Begins a head at `from`. */
  reset(from: number): void {
    this.start = from;
    this.#line = from;
    this.#searchFrom = from;
    this.fieldCount = 0;
    this.hasUpper = false;
    this.hasUnderscore = false;
    this.#ownSpans = null;
    this.#startLineDone = this.#kind === 'trailers';
  }

  /** Bytes moved to the front of a new buffer: all offsets shift by `by`. Only while the answer is `more`. */
  rebase(by: number): void {
    this.start -= by;
    this.#line -= by;
    this.#searchFrom -= by;
    this.methodEnd -= by;
    this.targetStart -= by;
    this.targetEnd -= by;
    for (let i = 0; i < this.fieldCount * SPAN; i++) this.spans[i]! -= by;
  }

  /** Scans from where the last scan stopped to the end of `bytes`. */
  scan(bytes: Uint8Array): ScanResult {
    const available = bytes.length;
    const limit = this.start + this.#limits.maxHeadBytes;
    const to = available < limit ? available : limit;
    const short = available < limit;
    let at = this.#line;
    if (short && this.#searchFrom > at && bytes.indexOf(LF, this.#searchFrom) === -1) {
      this.#searchFrom = available;
      return 'more';
    }
    this.spans = this.#ownSpans ?? sharedSpans;
    if (!this.#startLineDone) {
      // Empty lines before a request line are skipped (RFC 9112 §2.2).
      while (this.#kind === 'request' && at + 1 < to && bytes[at] === CR && bytes[at + 1] === LF) at += 2;
      this.#line = at;
      const next =
        this.#kind === 'request' ? this.#requestLine(bytes, at, to) : this.#statusLine(bytes, at, to);
      if (next < 0) return this.#stop(next, available, short);
      at = next;
      this.#line = at;
      this.#startLineDone = true;
    }
    for (;;) {
      const next = this.#fieldLine(bytes, at, to);
      if (next < 0) return this.#stop(next, available, short);
      if (next === at + 2 && bytes[at] === CR) {
        this.end = next;
        return 'whole';
      }
      at = next;
      this.#line = at;
    }
  }

  /** -1: the line is not whole; -2: `error` says what is wrong. */
  #stop(answer: number, available: number, short: boolean): ScanResult {
    if (answer === -2) return 'error';
    if (!short) return this.#tooLarge();
    this.#searchFrom = available;
    if (this.#ownSpans === null && this.fieldCount > 0) {
      this.#ownSpans = new Int32Array(this.#limits.maxHeaders * SPAN);
      this.#ownSpans.set(this.spans.subarray(0, this.fieldCount * SPAN));
      this.spans = this.#ownSpans;
    }
    return 'more';
  }

  #tooLarge(): ScanResult {
    this.error = 'head_too_large';
    this.errorDetail = `the head exceeds ${this.#limits.maxHeadBytes} bytes`;
    return 'error';
  }

  #fail(code: ErrorCodeName, detail: string): -2 {
    this.error = code;
    this.errorDetail = detail;
    return -2;
  }

  /** `METHOD SP target SP HTTP/1.x CR LF` (RFC 9112 §3). Answers where the next line starts. */
  #requestLine(bytes: Uint8Array, from: number, to: number): number {
    const table = BYTE_CLASSES;
    let at = from;
    while (at < to && (table[bytes[at]!]! & TOKEN) !== 0) at++;
    if (at === to) return -1;
    if (at === from || bytes[at] !== SP) return this.#badStart(bytes, at, from, to);
    this.methodEnd = at;
    at++;
    this.targetStart = at;
    while (at < to && (table[bytes[at]!]! & TARGET) !== 0) at++;
    if (at === to) return -1;
    if (at === this.targetStart || bytes[at] !== SP) {
      return this.#fail(
        isLineEnd(bytes[at]!) ? 'bad_request_line' : 'bad_target',
        `byte ${hex(bytes[at]!)} at ${at - from} of the request line`,
      );
    }
    this.targetEnd = at;
    at++;
    return this.#versionAndEnd(bytes, at, to, true);
  }

  /** Tells a line end in the wrong place from a character that no method has. */
  #badStart(bytes: Uint8Array, at: number, from: number, to: number): number {
    const byte = bytes[at]!;
    // One CR may be the first half of an empty line that is still to come.
    if (byte === CR && at === from && at + 1 === to) return -1;
    return this.#fail(
      isLineEnd(byte) ? 'bad_line_end' : 'bad_method',
      `byte ${hex(byte)} at ${at - from} of the request line`,
    );
  }

  /** `HTTP/1.x` and, for a request, the line's end. Compared byte by byte: no other spelling is HTTP/1. */
  #versionAndEnd(bytes: Uint8Array, from: number, to: number, lineEnds: boolean): number {
    const text = 'HTTP/1.';
    for (let i = 0; i < 7; i++) {
      if (from + i >= to) return -1;
      if (bytes[from + i] !== text.charCodeAt(i)) {
        return this.#fail('bad_http_version', `byte ${hex(bytes[from + i]!)} in the version`);
      }
    }
    if (from + 7 >= to) return -1;
    const minor = bytes[from + 7]! - 0x30;
    if (minor !== 0 && minor !== 1) return this.#fail('bad_http_version', 'the minor version is not 0 or 1');
    this.minorVersion = minor;
    return lineEnds ? this.#lineEnd(bytes, from + 8, to) : from + 8;
  }

  #lineEnd(bytes: Uint8Array, at: number, to: number): number {
    if (at >= to) return -1;
    if (bytes[at] !== CR) return this.#fail('bad_line_end', `byte ${hex(bytes[at]!)} where CR belongs`);
    if (at + 1 >= to) return -1;
    if (bytes[at + 1] !== LF)
      return this.#fail('bad_line_end', `byte ${hex(bytes[at + 1]!)} where LF belongs`);
    return at + 2;
  }

  /** `HTTP/1.x SP 3DIGIT [SP reason] CR LF` (RFC 9112 §4). The reason's span is kept in target*. */
  #statusLine(bytes: Uint8Array, from: number, to: number): number {
    const version = this.#versionAndEnd(bytes, from, to, false);
    if (version < 0) return version;
    let status = 0;
    if (version >= to) return -1;
    if (bytes[version] !== SP) return this.#fail('bad_request_line', 'no space after the version');
    for (let i = 1; i <= 3; i++) {
      if (version + i >= to) return -1;
      const digit = bytes[version + i]! - 0x30;
      if (digit < 0 || digit > 9) return this.#fail('bad_request_line', 'the status is not three digits');
      status = status * 10 + digit;
    }
    if (status < 100) return this.#fail('bad_request_line', `the status is ${status}`);
    this.status = status;
    let at = version + 4;
    if (at >= to) return -1;
    if (bytes[at] === SP) at++;
    else if (bytes[at] !== CR) return this.#fail('bad_request_line', 'the status is not three digits');
    this.targetStart = at;
    while (at < to && (BYTE_CLASSES[bytes[at]!]! & VALUE) !== 0) at++;
    this.targetEnd = at;
    return this.#lineEnd(bytes, at, to);
  }

  /** `name ":" OWS value OWS CR LF` (RFC 9112 §5), or the empty line that ends the head. */
  #fieldLine(bytes: Uint8Array, from: number, to: number): number {
    const table = BYTE_CLASSES;
    let at = from;
    let seen = 0;
    while (at < to) {
      const bits = table[bytes[at]!]!;
      if ((bits & TOKEN) === 0) break;
      seen |= bits;
      at++;
    }
    if (at === to) return -1;
    if (at === from) {
      if (bytes[at] === CR || bytes[at] === LF) return this.#lineEnd(bytes, at, to);
      if (bytes[at] === SP || bytes[at] === HTAB)
        return this.#fail('obsolete_line_folding', 'a line starts with white space');
    }
    if (at === from || bytes[at] !== COLON) {
      return this.#fail('bad_header_name', `byte ${hex(bytes[at]!)} at ${at - from} of a field line`);
    }
    const nameEnd = at;
    at++;
    while (at < to && (bytes[at] === SP || bytes[at] === HTAB)) at++;
    const valueStart = at;
    while (at < to && (table[bytes[at]!]! & VALUE) !== 0) at++;
    if (at === to) return -1;
    let valueEnd = at;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === HTAB)) valueEnd--;
    if (!isLineEnd(bytes[at]!)) return this.#fail('bad_header_value', `byte ${hex(bytes[at]!)} in a value`);
    const next = this.#lineEnd(bytes, at, to);
    if (next < 0) return next;
    if (this.fieldCount === this.#limits.maxHeaders) {
      return this.#fail('too_many_headers', `more than ${this.#limits.maxHeaders} fields`);
    }
    if ((seen & UPPER) !== 0) this.hasUpper = true;
    if ((seen & UNDERSCORE) !== 0) this.hasUnderscore = true;
    const i = this.fieldCount++ * SPAN;
    this.spans[i] = from;
    this.spans[i + 1] = nameEnd;
    this.spans[i + 2] = valueStart;
    this.spans[i + 3] = valueEnd;
    return next;
  }
}

function isLineEnd(byte: number): boolean {
  return byte === CR || byte === LF;
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
