/**
 * Carries bytes between two sockets as they come: back-pressure, half-close and resets go through.
 *
 * Owns both sockets from its start; what the upstream sends is given to it by whoever dialled. An idle deadline ends a tunnel that nobody uses.
 */
import type { Socket } from 'node:net';
import { Deadline } from '../core/clock.ts';
import { resetSocket } from '../core/end-socket.ts';
import { copyForWriting } from './write-buffers.ts';

export interface TunnelEnd {
  readonly socket: Socket;
  /** The TCP socket below, which alone can send RST. */
  readonly raw: Socket;
}

export interface TunnelResult {
  /** From the downstream, and to it. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly end: 'closed' | 'downstream_reset' | 'upstream_reset' | 'idle_timeout' | 'ended';
  readonly detail: string;
}

export class Tunnel {
  bytesReceived = 0;
  bytesSent = 0;
  readonly #downstream: TunnelEnd;
  readonly #upstream: TunnelEnd;
  readonly #idleTimeoutMs: number;
  readonly #onClosed: (result: TunnelResult) => void;
  readonly #deadline: Deadline;
  #endsSeen = 0;
  #done = false;

  constructor(
    downstream: TunnelEnd,
    upstream: TunnelEnd,
    idleTimeoutMs: number,
    onClosed: (result: TunnelResult) => void,
  ) {
    this.#downstream = downstream;
    this.#upstream = upstream;
    this.#idleTimeoutMs = idleTimeoutMs;
    this.#onClosed = onClosed;
    this.#deadline = new Deadline(() =>
      this.#finish('idle_timeout', `nothing moved for ${idleTimeoutMs} ms`),
    );
  }

  start(): void {
    const down = this.#downstream.socket;
    const up = this.#upstream.socket;
    this.#deadline.set(this.#idleTimeoutMs);
    down.on('data', (chunk: Buffer) => {
      this.bytesReceived += chunk.length;
      this.#deadline.set(this.#idleTimeoutMs);
      if (!up.write(chunk)) down.pause();
    });
    this.#pass(down, up);
    this.#pass(up, down);
    down.on('error', (error: Error) => this.#finish('downstream_reset', error.message));
    up.on('error', (error: Error) => this.#finish('upstream_reset', error.message));
    down.on('close', () => this.#onSocketClosed('downstream_reset'));
    up.on('close', () => this.#onSocketClosed('upstream_reset'));
    if (down.destroyed) this.#finish('downstream_reset', 'the downstream was gone before the tunnel began');
    else if (up.destroyed) this.#finish('upstream_reset', 'the upstream was gone before the tunnel began');
    else {
      down.resume();
      up.resume();
    }
  }

  /** Ends both sides at once. */
  destroy(detail: string): void {
    this.#finish('ended', detail);
  }

  /** Bytes of the upstream; the view holds only during the call. */
  receiveFromUpstream(view: Buffer): void {
    if (this.#done) return;
    this.bytesSent += view.length;
    this.#deadline.set(this.#idleTimeoutMs);
    const { bytes, release } = copyForWriting(view);
    if (!this.#downstream.socket.write(bytes, release)) this.#upstream.socket.pause();
  }

  /** Back-pressure and the end of one direction. */
  #pass(from: Socket, to: Socket): void {
    to.on('drain', () => {
      this.#deadline.set(this.#idleTimeoutMs);
      from.resume();
    });
    from.on('end', () => {
      this.#endsSeen++;
      to.end();
    });
  }

  /** Both FINs seen: a clean close, once the slower side has taken everything. Else one side went without a word. */
  #onSocketClosed(end: 'downstream_reset' | 'upstream_reset'): void {
    if (this.#endsSeen < 2) this.#finish(end, 'the connection was closed');
    else if (this.#downstream.socket.destroyed && this.#upstream.socket.destroyed) this.#finish('closed', '');
  }

  #finish(end: TunnelResult['end'], detail: string): void {
    if (this.#done) return;
    this.#done = true;
    this.#deadline.clear();
    const reset = end === 'downstream_reset' || end === 'upstream_reset';
    for (const side of [this.#downstream, this.#upstream]) {
      if (side.raw.destroyed) continue;
      // A peer must not take a broken stream for a finished one.
      if (reset) resetSocket(side.raw, side.socket);
      else side.socket.destroy();
    }
    this.#onClosed({ bytesReceived: this.bytesReceived, bytesSent: this.bytesSent, end, detail });
  }
}
