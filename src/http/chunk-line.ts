/**
 * The line before each chunk (RFC 9112 §7.1): size in hex, extensions, CR LF. A byte at a time, so that a
 * line may come in any number of pieces and nothing is held.
 *
 *   size ─┬─ CR ─ LF
 *         └─ ";" name [ "=" ( token | quoted ) ] ─┬─ ";" …
 *                                                 └─ CR ─ LF
 */
import type { ErrorCodeName } from '../core/errors.ts';
import { BYTE_CLASSES, CR, HTAB, LF, SEMICOLON, TOKEN, VALUE } from './byte-classes.ts';

const SIZE = 0;
const NAME = 1;
const VALUE_START = 2;
const VALUE_TOKEN = 3;
const QUOTED = 4;
const QUOTED_PAIR = 5;
const AFTER_QUOTED = 6;
const LINE_END = 7;

const EQUALS = 61;
const QUOTE = 34;
const BACKSLASH = 92;

/** A size of more digits is refused: 13 hex digits hold 2^52. */
const MAX_SIZE_DIGITS = 13;

export class ChunkLine {
  /** Bytes of the chunk, once `read` answered that the line is whole. */
  size = 0;
  error: ErrorCodeName = 'bad_chunk';
  errorDetail = '';

  readonly #maxExtensionBytes: number;
  #extensionBytes = 0;
  #state = SIZE;
  #digits = 0;
  #nameBytes = 0;

  constructor(maxExtensionBytes: number) {
    this.#maxExtensionBytes = maxExtensionBytes;
  }

  /** Begins a body: the cap on extensions counts from here. */
  startBody(): void {
    this.#extensionBytes = 0;
    this.startLine();
  }

  startLine(): void {
    this.#state = SIZE;
    this.#digits = 0;
    this.size = 0;
  }

  /** Reads on; answers the offset after the line, -1 if it is not whole, -2 if `error` says why not. */
  read(bytes: Uint8Array, from: number): number {
    for (let at = from; at < bytes.length; at++) {
      const byte = bytes[at]!;
      if (this.#state === LINE_END) return byte === LF ? at + 1 : this.#fail(byte);
      if (this.#state === SIZE) {
        const digit = hexDigit(byte);
        if (digit >= 0) {
          if (++this.#digits > MAX_SIZE_DIGITS) return this.#fail(byte);
          this.size = this.size * 16 + digit;
          continue;
        }
        if (this.#digits === 0) return this.#fail(byte);
        if (byte === CR) this.#state = LINE_END;
        else if (byte === SEMICOLON) this.#startExtension();
        else return this.#fail(byte);
        continue;
      }
      if (byte !== CR && ++this.#extensionBytes > this.#maxExtensionBytes) {
        this.error = 'chunk_extension_too_large';
        this.errorDetail = `more than ${this.#maxExtensionBytes} bytes of chunk extensions`;
        return -2;
      }
      if (!this.#extension(byte)) return this.#fail(byte);
    }
    return -1;
  }

  #startExtension(): void {
    this.#state = NAME;
    this.#nameBytes = 0;
  }

  #extension(byte: number): boolean {
    const bits = BYTE_CLASSES[byte]!;
    switch (this.#state) {
      case NAME:
        if ((bits & TOKEN) !== 0) {
          this.#nameBytes++;
          return true;
        }
        if (this.#nameBytes === 0) return false;
        if (byte === EQUALS) {
          this.#state = VALUE_START;
          return true;
        }
        return this.#endExtension(byte);
      case VALUE_START:
        if (byte === QUOTE) this.#state = QUOTED;
        else if ((bits & TOKEN) !== 0) this.#state = VALUE_TOKEN;
        else return false;
        return true;
      case VALUE_TOKEN:
        return (bits & TOKEN) !== 0 || this.#endExtension(byte);
      case QUOTED:
        if (byte === QUOTE) this.#state = AFTER_QUOTED;
        else if (byte === BACKSLASH) this.#state = QUOTED_PAIR;
        else return (bits & VALUE) !== 0;
        return true;
      case QUOTED_PAIR:
        this.#state = QUOTED;
        return (bits & VALUE) !== 0 || byte === HTAB;
      default:
        return this.#endExtension(byte);
    }
  }

  #endExtension(byte: number): boolean {
    if (byte === CR) this.#state = LINE_END;
    else if (byte === SEMICOLON) this.#startExtension();
    else return false;
    return true;
  }

  #fail(byte: number): -2 {
    this.error = 'bad_chunk';
    this.errorDetail = `byte 0x${byte.toString(16).padStart(2, '0')} in a chunk's size line`;
    return -2;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
