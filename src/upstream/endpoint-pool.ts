/**
 * Connections to one endpoint, kept between exchanges: the last one used is the first one taken, so that
 * what a burst opened can grow old and go.
 */
import type { Socket } from 'node:net';
import { formatEndpoint } from '../core/address.ts';
import type { DialAttempt, Dialer, DialTarget } from '../core/dialer.ts';
import type { Limits } from '../core/limits.ts';
import type { ExchangeOpener, PendingExchange, UpstreamSink } from '../http/exchange.ts';
import { Http1ClientConnection } from '../http/http1-client-connection.ts';
import type { ClientConnectionOwner, ExchangeOutcome } from '../http/http1-client-connection.ts';
import type { ClusterCounters } from '../observe/counters.ts';
import { noteDialFailure } from './dial-failure.ts';

export interface EndpointPoolOptions {
  readonly target: DialTarget;
  readonly dialer: Dialer;
  readonly limits: Limits;
  readonly counters: ClusterCounters;
  readonly onUnsolicited: (upstreamHost: string) => void;
  readonly onBug: (thrown: unknown) => void;
}

export class EndpointPool implements ExchangeOpener, ClientConnectionOwner {
  readonly #options: EndpointPoolOptions;
  readonly #idle: Http1ClientConnection[] = [];
  readonly #all = new Set<Http1ClientConnection>();
  #closed = false;

  constructor(options: EndpointPoolOptions) {
    this.#options = options;
  }

  /** Idle and busy connections. */
  get size(): number {
    return this.#all.size;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  open(sink: UpstreamSink, fresh: boolean): PendingExchange {
    this.#options.counters.rqTotal++;
    if (!fresh) {
      const connection = this.#idle.pop();
      if (connection !== undefined) {
        this.#options.counters.rqActive++;
        const exchange = connection.open(sink);
        sink.onReady(exchange);
        return exchange;
      }
    }
    return new PendingOpen(this, this.#options, sink);
  }

  /** A dialled socket becomes a connection of this pool. */
  adopt(socket: Socket): Http1ClientConnection {
    const { counters, limits } = this.#options;
    const addresses = {
      upstreamHost: formatEndpoint(socket.remoteAddress, socket.remotePort),
      upstreamLocalAddress: formatEndpoint(socket.localAddress, socket.localPort),
    };
    const connection = new Http1ClientConnection(socket, socket, addresses, limits, this);
    this.#all.add(connection);
    counters.cxTotal++;
    counters.cxActive++;
    return connection;
  }

  onIdle(connection: Http1ClientConnection): void {
    this.#countBytes(connection);
    if (this.#closed) {
      connection.destroy();
      return;
    }
    this.#idle.push(connection);
    if (this.#idle.length > this.#options.limits.maxIdlePerEndpoint) this.#idle.shift()!.destroy();
  }

  onGone(connection: Http1ClientConnection): void {
    const { counters } = this.#options;
    if (!this.#all.delete(connection)) return;
    counters.cxActive--;
    counters.cxDestroy++;
    this.#countBytes(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** With every exchange: a connection may live for days. */
  #countBytes(connection: Http1ClientConnection): void {
    const { counters } = this.#options;
    const { bytesRead, bytesWritten } = connection;
    counters.cxRxBytes += bytesRead - connection.countedRead;
    counters.cxTxBytes += bytesWritten - connection.countedWritten;
    connection.countedRead = bytesRead;
    connection.countedWritten = bytesWritten;
  }

  onExchangeEnd(outcome: ExchangeOutcome): void {
    const { counters } = this.#options;
    counters.rqActive--;
    if (outcome === 'answered') return;
    if (outcome === 'abandoned') counters.rqTxReset++;
    else if (outcome === 'upstream_stalled') counters.rqTimeout++;
    else counters.rqRxReset++;
  }

  onUnsolicited(connection: Http1ClientConnection): void {
    this.#options.counters.unsolicited++;
    this.#options.onUnsolicited(connection.upstreamHost);
  }

  onBug(thrown: unknown): void {
    this.#options.onBug(thrown);
  }

  /** Idle connections go at once, busy ones after their exchange. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Everything goes at once. */
  destroy(): void {
    this.close();
    for (const connection of this.#all) connection.destroy();
  }
}

/** What reads from a connection knows of it, and nothing else, for as long as the connection lives. */
interface Receiver {
  connection: Http1ClientConnection | null;
}

/** On its own, so that the function that lives with the connection holds no request. */
function readerOf(receiver: Receiver): (view: Buffer) => void {
  return (view) => receiver.connection?.receive(view);
}

/** An exchange that waits for its connection. */
class PendingOpen implements PendingExchange {
  readonly #attempt: DialAttempt;
  #abort: (() => void) | null = null;

  constructor(pool: EndpointPool, options: EndpointPoolOptions, sink: UpstreamSink) {
    const { counters, target } = options;
    const receiver: Receiver = { connection: null };
    this.#attempt = options.dialer.dial(
      target,
      (socket) => {
        const connection = pool.adopt(socket);
        receiver.connection = connection;
        counters.rqActive++;
        const exchange = connection.open(sink);
        this.#abort = () => exchange.abort();
        // This runs in the dialler's turn, where nobody else would catch.
        try {
          sink.onReady(exchange);
        } catch (thrown) {
          connection.fail(thrown);
        }
      },
      (error) => {
        const { code, detail } = noteDialFailure(error, counters);
        sink.onFailed({ code, detail, reused: false, sent: false, answered: false });
      },
      readerOf(receiver),
    );
  }

  abort(): void {
    if (this.#abort !== null) this.#abort();
    else this.#attempt.abort();
  }
}
