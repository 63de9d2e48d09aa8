/**
 * Cuts the bytes of one direction of an HTTP/1.1 connection into heads, body chunks and trailers
 * (RFC 9112 §6, §7), message after message.
 *
 *   head ─┬─ length ─────────────────┬─ message end ─ head …
 *         ├─ chunk line ─ chunk data ┤
 *         └─ until close             │
 *            trailers ───────────────┘
 *
 * It stops wherever its owner pauses it and holds only the bytes that it was already given.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { CR, LF } from './byte-classes.ts';
import { ChunkLine } from './chunk-line.ts';
import type { Fields } from './fields.ts';
import type { HeadKind } from './head-scanner.ts';
import { HeadScanner } from './head-scanner.ts';
import { readTrailers } from './read-fields.ts';

/** What `onHead` answers when the body has no stated length. A length is answered as itself. */
export const BODY_CHUNKED = -1;
export const BODY_UNTIL_CLOSE = -2;
/** The owner refused the head: nothing more is read. */
export const STOP_READING = -3;

export interface MessageOwner {
  /** A whole head: `text` is its latin1 decode and starts at offset `origin`. Answers how the body is framed. */
  onHead(scanner: HeadScanner, text: string, origin: number): number;
  onBody(chunk: Buffer): void;
  onMessageEnd(trailers: Fields | null): void;
  onReadError(code: ErrorCodeName, detail: string): void;
}

export type ReaderLimits = Pick<Limits, 'maxHeadBytes' | 'maxHeaders' | 'maxChunkExtensionBytes'>;

const HEAD = 0;
const LENGTH = 1;
const CHUNK_LINE = 2;
const CHUNK_DATA = 3;
const CHUNK_END = 4;
const TRAILERS = 5;
const UNTIL_CLOSE = 6;
/** The last byte of a body was given away; its end is told in a step of its own, for the owner may have paused. */
const BODY_DONE = 7;
const STOPPED = 8;

const FIRST_HOLD_BYTES = 2_048;
const EMPTY = Buffer.alloc(0);

export class MessageReader {
  readonly #owner: MessageOwner;
  readonly #limits: ReaderLimits;
  readonly #scanner: HeadScanner;
  #chunkLine: ChunkLine | null = null;
  #trailerScanner: HeadScanner | null = null;
  #state = HEAD;
  /** What is being read, and how far. */
  #bytes: Buffer = EMPTY;
  #at = 0;
  /** A head in pieces is gathered here; `#bytes` is then a view of its filled part. */
  #hold: Buffer | null = null;
  #left = 0;
  #chunkEndSeen = 0;
  #paused = false;
  #running = false;
  #ended = false;

  constructor(kind: Exclude<HeadKind, 'trailers'>, limits: ReaderLimits, owner: MessageOwner) {
    this.#owner = owner;
    this.#limits = limits;
    this.#scanner = new HeadScanner(kind, limits);
  }

  /** Inside a head of which at least a byte has come. */
  get inHead(): boolean {
    return this.#state === HEAD && this.#at < this.#bytes.length;
  }

  /** Between two messages, with nothing read of the next. */
  get atRest(): boolean {
    return this.#state === HEAD && this.#at >= this.#bytes.length;
  }

  /** Nothing more will come out: `stop` was called, or the peer's FIN was dealt with. */
  get stopped(): boolean {
    return this.#state === STOPPED;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** The reader keeps `chunk`. While it is paused bytes pile up: the owner must stop its socket then. */
  push(chunk: Buffer): void {
    if (this.#state === STOPPED) return;
    if (this.#hold !== null) this.#append(chunk);
    else if (this.#at >= this.#bytes.length) {
      this.#bytes = chunk;
      this.#at = 0;
      if (this.#state === HEAD) this.#scanner.reset(0);
      else if (this.#state === TRAILERS) this.#trailerScanner!.reset(0);
    } else {
      // Only after a pause: the owner read on although bytes were left.
      const rest = this.#bytes.subarray(this.#at);
      this.#shift(Buffer.concat([rest, chunk]));
    }
    this.#run();
  }

  /** The peer sent its FIN. Ends a body that ends with the connection; anything else unfinished is cut. */
  end(): void {
    this.#ended = true;
    this.#run();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#run();
  }

  /** Nothing more is called on the owner. */
  stop(): void {
    this.#state = STOPPED;
    this.#bytes = EMPTY;
    this.#at = 0;
    this.#hold = null;
  }

  #run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (!this.#paused && this.#state !== STOPPED && this.#step());
      if (this.#ended && !this.#paused && this.#state !== STOPPED) this.#finish();
      if (this.#at >= this.#bytes.length && this.#hold === null) {
        // An idle connection must not keep its last chunk, behind which Node may have 64 KiB.
        this.#bytes = EMPTY;
        this.#at = 0;
      }
    } finally {
      this.#running = false;
    }
  }

  /** One step on; false: more bytes are needed. */
  #step(): boolean {
    if (this.#state === BODY_DONE) {
      this.#messageEnd(null);
      return true;
    }
    const bytes = this.#bytes;
    const available = bytes.length - this.#at;
    if (available <= 0) return false;
    switch (this.#state) {
      case HEAD:
        return this.#readHead();
      case LENGTH:
      case CHUNK_DATA: {
        const take = available < this.#left ? available : this.#left;
        const from = this.#at;
        this.#at += take;
        this.#left -= take;
        const whole = from === 0 && take === bytes.length;
        if (this.#left === 0) {
          if (this.#state === LENGTH) this.#state = BODY_DONE;
          else {
            this.#state = CHUNK_END;
            this.#chunkEndSeen = 0;
          }
        }
        this.#owner.onBody(whole ? bytes : bytes.subarray(from, from + take));
        return true;
      }
      case CHUNK_LINE: {
        const line = this.#chunkLine!;
        const next = line.read(bytes, this.#at);
        if (next === -2) return this.#fail(line.error, line.errorDetail);
        this.#at = next === -1 ? bytes.length : next;
        if (next === -1) return false;
        if (line.size === 0) this.#startTrailers();
        else {
          this.#left = line.size;
          this.#state = CHUNK_DATA;
        }
        return true;
      }
      case CHUNK_END: {
        const wanted = this.#chunkEndSeen === 0 ? CR : LF;
        if (bytes[this.#at] !== wanted) return this.#fail('bad_chunk', 'a chunk is not followed by CR LF');
        this.#at++;
        if (++this.#chunkEndSeen === 2) {
          this.#chunkLine!.startLine();
          this.#state = CHUNK_LINE;
        }
        return true;
      }
      case TRAILERS:
        return this.#readTrailers();
      case UNTIL_CLOSE: {
        const from = this.#at;
        this.#at = bytes.length;
        this.#owner.onBody(from === 0 ? bytes : bytes.subarray(from));
        return true;
      }
      default:
        return false;
    }
  }

  #readHead(): boolean {
    const scanner = this.#scanner;
    const result = scanner.scan(this.#bytes);
    if (result === 'error') return this.#fail(scanner.error, scanner.errorDetail);
    if (result === 'more') return this.#keep(scanner);
    const text = this.#bytes.toString('latin1', scanner.start, scanner.end);
    this.#at = scanner.end;
    this.#hold = null;
    const framing = this.#owner.onHead(scanner, text, scanner.start);
    if (this.#state === STOPPED) return false;
    if (framing === STOP_READING) {
      this.stop();
      return false;
    }
    if (framing === 0) this.#messageEnd(null);
    else if (framing === BODY_CHUNKED) {
      this.#chunkLine ??= new ChunkLine(this.#limits.maxChunkExtensionBytes);
      this.#chunkLine.startBody();
      this.#state = CHUNK_LINE;
    } else if (framing === BODY_UNTIL_CLOSE) this.#state = UNTIL_CLOSE;
    else {
      this.#left = framing;
      this.#state = LENGTH;
    }
    return true;
  }

  #startTrailers(): void {
    this.#state = TRAILERS;
    this.#trailerScanner ??= new HeadScanner('trailers', this.#limits);
    this.#trailerScanner.reset(this.#at);
  }

  #readTrailers(): boolean {
    const scanner = this.#trailerScanner!;
    const result = scanner.scan(this.#bytes);
    if (result === 'error') {
      const code =
        scanner.error === 'head_too_large' || scanner.error === 'too_many_headers'
          ? scanner.error
          : 'bad_trailer';
      return this.#fail(code, scanner.errorDetail);
    }
    if (result === 'more') return this.#keep(scanner);
    let trailers: Fields | null = null;
    if (scanner.fieldCount > 0) {
      trailers = [];
      const text = this.#bytes.toString('latin1', scanner.start, scanner.end);
      const problem = readTrailers(scanner, text, scanner.start, trailers);
      if (problem !== null) return this.#fail(problem.code, problem.detail);
    }
    this.#at = scanner.end;
    this.#hold = null;
    this.#messageEnd(trailers);
    return true;
  }

  /** Sets up for the next head before telling the owner, who may pause or stop. */
  #messageEnd(trailers: Fields | null): void {
    this.#state = HEAD;
    this.#scanner.reset(this.#at);
    this.#owner.onMessageEnd(trailers);
  }

  /** The head is not whole: its bytes move to a buffer that grows by doubling. */
  #keep(scanner: HeadScanner): false {
    if (this.#hold === null) {
      const rest = this.#bytes.subarray(scanner.start);
      scanner.rebase(scanner.start);
      const hold = Buffer.allocUnsafeSlow(Math.max(FIRST_HOLD_BYTES, rest.length * 2));
      rest.copy(hold);
      this.#hold = hold;
      this.#bytes = hold.subarray(0, rest.length);
      this.#at = 0;
    }
    return false;
  }

  #append(chunk: Buffer): void {
    const used = this.#bytes.length;
    let hold = this.#hold!;
    if (used + chunk.length > hold.length) {
      const larger = Buffer.allocUnsafeSlow((used + chunk.length) * 2);
      this.#bytes.copy(larger);
      hold = larger;
      this.#hold = hold;
    }
    chunk.copy(hold, used);
    this.#bytes = hold.subarray(0, used + chunk.length);
  }

  #shift(bytes: Buffer): void {
    if (this.#state === HEAD) this.#scanner.rebase(this.#at);
    else if (this.#state === TRAILERS) this.#trailerScanner!.rebase(this.#at);
    this.#bytes = bytes;
    this.#at = 0;
  }

  /** At FIN: only a body that ends with the connection may end here, or nothing at all. */
  #finish(): void {
    const untilClose = this.#state === UNTIL_CLOSE;
    const atRest = this.atRest;
    this.#state = STOPPED;
    if (untilClose) this.#owner.onMessageEnd(null);
    else if (!atRest) this.#owner.onReadError('downstream_reset', 'the connection ended inside a message');
  }

  #fail(code: ErrorCodeName, detail: string): false {
    this.stop();
    this.#owner.onReadError(code, detail);
    return false;
  }
}
