/**
 * Gathers lines and writes them in batches, one write at a time, never blocking and never growing: a reader
 * that is too slow costs lines, which are counted, not memory or latency.
 *
 *   idle ──add──▶ gathering ──20 ms or 64 KiB──▶ writing ──done──▶ idle | gathering | writing
 *                                                  └─full pipe, full disk──▶ waiting ──▶ writing
 */
import { messageOf } from '../core/errors.ts';
import type { WriteTarget } from './write-target.ts';

/** How long a line may wait for others. */
export const BATCH_INTERVAL_MS = 20;
/** A batch this large is written at once. */
export const BATCH_BYTES = 65_536;
/** What is held for a reader that does not read, in characters. */
export const MAX_QUEUED_CHARS: number = 8 * 1_048_576;
/** Writes up to this size to a pipe are never mixed with another thread's (PIPE_BUF on Linux). */
export const ATOMIC_PIPE_BYTES = 4_096;
/** A full pipe is tried again after 1 ms, then twice that, up to this. */
const MAX_PIPE_RETRY_MS = 32;
/** How long a full disk is left alone. */
const FAILURE_RETRY_MS = 1_000;
/** How long `flush` and `close` wait for a reader. */
export const FLUSH_DEADLINE_MS = 2_000;

export interface BatchedLineWriterOptions {
  readonly onDropped: (lines: number) => void;
  /** Once per row of failures; null when writing works again. */
  readonly onFailure: (reason: string | null) => void;
  /** Other threads write to the same stream: keep batches to whole lines of at most one atomic write. */
  readonly shared?: boolean;
}

interface Batch {
  readonly text: string;
  readonly lines: number;
}

export class BatchedLineWriter {
  #target: WriteTarget;
  readonly #options: BatchedLineWriterOptions;
  readonly #batchChars: number;
  #batches: Batch[] = [];
  #pending = '';
  #pendingLines = 0;
  #queuedChars = 0;
  /** What is being written: the rest of a batch, and how much of the queue it stands for. */
  #current: Buffer | null = null;
  #currentBatch: Batch | null = null;
  #writing = false;
  #timer: NodeJS.Timeout | null = null;
  #nextTarget: WriteTarget | null = null;
  #pipeRetryMs = 1;
  #failing = false;
  #broken = false;
  #closed = false;
  #waiters: ((complete: boolean) => void)[] = [];

  constructor(target: WriteTarget, options: BatchedLineWriterOptions) {
    this.#target = target;
    this.#options = options;
    this.#batchChars = options.shared === true && target.kind === 'pipe' ? ATOMIC_PIPE_BYTES : BATCH_BYTES;
  }

  /** Takes a line that ends with its newline; false if it was dropped. */
  add(line: string): boolean {
    if (this.#broken || this.#closed || this.#queuedChars + line.length > MAX_QUEUED_CHARS) {
      this.#options.onDropped(1);
      return false;
    }
    if (this.#pending.length + line.length > this.#batchChars) this.#seal();
    this.#pending += line;
    this.#pendingLines++;
    this.#queuedChars += line.length;
    // A batch that is under way, or waits for its reader, goes first.
    if (this.#writing || this.#current !== null) return true;
    if (this.#timer === null) this.#arm(BATCH_INTERVAL_MS);
    else if (this.#queuedChars >= BATCH_BYTES) this.#writeNow();
    return true;
  }

  /** From the next batch on, lines go to `target`; the old one is closed. */
  replaceTarget(target: WriteTarget): void {
    this.#nextTarget?.close();
    this.#nextTarget = target;
    if (this.#broken) {
      this.#broken = false;
      this.#currentBatch = null;
      this.#current = null;
    }
    if (!this.#writing && this.#current === null) this.#switchTarget();
  }

  /** True once all lines taken so far are written; false if some could not be before the deadline. */
  flush(deadlineMs: number = FLUSH_DEADLINE_MS): Promise<boolean> {
    if (this.#isEmpty()) return Promise.resolve(!this.#broken);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        resolve(false);
      }, deadlineMs);
      const waiter = (complete: boolean): void => {
        clearTimeout(timer);
        resolve(complete);
      };
      this.#waiters.push(waiter);
      if (!this.#writing) this.#writeNow();
    });
  }

  /** Flushes, drops what is left, and lets go of the target. */
  async close(deadlineMs: number = FLUSH_DEADLINE_MS): Promise<boolean> {
    if (this.#closed) return this.#isEmpty();
    const complete = await this.flush(deadlineMs);
    this.#closed = true;
    this.#clearTimer();
    this.#dropAll();
    if (!this.#writing) this.#target.close();
    this.#nextTarget?.close();
    this.#nextTarget = null;
    return complete;
  }

  #isEmpty(): boolean {
    return (
      !this.#writing && this.#currentBatch === null && this.#batches.length === 0 && this.#pendingLines === 0
    );
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#writeNow();
    }, ms);
  }

  #clearTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #seal(): void {
    if (this.#pendingLines === 0) return;
    this.#batches.push({ text: this.#pending, lines: this.#pendingLines });
    this.#pending = '';
    this.#pendingLines = 0;
  }

  #writeNow(): void {
    this.#clearTimer();
    if (this.#writing || this.#closed) return;
    if (this.#current === null) {
      if (this.#nextTarget !== null) this.#switchTarget();
      if (this.#batches.length === 0) this.#seal();
      const batch = this.#batches.shift();
      if (batch === undefined) {
        this.#settle(!this.#broken);
        return;
      }
      this.#currentBatch = batch;
      this.#current = Buffer.from(batch.text);
    }
    this.#writing = true;
    this.#target.write(this.#current, this.#onWritten);
  }

  readonly #onWritten = (error: NodeJS.ErrnoException | null, written: number): void => {
    this.#writing = false;
    if (this.#closed) {
      this.#target.close();
      return;
    }
    if (error !== null) {
      this.#onError(error);
      return;
    }
    this.#pipeRetryMs = 1;
    if (this.#failing) {
      this.#failing = false;
      this.#options.onFailure(null);
    }
    if (this.#current !== null && written < this.#current.length) {
      this.#current = this.#current.subarray(written);
      this.#writeNow();
      return;
    }
    if (this.#currentBatch !== null) this.#queuedChars -= this.#currentBatch.text.length;
    this.#current = null;
    this.#currentBatch = null;
    const more = this.#batches.length > 0 || this.#queuedChars >= BATCH_BYTES || this.#nextTarget !== null;
    if (more || this.#waiters.length > 0) this.#writeNow();
    else if (this.#pendingLines > 0 && this.#timer === null) this.#arm(BATCH_INTERVAL_MS);
  };

  #onError(error: NodeJS.ErrnoException): void {
    if (error.code === 'EAGAIN' || error.code === 'EINTR') {
      this.#arm(this.#pipeRetryMs);
      this.#pipeRetryMs = Math.min(this.#pipeRetryMs * 2, MAX_PIPE_RETRY_MS);
      return;
    }
    if (!this.#failing) {
      this.#failing = true;
      this.#options.onFailure(messageOf(error));
    }
    if (error.code === 'EPIPE' || error.code === 'EBADF') {
      // Nobody will ever read this; only another target helps.
      this.#broken = true;
      this.#dropAll();
      this.#settle(false);
      return;
    }
    // A full disk: what is begun stays, so that the rest of a line follows its beginning.
    this.#arm(FAILURE_RETRY_MS);
  }

  #dropAll(): void {
    this.#seal();
    let lines = this.#currentBatch?.lines ?? 0;
    for (const batch of this.#batches) lines += batch.lines;
    this.#batches = [];
    this.#current = null;
    this.#currentBatch = null;
    this.#queuedChars = 0;
    if (lines > 0) this.#options.onDropped(lines);
  }

  #switchTarget(): void {
    if (this.#nextTarget === null) return;
    this.#target.close();
    this.#target = this.#nextTarget;
    this.#nextTarget = null;
  }

  #settle(complete: boolean): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter(complete);
  }
}
