/**
 * One accepted connection until its first bytes have told what it speaks. It owns the socket from accept to
 * hand-over; what it read goes back into the socket, so that the next room finds a connection untouched.
 *
 * Two clocks: silence (not one byte) becomes opaque after protocolDetectionTimeoutMs if that is set, since a
 * server may speak first; whatever has begun, and silence otherwise, is closed after sniffTimeoutMs.
 */
import type { Socket } from 'node:net';
import type { Address } from '../core/address.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { messageOf } from '../core/errors.ts';
import type { InboundDirection, OutboundDirection } from './direction.ts';
import type { ConnectionOwner, LiveConnection, LiveConnections } from './live-connections.ts';
import type { Sniffed, SniffNeed } from './sniff.ts';
import { OPAQUE, sniff } from './sniff.ts';

/** A connection that may go on. */
export interface AcceptedConnection {
  /**
   * Paused, with every byte still to be read; listeners for `error` and `close` are on it. Half-open is
   * allowed: the new owner ends its side. `resume()` starts it, also below a TLS server.
   */
  readonly socket: Socket;
  /** Entry in the table; the new owner sets `owner`, and `phase` through the table. It leaves it at `close`. */
  readonly connection: LiveConnection;
  readonly route: InboundDirection | OutboundDirection;
  readonly remote: Address;
  /** The accepted socket's own address. */
  readonly local: Address;
  /** `opaque` also where nothing was looked at. */
  readonly sniffed: Sniffed;
}

/** A connection that was closed; the socket is gone already. */
export interface RefusedConnection {
  readonly code: ErrorCodeName;
  readonly remote: Address;
  /** null where it was never asked for (too_many_connections). */
  readonly destination: Address | null;
  readonly direction: 'inbound' | 'outbound' | null;
  /** Zero for a peer that only knocked, such as a TCP health probe. */
  readonly receivedBytes: number;
  /** For the log line. */
  readonly detail: string;
  /** What to change; '' where nothing needs to. */
  readonly hint: string;
}

/** The part of the snapshot that this room reads, for every connection anew. */
export interface InterceptSettings {
  readonly limits: { readonly maxConnections: number; readonly sniffTimeoutMs: number };
  readonly protocolDetectionTimeoutMs: number;
}

/** What the next room gives to this one. */
export interface InterceptHandlers {
  /** What must be known before a chain of this destination can be chosen. */
  needsSniff(route: InboundDirection | OutboundDirection): SniffNeed;
  onAccepted(accepted: AcceptedConnection): void;
  /** A connection that was accepted is gone, and out of the table. */
  onClosed(connection: LiveConnection): void;
  /** Must not throw. May run for every connection of a flood: bound the log lines. */
  onRefused(refused: RefusedConnection): void;
  /** accept(2) failed, e.g. EMFILE; the listener goes on. */
  onAcceptError(error: Error): void;
}

/** What every arrival of a listener shares. */
export interface ArrivalContext {
  readonly live: LiveConnections;
  readonly handlers: InterceptHandlers;
  readonly settings: () => InterceptSettings;
}

export class Arrival implements ConnectionOwner {
  readonly #context: ArrivalContext;
  readonly #socket: Socket;
  readonly #route: InboundDirection | OutboundDirection;
  readonly #remote: Address;
  readonly #local: Address;
  readonly #connection: LiveConnection;
  /** What was read and does not tell yet: the first `#heldBytes` of `#held`. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #state: 'sniffing' | 'handed-over' | 'refused' = 'sniffing';

  constructor(
    context: ArrivalContext,
    socket: Socket,
    route: InboundDirection | OutboundDirection,
    remote: Address,
    local: Address,
  ) {
    this.#context = context;
    this.#socket = socket;
    this.#route = route;
    this.#remote = remote;
    this.#local = local;
    this.#connection = context.live.add(
      { direction: route.kind, destination: route.destination, remote },
      this,
    );
    socket.on('close', this.#onClose);
  }

  /** Begins to read, or hands over at once if nothing needs to be known. */
  start(): void {
    if (this.#context.handlers.needsSniff(this.#route) === 'none') {
      this.#handOver(OPAQUE);
      return;
    }
    const { limits, protocolDetectionTimeoutMs } = this.#context.settings();
    this.#timer =
      protocolDetectionTimeoutMs > 0
        ? setTimeout(this.#onSilence, protocolDetectionTimeoutMs)
        : setTimeout(this.#onDeadline, limits.sniffTimeoutMs);
    this.#socket.on('data', this.#onData);
    this.#socket.once('end', this.#onEnd);
  }

  close(reason: ErrorCodeName): void {
    if (this.#state === 'sniffing') this.#refuse(reason, 'closed before the protocol was known', '');
    else this.#socket.destroy();
  }

  /** Who has said nothing loses nothing; who has begun goes on to the room that can end it in good order. */
  closeGracefully(): void {
    if (this.#state === 'sniffing' && this.#heldBytes === 0) this.close('draining');
  }

  /** An exception of ours: this connection pays for it, not the process. */
  fail(thrown: unknown): void {
    this.#refuse('bug', messageOf(thrown), '');
  }

  readonly #onData = (chunk: Buffer): void => {
    const silentBefore = this.#heldBytes === 0;
    const received = this.#append(chunk);
    // Asked anew: what comes after a change of mode must meet the chains of the new one.
    const need = this.#context.handlers.needsSniff(this.#route);
    const answer = need === 'none' ? OPAQUE : sniff(received, need);
    if (answer.kind === 'more') {
      if (silentBefore) this.#restartDeadline();
    } else if (answer.kind === 'malformed') {
      this.#refuse(
        'bad_client_hello',
        answer.reason,
        'look at the client: what it sends begins as TLS and is not',
      );
    } else {
      this.#handOver(answer);
    }
  };

  readonly #onSilence = (): void => {
    this.#timer = null;
    this.#handOver(OPAQUE);
  };

  readonly #onDeadline = (): void => {
    this.#timer = null;
    this.#refuse(
      'sniff_timeout',
      this.#heldBytes === 0
        ? `no byte came within ${this.#context.settings().limits.sniffTimeoutMs} ms`
        : `${this.#heldBytes} bytes came and do not tell the protocol`,
      this.#heldBytes === 0
        ? 'if the server speaks first, name the Service port tcp or set MeshConfig.protocolDetectionTimeout'
        : 'if this is not TLS or HTTP, name the Service port tcp',
    );
  };

  readonly #onEnd = (): void => {
    this.#refuse('closed_while_sniffing', `the peer closed after ${this.#heldBytes} bytes`, '');
  };

  readonly #onClose = (): void => {
    if (this.#state === 'sniffing') {
      this.#refuse('closed_while_sniffing', `the peer reset after ${this.#heldBytes} bytes`, '');
    }
    this.#context.live.remove(this.#connection);
  };

  /** The sniff clock starts with the first byte where silence had a clock of its own. */
  #restartDeadline(): void {
    const { limits, protocolDetectionTimeoutMs } = this.#context.settings();
    if (protocolDetectionTimeoutMs === 0) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onDeadline, limits.sniffTimeoutMs);
  }

  /** All bytes so far. The usual first chunk tells all and is not copied. */
  #append(chunk: Buffer): Buffer {
    const before = this.#heldBytes;
    const total = before + chunk.length;
    this.#heldBytes = total;
    if (this.#held === null) {
      this.#held = chunk;
      return chunk;
    }
    if (this.#held.length < total) {
      const larger = Buffer.allocUnsafeSlow(Math.max(total, 2 * this.#held.length));
      this.#held.copy(larger, 0, 0, before);
      this.#held = larger;
    }
    chunk.copy(this.#held, before);
    return this.#held.subarray(0, total);
  }

  #stopSniffing(): void {
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
    this.#socket.removeListener('data', this.#onData);
    this.#socket.removeListener('end', this.#onEnd);
    this.#held = null;
  }

  #handOver(sniffed: Sniffed): void {
    const held = this.#held?.subarray(0, this.#heldBytes) ?? null;
    this.#stopSniffing();
    this.#state = 'handed-over';
    const socket = this.#socket;
    // What stays on the socket for its life knows the entry alone: nothing of the arrival outlives its work.
    socket.removeListener('close', this.#onClose);
    socket.on('close', closeListener(this.#context, this.#connection));
    socket.pause();
    if (held !== null) socket.unshift(held);
    try {
      this.#context.handlers.onAccepted({
        socket,
        connection: this.#connection,
        route: this.#route,
        remote: this.#remote,
        local: this.#local,
        sniffed,
      });
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  #refuse(code: ErrorCodeName, detail: string, hint: string): void {
    if (this.#state === 'refused') return;
    this.#stopSniffing();
    this.#state = 'refused';
    this.#socket.destroy();
    this.#context.handlers.onRefused({
      code,
      remote: this.#remote,
      destination: this.#route.destination,
      direction: this.#route.kind,
      receivedBytes: this.#heldBytes,
      detail,
      hint,
    });
  }
}

function closeListener({ handlers, live }: ArrivalContext, connection: LiveConnection): () => void {
  return () => {
    live.remove(connection);
    handlers.onClosed(connection);
  };
}
