/**
 * A strict reader of DER (X.690 §8.1, §10.1): it walks elements forward and never past the bytes it was given.
 *
 * It refuses indefinite and non-minimal lengths, long-form tags, and nesting past 16. No recursion, no copies.
 */

/** The bytes are not DER where they have to be; the message says what and at which offset. */
export class DerError extends Error {
  constructor(problem: string, at: number) {
    super(`${problem} at byte ${at}`);
    this.name = 'DerError';
  }
}

export const TAG_BOOLEAN = 0x01;
export const TAG_INTEGER = 0x02;
export const TAG_BIT_STRING = 0x03;
export const TAG_OCTET_STRING = 0x04;
export const TAG_OID = 0x06;
export const TAG_UTC_TIME = 0x17;
export const TAG_GENERALIZED_TIME = 0x18;
export const TAG_SEQUENCE = 0x30;
export const TAG_SET = 0x31;

const MAX_DEPTH = 16;

/**
 * Walks the elements between two offsets. After `next()` the element is described by `tag`, and its content
 * lies in `bytes` from `start` to `end`; `at` is where the whole element begins.
 */
export class DerReader {
  readonly bytes: Uint8Array;
  tag = 0;
  at = 0;
  start = 0;
  end = 0;
  readonly #limit: number;
  readonly #depth: number;
  #next: number;

  constructor(bytes: Uint8Array, from = 0, limit: number = bytes.length, depth = 0) {
    this.bytes = bytes;
    this.#next = from;
    this.#limit = limit;
    this.#depth = depth;
  }

  get atEnd(): boolean {
    return this.#next === this.#limit;
  }

  /** The tag of the element to come, or -1 at the end. */
  get peek(): number {
    return this.#next < this.#limit ? this.bytes[this.#next]! : -1;
  }

  /** Reads the next element's tag and length. */
  next(): void {
    const { bytes } = this;
    const limit = this.#limit;
    let i = this.#next;
    if (i + 2 > limit) throw new DerError('the element is cut off', i);
    const tag = bytes[i]!;
    if ((tag & 0x1f) === 0x1f) throw new DerError('the tag is in long form', i);
    let length = bytes[i + 1]!;
    i += 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0) throw new DerError('the length is indefinite', i - 1);
      if (count > 3) throw new DerError('the length is over 16 MiB', i - 1);
      if (i + count > limit) throw new DerError('the length is cut off', i - 1);
      length = 0;
      for (let k = 0; k < count; k++) length = (length << 8) | bytes[i + k]!;
      // Shortest form: 0x80 needs one byte, 0x100 two, 0x10000 three.
      if (length < 0x80 || (count > 1 && length < 1 << (8 * (count - 1))))
        throw new DerError('the length is not in its shortest form', i - 1);
      i += count;
    }
    if (length > limit - i) throw new DerError('the element reaches past its parent', this.#next);
    this.at = this.#next;
    this.tag = tag;
    this.start = i;
    this.end = i + length;
    this.#next = this.end;
  }

  /** Reads the next element, which has to have this tag. */
  expect(tag: number, what: string): void {
    const at = this.#next;
    this.next();
    if (this.tag !== tag) throw new DerError(`${what} is not there`, at);
  }

  /** A reader of the content of the element just read. */
  enter(): DerReader {
    if (this.#depth >= MAX_DEPTH) throw new DerError('elements are nested too deep', this.start);
    return new DerReader(this.bytes, this.start, this.end, this.#depth + 1);
  }

  /** Refuses anything after the last element that was to be there. */
  finish(what: string): void {
    if (this.#next !== this.#limit) throw new DerError(`something follows ${what}`, this.#next);
  }

  /** The content of a BOOLEAN just read: DER knows 0x00 and 0xff only. */
  boolean(): boolean {
    const value = this.bytes[this.start];
    if (this.end - this.start !== 1 || (value !== 0 && value !== 0xff))
      throw new DerError('a BOOLEAN is malformed', this.at);
    return value === 0xff;
  }

  /** Refuses an INTEGER just read that is empty, negative or padded; gives where its magnitude begins. */
  unsignedStart(): number {
    const first = this.bytes[this.start]!;
    const length = this.end - this.start;
    if (length === 0 || first >= 0x80) throw new DerError('an INTEGER is empty or negative', this.at);
    if (length === 1 || first !== 0) return this.start;
    if (this.bytes[this.start + 1]! < 0x80) throw new DerError('an INTEGER is padded', this.at);
    return this.start + 1;
  }
}
