/**
 * The end of a server connection: FIN after what is written, then what the peer still sends is read and dropped
 * for a while, so that it can read its last answer (RFC 9112 §9.6).
 */
import type { Socket } from 'node:net';
import type { PhaseDeadline } from './phase-deadline.ts';
import type { TurnWriter } from './turn-writer.ts';

/** Bytes that are read and dropped; the rest stays with the client. */
const LINGER_BYTES = 1_048_576;

export class LingeringClose {
  /** Nothing is read or answered any more. */
  begun = false;
  readonly #socket: Socket;
  readonly #writer: TurnWriter;
  readonly #deadline: PhaseDeadline;
  #dropped = 0;

  constructor(socket: Socket, writer: TurnWriter, deadline: PhaseDeadline) {
    this.#socket = socket;
    this.#writer = writer;
    this.#deadline = deadline;
  }

  begin(): void {
    this.begun = true;
    this.#writer.end();
    this.#deadline.enter('flush');
    // Everything was given to the kernel, FIN included.
    this.#socket.once('finish', () => {
      if (!this.#socket.destroyed) this.#deadline.enter('linger');
    });
    this.#socket.resume();
  }

  /** Counts bytes that came too late. */
  drop(bytes: number): void {
    this.#dropped += bytes;
    if (this.#dropped > LINGER_BYTES) this.#socket.pause();
  }
}
