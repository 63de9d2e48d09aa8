/**
 * The last leg of the inbound road: an established connection becomes an HTTP or a TCP connection of its chain,
 * which from here on owns it and ends it when it is told to.
 */
import { HttpConnection } from './http/http-connection.ts';
import { inboundScope, scopeOf } from './inbound-routes.ts';
import type { InboundDirection } from './intercept/direction.ts';
import type { PortPlan } from './mesh/plan.ts';
import { NO_NAMES, nothing } from './serving-context.ts';
import type { ServedConnection, ServingContext } from './serving-context.ts';
import type { SecureDownstream } from './tls/inbound-tls.ts';
import { trafficLabels } from './traffic-labels.ts';
import { TcpConnection } from './upstream/tcp-connection.ts';

export interface ServedInbound extends ServedConnection {
  readonly route: InboundDirection;
  readonly plan: PortPlan;
  readonly secure: SecureDownstream | null;
}

export function serveInboundHttp(context: ServingContext, served: ServedInbound): void {
  const { connection, end, facts, plan, route, secure } = served;
  const { counters, identity, inForce, loggers, onBug } = context;
  const snapshot = inForce.snapshot!;
  const ownSpiffeId = identity.spiffeId;
  const labels = trafficLabels(snapshot.workload, plan, facts.peer, ownSpiffeId, 'http');
  const requests = counters.requestCounter(labels);
  const http = new HttpConnection({
    socket: end.socket,
    raw: end.raw,
    facts,
    limits: snapshot.limits,
    protectedNames: NO_NAMES,
    tlsCipher: secure?.cipher ?? '',
    ownSpiffeId,
    route: context.inboundRoutes.cachedRoute(route),
    accessLog: () => inForce.accessLog,
    counters: counters.httpScope(inboundScope(context.bind, scopeOf(plan))),
    requests: () => requests,
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

export function serveInboundTcp(context: ServingContext, served: ServedInbound): void {
  const { end, facts, plan, route, secure, connection } = served;
  const { counters, identity, inForce, loggers, onBug } = context;
  const snapshot = inForce.snapshot!;
  const ownSpiffeId = identity.spiffeId;
  const labels = trafficLabels(snapshot.workload, plan, facts.peer, ownSpiffeId, 'tcp');
  const tcp = new TcpConnection({
    end,
    facts,
    upstream: context.inboundRoutes.upstreamOf(route),
    filters: context.inboundRoutes.filtersOf(plan),
    idleTimeoutMs: snapshot.limits.idleTimeoutMs,
    tlsCipher: secure?.cipher ?? '',
    ownSpiffeId,
    accessLog: () => inForce.accessLog,
    tunnels: counters.tunnelScope(plan.cluster),
    traffic: counters.tcpCounter(labels),
    log: loggers.get('upstream'),
    onBug,
  });
  connection.owner = { close: (reason) => tcp.close(reason), closeGracefully: nothing };
  tcp.start();
}
