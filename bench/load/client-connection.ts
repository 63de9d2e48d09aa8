/**
 * One connection of the load generator with at most one request under way.
 * Whoever opened it owns it; an end that was not asked for is an error.
 */
import type { Socket } from 'node:net';
import type { ClientOpener, OpenOverrides } from './client-opener.ts';
import { ResponseReader } from './response-reader.ts';

export interface ClientConnectionEvents {
  /** Connected, and over mTLS the handshake is done. */
  onOpen(connection: ClientConnection): void;
  onAnswer(connection: ClientConnection): void;
  onFailed(error: Error): void;
}

export class ClientConnection {
  readonly socket: Socket;
  sentAtMs = 0;
  /** The newest ticket that the server gave on this connection. */
  session: Buffer | null = null;
  readonly #opener: ClientOpener;
  #isEnding = false;

  constructor(opener: ClientOpener, events: ClientConnectionEvents, overrides: OpenOverrides = {}) {
    const reader = new ResponseReader();
    this.#opener = opener;
    this.socket = opener.open(overrides);
    this.socket.setNoDelay(true);
    this.socket.on('session', (session: Buffer) => {
      this.session = session;
    });
    this.socket.on(opener.openEvent, () => events.onOpen(this));
    this.socket.on('data', (chunk: Buffer) => {
      try {
        if (this.#isEnding || !reader.push(chunk)) return;
      } catch (thrown) {
        events.onFailed(thrown as Error);
        return;
      }
      events.onAnswer(this);
    });
    this.socket.on('error', (error) => {
      if (!this.#isEnding) events.onFailed(error);
    });
    this.socket.on('close', () => {
      if (!this.#isEnding) events.onFailed(new Error('The peer closed a connection that was in use'));
    });
  }

  /** `sentAtMs`: since when the request waited, if not since now. */
  send(sentAtMs: number = performance.now()): void {
    this.sentAtMs = sentAtMs;
    this.socket.write(this.#opener.nextRequest());
  }

  /** A request after whose answer the peer has to close; follow it with `awaitEnd`. */
  sendLast(): void {
    this.sentAtMs = performance.now();
    this.socket.write(this.#opener.lastRequest);
  }

  /** Closes in order; `onClosed` runs when both sides have. */
  end(onClosed: () => void): void {
    this.awaitEnd(onClosed);
    this.socket.end();
  }

  /** The peer is to close; `onClosed` runs when it has. */
  awaitEnd(onClosed: () => void): void {
    this.#isEnding = true;
    this.socket.once('close', onClosed);
  }

  destroy(): void {
    this.#isEnding = true;
    this.socket.destroy();
  }
}
