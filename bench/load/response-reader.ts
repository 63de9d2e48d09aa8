/**
 * Checks one HTTP/1.1 answer after the other on a connection: status 200, the length and every byte of the body.
 * It reads only what the benchmark's app can answer; anything else is an error, for a fast wrong answer is worth nothing.
 */
import { BODY_BYTES, answerBody } from './answer.ts';

const EXPECTED: Buffer = answerBody();
const MAX_HEAD_BYTES = 16_384;
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;

/** One per connection. */
export class ResponseReader {
  #held: Buffer | null = null;
  /** Bytes of the body that were right so far; -1 while the head is awaited. */
  #bodyAt = -1;

  /** True when the answer is complete; throws on the first byte that is not as expected. */
  push(chunk: Buffer): boolean {
    if (this.#bodyAt >= 0) return this.#checkBody(chunk, 0);
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.indexOf('\r\n\r\n', 0, 'latin1');
    if (end === -1) {
      if (bytes.length > MAX_HEAD_BYTES) throw new Error(`Answer's head is over ${MAX_HEAD_BYTES} bytes`);
      this.#held = Buffer.from(bytes);
      return false;
    }
    this.#held = null;
    const head = bytes.toString('latin1', 0, end);
    if (!head.startsWith('HTTP/1.1 200 ')) throw new Error(`Answer is "${head.split('\r\n')[0]}", not 200`);
    const length = CONTENT_LENGTH.exec(head)?.[1];
    if (Number(length) !== BODY_BYTES) {
      throw new Error(`Answer's content-length is "${length ?? 'absent'}", not ${BODY_BYTES}`);
    }
    this.#bodyAt = 0;
    return this.#checkBody(bytes, end + 4);
  }

  #checkBody(bytes: Buffer, from: number): boolean {
    const count = bytes.length - from;
    const until = this.#bodyAt + count;
    if (until > BODY_BYTES) throw new Error(`Answer has ${until - BODY_BYTES} bytes too many`);
    if (count > 0 && bytes.compare(EXPECTED, this.#bodyAt, until, from) !== 0) {
      throw new Error(`Answer's body differs between byte ${this.#bodyAt} and ${until}`);
    }
    this.#bodyAt = until === BODY_BYTES ? -1 : until;
    return until === BODY_BYTES;
  }
}
