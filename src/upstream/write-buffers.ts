/**
 * Buffers for bulk bytes on their way from one socket to another, used again and again: bytes read into the
 * shared read buffer are copied here until they are written.
 *
 * A fresh buffer a read would be cheaper to get and dear to forget: V8 runs a whole collection for every few
 * dozen megabytes of them (measured: a fifth of the CPU of a bulk download).
 */

/** As much as one read brings. */
const BUFFER_BYTES = 65_536;
/** Kept when idle; more are left to the collector. */
const MAX_FREE = 32;
/** Below this a plain copy is cheaper than a borrowed buffer. */
const SMALL_BYTES = 8_192;

const free: Buffer[] = [];

function nothing(): void {}

export interface CopiedBytes {
  readonly bytes: Buffer;
  /** To be called when the bytes are written, or will never be. */
  readonly release: () => void;
}

/** A copy of `view` that holds until it is released. */
export function copyForWriting(view: Buffer): CopiedBytes {
  if (view.length < SMALL_BYTES || view.length > BUFFER_BYTES)
    return { bytes: Buffer.from(view), release: nothing };
  const buffer = free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  view.copy(buffer);
  let released = false;
  return {
    bytes: buffer.subarray(0, view.length),
    release(): void {
      if (released) return;
      released = true;
      if (free.length < MAX_FREE) free.push(buffer);
    },
  };
}
