/**
 * One inbound HTTP chain on loopback without TLS: listener, codec, filters, pool. What a test sends to `port`
 * reaches the upstream of the options; entries, counters, log lines and bugs are kept.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { plainIp } from '../../src/core/address.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type { Limits } from '../../src/core/limits.ts';
import type { PeerIdentity } from '../../src/core/peer-identity.ts';
import { EdgeFieldsFilter } from '../../src/filters/edge-fields.ts';
import { PathNormalizationFilter } from '../../src/filters/path-normalization.ts';
import { XfccFilter } from '../../src/filters/xfcc.ts';
import { FilterChain } from '../../src/http/filter-chain.ts';
import type { Filter } from '../../src/http/filter.ts';
import { HttpConnection } from '../../src/http/http-connection.ts';
import type { HttpRoute } from '../../src/http/http-route.ts';
import { NO_RESERVED_NAMES } from '../../src/http/reserved-names.ts';
import type { AccessLogEntry } from '../../src/observe/access-log-entry.ts';
import { ClusterCounters, HttpCounters } from '../../src/observe/counters.ts';
import { RequestCounter } from '../../src/observe/traffic-counters.ts';
import type { NormalizationMode } from '../../src/path/normalize-path.ts';
import { EndpointPool } from '../../src/upstream/endpoint-pool.ts';
import type { EndpointObserver } from '../../src/upstream/endpoint-pool.ts';
import { TcpDialer } from '../../src/upstream/tcp-dialer.ts';
import { connectionFacts } from '../support/connection-facts.ts';
import { connectRaw } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';

export interface ProxyOptions {
  readonly upstreamPort: number;
  readonly upstreamHost?: string;
  readonly limits?: Partial<Limits>;
  /** The embedding program's own. */
  readonly filters?: readonly Filter[];
  /** false: no built-in filters, so that the upstream sees what the codec alone writes. */
  readonly builtIn?: boolean;
  readonly mode?: NormalizationMode;
  readonly peer?: PeerIdentity | null;
  /** What differs from an inbound route. */
  readonly route?: Partial<HttpRoute>;
  /** null: the bugs are kept for the test to look at; else any bug fails `close`. */
  readonly bugs?: 'expected';
}

export interface LogLine {
  readonly code: string;
  readonly fields: object;
}

const NOBODY: EndpointObserver = { onFailing: () => {} };

export const OWN_ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';

export const PEER: PeerIdentity = {
  spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep',
  trustDomain: 'cluster.local',
  namespace: 'foo',
  serviceAccount: 'sleep',
  dnsNames: [],
  subject: '',
  hash: 'ab'.repeat(32),
  serial: '01',
  notAfterMs: Date.now() + 3_600_000,
};

export class Proxy implements AsyncDisposable {
  readonly entries: AccessLogEntry[] = [];
  readonly logs: LogLine[] = [];
  readonly bugs: unknown[] = [];
  readonly filterFailures: string[] = [];
  readonly http = new HttpCounters();
  readonly cluster = new ClusterCounters();
  readonly pool: EndpointPool;
  readonly sockets: Socket[] = [];
  readonly connections: HttpConnection[] = [];
  unsolicited = 0;
  retries = 0;
  retriesAnswered = 0;
  closed = 0;
  readonly #options: ProxyOptions;
  readonly #limits: Limits;
  readonly #filters: FilterChain;
  readonly #server: Server;
  readonly #requests: RequestCounter;
  #wake = Promise.withResolvers<void>();

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const builtIn =
      options.builtIn === false
        ? []
        : [
            new PathNormalizationFilter(options.mode ?? 'BASE'),
            new EdgeFieldsFilter(),
            new XfccFilter(() => OWN_ID),
          ];
    this.#filters = new FilterChain(builtIn, options.filters ?? [], (name) => {
      this.filterFailures.push(name);
    });
    this.#requests = new RequestCounter(
      {
        reporter: 'destination',
        sourcePrincipal: 'unknown',
        sourceWorkloadNamespace: 'unknown',
        destinationPrincipal: 'unknown',
        destinationWorkload: 'unknown',
        destinationWorkloadNamespace: 'unknown',
        destinationApp: 'unknown',
        destinationVersion: 'unknown',
        destinationService: 'unknown',
        destinationServiceName: 'unknown',
        destinationServiceNamespace: 'unknown',
        requestProtocol: 'http',
        connectionSecurityPolicy: 'none',
      },
      false,
    );
    const onBug = (thrown: unknown): void => {
      this.bugs.push(thrown);
      this.#changed();
    };
    this.pool = new EndpointPool({
      target: {
        host: options.upstreamHost ?? '127.0.0.1',
        port: options.upstreamPort,
        cluster: 'inbound|8080||',
      },
      dialer: new TcpDialer(() => this.#limits.connectTimeoutMs),
      limits: this.#limits,
      epoch: () => 0,
      counters: this.cluster,
      onUnsolicited: () => {
        this.unsolicited++;
        this.#changed();
      },
      onBug,
    });
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#serve(socket, onBug);
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  connect(timeoutMs?: number): Promise<RawClient> {
    return connectRaw({ port: this.port, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  }

  #serve(socket: Socket, onBug: (thrown: unknown) => void): void {
    this.sockets.push(socket);
    const { peer = null } = this.#options;
    const facts = connectionFacts({
      id: this.sockets.length,
      remote: { ip: plainIp(socket.remoteAddress ?? '0.0.0.0'), port: socket.remotePort ?? 0 },
      peer,
    });
    const { pool } = this;
    const route: HttpRoute = {
      filters: this.#filters,
      opener: { open: (sink, fresh) => pool.open(sink, fresh, NOBODY) },
      defaultAuthority: `127.0.0.1:${this.#options.upstreamPort}`,
      cluster: 'inbound|8080||',
      routeName: 'default',
      refuse: null,
      connectRetries: 0,
      sendsAttemptCount: false,
      serverName: 'istio-envoy',
      reservedNames: NO_RESERVED_NAMES,
      ...this.#options.route,
      onRetry: () => {
        this.retries++;
      },
      onRetryAnswered: () => {
        this.retriesAnswered++;
      },
    };
    const note = (code: string, fields: object): void => {
      this.logs.push({ code, fields });
    };
    const connection = new HttpConnection({
      socket,
      raw: socket,
      facts,
      limits: this.#limits,
      protectedNames: new Set(['x-protected-name']),
      tlsCipher: '',
      ownSpiffeId: OWN_ID,
      route: () => route,
      accessLog: () => ({
        write: (entry: AccessLogEntry): void => {
          this.entries.push(entry);
          this.#changed();
        },
        log: (entry: AccessLogEntry): void => {
          this.entries.push(entry);
          this.#changed();
        },
      }),
      counters: this.http,
      requests: () => this.#requests,
      log: { trace: note, debug: note, info: note, warn: note, error: note, fatal: note } as never,
      onRequest: () => {
        this.#changed();
      },
      onBug,
      onClosed: () => {
        this.closed++;
        this.#changed();
      },
    });
    this.connections.push(connection);
    connection.start();
    this.#changed();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  /** Waits until `done` holds; looked at whenever something is recorded, and every few milliseconds. */
  async until(done: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
    const loop = async (): Promise<void> => {
      while (!done()) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, 5);
        await Promise.race([this.#wake.promise, promise]);
        clearTimeout(timer);
      }
    };
    await withDeadline(loop(), timeoutMs, what, () =>
      JSON.stringify({ entries: this.entries.length, closed: this.closed, bugs: this.bugs.map(String) }),
    );
  }

  /** The `index`-th access-log entry. */
  async entry(index = 0): Promise<AccessLogEntry> {
    await this.until(() => this.entries.length > index, `access-log entry ${index}`);
    return this.entries[index]!;
  }

  /** Ends everything and fails on a bug, a counter that does not come back to 0 or a connection left. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    this.pool.destroy();
    await closed;
    await this.until(() => this.closed === this.sockets.length, 'the end of all connections');
    if (this.#options.bugs !== 'expected' && this.bugs.length > 0) throw this.bugs[0];
    if (this.http.rqActive !== 0) throw new Error(`${this.http.rqActive} requests were never recorded`);
    if (this.http.cxActive !== 0) throw new Error(`${this.http.cxActive} connections were never closed`);
    if (this.cluster.rqActive !== 0)
      throw new Error(`${this.cluster.rqActive} upstream exchanges were never counted as ended`);
    if (this.pool.active !== 0)
      throw new Error(`the endpoint counts ${this.pool.active} exchanges that are over`);
    if (this.pool.size !== 0 || this.cluster.cxActive !== 0)
      throw new Error(`${this.pool.size} upstream connections are left`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Listens on a free port; the owner ends it with `close` or `await using`. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const proxy = new Proxy(options);
  await proxy.listen();
  return proxy;
}
