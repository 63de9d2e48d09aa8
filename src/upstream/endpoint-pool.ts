/**
 * Connections to one endpoint, kept between exchanges: the last one used is the first one taken, so that
 * what a burst opened can grow old and go. It also counts what the endpoint is busy with, and how its dials went.
 */
import type { Socket } from 'node:net';
import { formatAddress, formatEndpoint } from '../core/address.ts';
import type { DialAttempt, Dialer, DialTarget } from '../core/dialer.ts';
import type { Limits } from '../core/limits.ts';
import type { ClientExchange, PendingExchange, UpstreamSink } from '../http/exchange.ts';
import { Http1ClientConnection } from '../http/http1-client-connection.ts';
import type { ClientConnectionOwner, ExchangeOutcome } from '../http/http1-client-connection.ts';
import type { ClusterCounters } from '../observe/counters.ts';
import { noteDialFailure } from './dial-error.ts';
import { EndpointHealth } from './endpoint-health.ts';

export interface EndpointPoolOptions {
  readonly target: DialTarget;
  readonly dialer: Dialer;
  readonly limits: Limits;
  /** Connections dialled under another one carry no other exchange: they show an old certificate of ours. */
  readonly epoch: () => number;
  readonly counters: ClusterCounters;
  readonly onUnsolicited: (upstreamHost: string) => void;
  readonly onBug: (thrown: unknown) => void;
}

/** Hears of an endpoint that should be asked no more; whoever knows the others decides. */
export interface EndpointObserver {
  onFailing(pool: EndpointPool): void;
}

export class EndpointPool implements ClientConnectionOwner {
  /** `host:port`: names the endpoint in its cluster, and to `avoid`. */
  readonly name: string;
  readonly health: EndpointHealth = new EndpointHealth();
  /** Exchanges and tunnels under way, waiting ones included: what "least request" compares. */
  active = 0;
  readonly #options: EndpointPoolOptions;
  readonly #idle: Http1ClientConnection[] = [];
  readonly #all = new Set<Http1ClientConnection>();
  #closed = false;

  constructor(options: EndpointPoolOptions) {
    this.#options = options;
    this.name = formatAddress({ ip: options.target.host, port: options.target.port });
  }

  get target(): DialTarget {
    return this.#options.target;
  }

  /** Connections dialled under another one carry nothing new. */
  get epoch(): number {
    return this.#options.epoch();
  }

  /** Whoever opens from it looks for another one. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Idle and busy connections. */
  get size(): number {
    return this.#all.size;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** As `ExchangeOpener.open`. */
  open(sink: UpstreamSink, fresh: boolean, observer: EndpointObserver): PendingExchange {
    this.#options.counters.rqTotal++;
    this.active++;
    if (!fresh) {
      const connection = this.#takeIdle();
      if (connection !== undefined) {
        this.#options.counters.rqActive++;
        const exchange = connection.open(sink);
        sink.onReady(exchange);
        return exchange;
      }
    }
    return new PendingOpen(this, this.#options, sink, observer);
  }

  #takeIdle(): Http1ClientConnection | undefined {
    const connection = this.#idle.pop();
    if (connection === undefined || connection.epoch === this.#options.epoch()) return connection;
    connection.destroy();
    this.retire();
    return this.#idle.pop();
  }

  /** The socket goes to the caller, who counts what it does with it in `active`. `onBytes` is as in `Dialer`. */
  dial(
    onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onBytes: ((view: Buffer) => void) | undefined,
    observer: EndpointObserver,
  ): DialAttempt {
    const { dialer, target } = this.#options;
    return dialer.dial(
      target,
      (socket) => {
        this.health.noteConnected();
        onConnected(socket);
      },
      (error) => {
        this.noteFailed(observer);
        onFailed(error);
      },
      onBytes,
    );
  }

  noteFailed(observer: EndpointObserver): void {
    if (this.health.noteFailed()) observer.onFailing(this);
  }

  /** A dialled socket becomes a connection of this pool. */
  adopt(socket: Socket, epoch: number): Http1ClientConnection {
    this.health.noteConnected();
    const { counters, limits } = this.#options;
    const addresses = {
      upstreamHost: formatEndpoint(socket.remoteAddress, socket.remotePort),
      upstreamLocalAddress: formatEndpoint(socket.localAddress, socket.localPort),
    };
    const connection = new Http1ClientConnection(socket, socket, addresses, limits, this);
    connection.epoch = epoch;
    this.#all.add(connection);
    counters.cxTotal++;
    counters.cxActive++;
    return connection;
  }

  onIdle(connection: Http1ClientConnection): void {
    this.#countBytes(connection);
    if (this.#closed || connection.epoch !== this.#options.epoch()) {
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
    this.active--;
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

  /** Idle connections of an older epoch go now; busy ones go after their exchange, whoever says so. */
  retire(): void {
    const epoch = this.#options.epoch();
    const old = this.#idle.filter((connection) => connection.epoch !== epoch);
    for (const connection of old) connection.destroy();
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
  readonly #pool: EndpointPool;
  readonly #attempt: DialAttempt;
  #exchange: ClientExchange | null = null;
  #waiting = true;

  constructor(
    pool: EndpointPool,
    options: EndpointPoolOptions,
    sink: UpstreamSink,
    observer: EndpointObserver,
  ) {
    this.#pool = pool;
    const { counters, target } = options;
    const receiver: Receiver = { connection: null };
    const epoch = options.epoch();
    this.#attempt = options.dialer.dial(
      target,
      (socket) => {
        this.#waiting = false;
        const connection = pool.adopt(socket, epoch);
        receiver.connection = connection;
        counters.rqActive++;
        const exchange = connection.open(sink);
        this.#exchange = exchange;
        // This runs in the dialler's turn, where nobody else would catch.
        try {
          sink.onReady(exchange);
        } catch (thrown) {
          connection.fail(thrown);
        }
      },
      (error) => {
        this.#waiting = false;
        pool.active--;
        pool.noteFailed(observer);
        const { code, detail, transportReason, upstreamHost } = noteDialFailure(error, counters);
        sink.onFailed({
          code,
          detail,
          reused: false,
          sent: false,
          answered: false,
          upstreamHost: upstreamHost === '' ? pool.name : upstreamHost,
          endpoint: pool.name,
          transportReason,
        });
      },
      readerOf(receiver),
    );
  }

  abort(): void {
    if (this.#exchange !== null) this.#exchange.abort();
    else if (this.#waiting) {
      this.#waiting = false;
      this.#pool.active--;
      this.#attempt.abort();
    }
  }
}
