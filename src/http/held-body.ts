/** The part of a request's body that a filter asked for: bounded, and forwarded whole afterwards. */
import type { ServerExchange } from './exchange.ts';
import type { Fields } from './fields.ts';

interface Waiting {
  readonly maxBytes: number;
  readonly resolve: (body: { bytes: Buffer; truncated: boolean }) => void;
  readonly reject: (error: Error) => void;
}

/** Smaller chunks are copied together, or a body of one-byte chunks would cost a hundred times its size. */
const SMALL_CHUNK_BYTES = 4_096;
const BLOCK_BYTES = 16_384;

export class HeldBody {
  trailers: Fields | null = null;
  ended: boolean;
  readonly #exchange: ServerExchange;
  #chunks: Buffer[] = [];
  /** Where small chunks are gathered, and how much of it is used. */
  #block: Buffer | null = null;
  #blockUsed = 0;
  #size = 0;
  #waiting: Waiting | null = null;
  #failure: string | null = null;

  constructor(exchange: ServerExchange) {
    this.#exchange = exchange;
    this.ended = exchange.requestEnded;
  }

  /** Reads until there are more than `maxBytes` or the body ends. One reader at a time. */
  read(maxBytes: number): Promise<{ bytes: Buffer; truncated: boolean }> {
    if (!Number.isSafeInteger(maxBytes) || maxBytes < 0)
      return Promise.reject(new RangeError(`Cannot hold ${maxBytes} bytes of a body: give a whole number`));
    if (this.#waiting !== null)
      return Promise.reject(new Error('Cannot read the body twice at once: await the first read'));
    return new Promise((resolve, reject) => {
      this.#waiting = { maxBytes, resolve, reject };
      this.#settle();
      if (this.#waiting !== null) this.#exchange.resume();
    });
  }

  add(chunk: Buffer): void {
    this.#size += chunk.length;
    if (chunk.length > SMALL_CHUNK_BYTES) {
      this.#endBlock();
      this.#chunks.push(chunk);
    } else {
      if (this.#block === null || this.#blockUsed + chunk.length > BLOCK_BYTES) {
        this.#endBlock();
        this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      }
      this.#blockUsed += chunk.copy(this.#block, this.#blockUsed);
    }
    this.#settle();
  }

  end(trailers: Fields | null): void {
    this.ended = true;
    this.trailers = trailers;
    this.#settle();
  }

  /** Whoever waits for the body hears that it will not come. */
  abort(why: string): void {
    this.#failure = why;
    this.#chunks = [];
    this.#block = null;
    this.#settle();
  }

  /** Gives the held chunks away, to be forwarded. */
  take(): Buffer[] {
    this.#endBlock();
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks;
  }

  #endBlock(): void {
    if (this.#block !== null) this.#chunks.push(this.#block.subarray(0, this.#blockUsed));
    this.#block = null;
    this.#blockUsed = 0;
  }

  #settle(): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    if (this.#failure !== null) {
      this.#waiting = null;
      waiting.reject(new Error(`Cannot read the body: ${this.#failure}`));
      return;
    }
    const full = this.#size > waiting.maxBytes;
    if (!full && !this.ended) return;
    this.#waiting = null;
    if (!this.ended) this.#exchange.pause();
    this.#endBlock();
    const all = Buffer.concat(this.#chunks);
    waiting.resolve({ bytes: full ? all.subarray(0, waiting.maxBytes) : all, truncated: full });
  }
}
