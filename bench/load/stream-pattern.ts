/**
 * Endless bytes whose place can be checked: a 64 KiB block over and over, in which no 64 bytes come twice.
 */
import { createHash } from 'node:crypto';

export const BLOCK_BYTES = 65_536;

/** The block twice, so that any piece up to one block long can be taken from any place in one slice. */
function twoBlocks(): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < BLOCK_BYTES; at += 64) parts.push(createHash('sha512').update(String(at)).digest());
  return Buffer.concat([...parts, ...parts]);
}

const PATTERN: Buffer = twoBlocks();

/** One whole block of the stream. */
export const BLOCK: Buffer = PATTERN.subarray(0, BLOCK_BYTES);

/** Follows one stream; throws at the first byte that is lost, doubled or changed. */
export class PatternCheck {
  #received = 0;

  get received(): number {
    return this.#received;
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
      const end = Math.min(chunk.length, at + BLOCK_BYTES);
      const from = this.#received % BLOCK_BYTES;
      if (chunk.compare(PATTERN, from, from + end - at, at, end) !== 0) {
        throw new Error(`Stream differs between byte ${this.#received} and ${this.#received + end - at}`);
      }
      this.#received += end - at;
    }
  }
}

/** Writes whole blocks for as long as `socket` takes them; the caller owns the socket and its end. */
export function writeEndlessly(socket: NodeJS.WritableStream & { readonly destroyed: boolean }): void {
  const fill = (): void => {
    while (!socket.destroyed && socket.write(BLOCK)) {
      // The socket took it at once.
    }
  };
  socket.on('drain', fill);
  fill();
}
