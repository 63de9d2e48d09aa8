/**
 * Gathers what one event-loop turn writes to a socket and writes it once.
 *
 * Heads are latin1 text, bodies are buffers that pass through. Small sums are copied into one buffer (one
 * TLS record, one system call); large ones go out as they are.
 */
import type { Socket } from 'node:net';

/** Above this many unsent bytes a sender is asked to wait. */
export const WRITE_HIGH_WATER_BYTES = 65_536;

/** Up to here parts are copied together. Two TLS records' worth; beyond it copying costs more than it saves. */
const GATHER_BYTES = 32_768;

export class TurnWriter {
  /** Bytes given to the socket so far. */
  bytesWritten = 0;
  readonly #socket: Socket;
  readonly #onUnblocked: () => void;
  #parts: (string | Buffer)[] = [];
  #size = 0;
  #scheduled = false;
  #blocked = false;
  #ending = false;
  #discarded = false;

  /** `onUnblocked` is called after `write*` answered false and the socket has drained. */
  constructor(socket: Socket, onUnblocked: () => void) {
    this.#socket = socket;
    this.#onUnblocked = onUnblocked;
    socket.on('drain', () => this.#onDrain());
  }

  /** Whether a sender should wait. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** Bytes that the kernel has not taken yet. */
  get unsent(): number {
    return this.#size + this.#socket.writableLength;
  }

  writeText(latin1: string): boolean {
    if (this.#ending || this.#discarded) return true;
    this.#size += latin1.length;
    this.#parts.push(latin1);
    return this.#schedule();
  }

  writeBytes(bytes: Buffer): boolean {
    if (this.#ending || this.#discarded) return true;
    this.#size += bytes.length;
    this.#parts.push(bytes);
    return this.#schedule();
  }

  /** Sends FIN after what was written. */
  end(): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#schedule();
  }

  /** Forgets what was not given to the socket yet. */
  discard(): void {
    this.#discarded = true;
    this.#parts = [];
    this.#size = 0;
  }

  #schedule(): boolean {
    if (!this.#scheduled && !this.#discarded) {
      this.#scheduled = true;
      if (due.length === 0) setImmediate(flushAll);
      due.push(this);
    }
    if (!this.#blocked && this.unsent > WRITE_HIGH_WATER_BYTES) this.#blocked = true;
    return !this.#blocked;
  }

  /** Called once a turn. */
  flush(): void {
    this.#scheduled = false;
    const socket = this.#socket;
    if (this.#discarded || socket.destroyed) return;
    const parts = this.#parts;
    const size = this.#size;
    if (parts.length > 0) {
      this.#parts = [];
      this.#size = 0;
      this.bytesWritten += size;
      const first = parts[0]!;
      if (parts.length === 1) {
        if (typeof first === 'string') socket.write(first, 'latin1');
        else socket.write(first);
      } else if (size <= GATHER_BYTES) socket.write(gather(parts, size));
      else {
        socket.cork();
        for (const part of parts) {
          if (typeof part === 'string') socket.write(part, 'latin1');
          else socket.write(part);
        }
        socket.uncork();
      }
    }
    if (this.#ending) socket.end();
    else if (this.#blocked && !socket.writableNeedDrain) this.#onDrain();
  }

  #onDrain(): void {
    if (!this.#blocked || this.#size > 0) return;
    this.#blocked = false;
    this.#onUnblocked();
  }
}

/** Writers of all connections that have something to write in this turn. */
let due: TurnWriter[] = [];

/**
 * At the end of the turn, all of them together: whoever reads the other ends is woken once for many of them and not
 * between any two, which on a shared core costs a change of process each time.
 */
function flushAll(): void {
  const writers = due;
  due = [];
  let at = 0;
  try {
    while (at < writers.length) writers[at++]!.flush();
  } finally {
    // One that throws takes nobody with it.
    const left = writers.slice(at);
    if (left.length > 0) {
      if (due.length === 0) setImmediate(flushAll);
      due.push(...left);
    }
  }
}

function gather(parts: readonly (string | Buffer)[], size: number): Buffer {
  const all = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'string') at += all.write(part, at, 'latin1');
    else at += part.copy(all, at);
  }
  return all;
}
