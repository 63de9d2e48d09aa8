/**
 * Writes log lines at once and in order, so that no tail is lost when the process ends, and keeps a bounded
 * queue when the reader is slow. Lines beyond it are dropped and counted, never waited for.
 */
import { writeSync } from 'node:fs';

/** Bytes of log lines held for a reader that does not read. */
export const MAX_QUEUED_LOG_BYTES = 1_048_576;
/** How often a full pipe is tried again. */
const RETRY_MS = 20;
/** How long the end of the process waits for a full pipe. */
const EXIT_WAIT_MS = 500;

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

function errorCode(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
}

export class SyncLineWriter {
  readonly #fd: number;
  readonly #onDropped: () => void;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #retry: NodeJS.Timeout | null = null;
  /** The reader is gone for good. */
  #broken = false;
  /** Whether the first buffer of the queue is the rest of a line. */
  #partial = false;

  constructor(fd: number, onDropped: () => void) {
    this.#fd = fd;
    this.#onDropped = onDropped;
  }

  /** `line` ends with its newline. */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#broken || this.#queuedBytes + bytes.length > MAX_QUEUED_LOG_BYTES) {
      this.#onDropped();
      return;
    }
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#retry === null && !this.#drain() && !this.#broken) this.#arm();
  }

  /** Writes what is queued, waiting up to half a second for a full pipe. For the process's last turn. */
  flushSync(): void {
    const until = performance.now() + EXIT_WAIT_MS;
    while (!this.#drain() && !this.#broken && performance.now() < until) Atomics.wait(sleepCell, 0, 0, 5);
  }

  close(): void {
    this.flushSync();
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#broken = true;
  }

  #arm(): void {
    this.#retry = setTimeout(() => {
      this.#retry = null;
      if (!this.#drain() && !this.#broken) this.#arm();
    }, RETRY_MS);
    this.#retry.unref();
  }

  /** True when nothing is left. */
  #drain(): boolean {
    let bytes = this.#queue[0];
    while (bytes !== undefined) {
      let written = 0;
      try {
        written = writeSync(this.#fd, bytes);
      } catch (thrown) {
        const code = errorCode(thrown);
        if (code === 'EAGAIN' || code === 'EINTR') return false;
        if (code === 'EPIPE' || code === 'EBADF') {
          this.#giveUp();
          return true;
        }
        // A full disk: the rest of a begun line stays, so that lines never run together.
        if (this.#partial) return false;
        this.#onDropped();
        written = bytes.length;
      }
      this.#queuedBytes -= written;
      this.#partial = written < bytes.length;
      if (this.#partial) this.#queue[0] = bytes.subarray(written);
      else this.#queue.shift();
      bytes = this.#queue[0];
    }
    return true;
  }

  #giveUp(): void {
    this.#broken = true;
    for (let i = 0; i < this.#queue.length; i++) this.#onDropped();
    this.#queue = [];
    this.#queuedBytes = 0;
  }
}
