/**
 * The last leg of the road: an established connection becomes an HTTP or a TCP connection of its chain, which
 * from here on owns it and ends it when it is told to.
 */
import type { TLSSocket } from 'node:tls';
import type { Socket } from 'node:net';
import type { Dialer } from './core/dialer.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { ConnectionFacts } from './http/filter.ts';
import { HttpConnection } from './http/http-connection.ts';
import type { EntrySink } from './http/http-connection.ts';
import type { InboundRoutes } from './inbound-routes.ts';
import type { InboundDirection } from './intercept/direction.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import type { PortPlan, Snapshot } from './mesh/plan.ts';
import type { Counters } from './observe/counters.ts';
import type { Loggers } from './observe/loggers.ts';
import type { SecureDownstream } from './tls/inbound-tls.ts';
import { trafficLabels } from './traffic-labels.ts';
import { TcpConnection } from './upstream/tcp-connection.ts';

/** What every connection of a data half shares; functions where a reload may change the answer. */
export interface ServingContext {
  readonly bind: string;
  readonly counters: Counters;
  readonly dialer: Dialer;
  readonly loggers: Loggers;
  readonly routes: InboundRoutes;
  readonly snapshot: () => Snapshot;
  readonly filters: () => FilterChain;
  readonly accessLog: () => EntrySink | null;
  readonly ownSpiffeId: () => string;
  readonly onBug: (thrown: unknown) => void;
}

/** One connection whose chain is chosen and whose handshake, if any, is over. */
export interface ServedConnection {
  readonly connection: LiveConnection;
  readonly end: { readonly socket: Socket | TLSSocket; readonly raw: Socket };
  readonly facts: ConnectionFacts;
  readonly route: InboundDirection;
  readonly plan: PortPlan;
  readonly secure: SecureDownstream | null;
}

const NO_NAMES: ReadonlySet<string> = new Set();

function nothing(): void {
  // The table of live connections hears of the end by itself.
}

export function serveHttp(context: ServingContext, served: ServedConnection): void {
  const { connection, end, facts, plan, route, secure } = served;
  const { accessLog, counters, loggers, onBug, routes, snapshot } = context;
  const ownSpiffeId = context.ownSpiffeId();
  const labels = trafficLabels(snapshot().workload, plan, facts.peer, ownSpiffeId, 'http');
  const http = new HttpConnection({
    socket: end.socket,
    raw: end.raw,
    facts,
    limits: snapshot().limits,
    protectedNames: NO_NAMES,
    tlsCipher: secure?.cipher ?? '',
    ownSpiffeId,
    route: routes.cachedRoute(route),
    accessLog,
    // One scope for all ports that nothing names: a client chooses among them.
    counters: counters.httpScope(`inbound_${context.bind}_${plan.port === 0 ? 'passthrough' : plan.port}`),
    requests: counters.requestCounter(labels),
    log: loggers.get('http'),
    onRequest: () => {
      connection.requests++;
    },
    onBug,
    onClosed: nothing,
  });
  connection.owner = { close: (reason) => http.destroy(reason), closeGracefully: () => http.drain() };
  http.start();
}

export function serveTcp(context: ServingContext, served: ServedConnection): void {
  const { connection, end, facts, plan, route, secure } = served;
  const { accessLog, counters, dialer, filters, loggers, onBug, snapshot } = context;
  const ownSpiffeId = context.ownSpiffeId();
  const labels = trafficLabels(snapshot().workload, plan, facts.peer, ownSpiffeId, 'tcp');
  const tcp = new TcpConnection({
    end,
    facts,
    target: { ...route.appTarget, cluster: plan.cluster },
    dialer,
    filters: filters(),
    idleTimeoutMs: snapshot().limits.idleTimeoutMs,
    tlsCipher: secure?.cipher ?? '',
    ownSpiffeId,
    accessLog,
    tunnels: counters.tunnelScope(plan.cluster),
    cluster: counters.cluster(plan.cluster),
    traffic: counters.tcpCounter(labels),
    log: loggers.get('upstream'),
    onBug,
  });
  connection.owner = { close: (reason) => tcp.close(reason), closeGracefully: () => {} };
  tcp.start();
}
