/**
 * The last leg of the outbound road: a connection of the app becomes an HTTP connection, whose requests find
 * their service by Host, or a tunnel to an endpoint of one.
 */
import { HttpConnection } from './http/http-connection.ts';
import type { OutboundDirection } from './intercept/direction.ts';
import type { OutboundChoice } from './mesh/outbound-chains.ts';
import type { RouteTable } from './mesh/plan.ts';
import { outboundPlanOf } from './choose-outbound.ts';
import { NO_NAMES, nothing } from './serving-context.ts';
import type { ServedConnection, ServingContext } from './serving-context.ts';
import { outboundTrafficLabels } from './traffic-labels.ts';
import { TcpConnection } from './upstream/tcp-connection.ts';

export interface ServedOutbound extends ServedConnection {
  readonly route: OutboundDirection;
  /** Asked again under each snapshot. */
  readonly choose: () => OutboundChoice;
}

export function serveOutboundHttp(context: ServingContext, served: ServedOutbound): void {
  const { choose, connection, end, facts, route } = served;
  const { counters, identity, inForce, loggers, onBug, outboundRoutes } = context;
  const tableNow = (): RouteTable | null => {
    const choice = choose();
    return choice.kind === 'http' ? choice.routes : null;
  };
  const http = new HttpConnection({
    socket: end.socket,
    raw: end.raw,
    facts,
    limits: inForce.snapshot!.limits,
    protectedNames: NO_NAMES,
    tlsCipher: '',
    ownSpiffeId: identity.spiffeId,
    route: outboundRoutes.router(route, tableNow),
    accessLog: () => inForce.accessLog,
    // One scope for all ports that no service has: the app chooses among them.
    counters: counters.httpScope(`outbound_${context.bind}_${scopeOf(context, route)}`),
    requests: (cluster) => outboundRoutes.requestCounter(cluster),
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

/** `cluster` '' goes where the app meant to. */
export function serveOutboundTcp(context: ServingContext, served: ServedOutbound, cluster: string): void {
  const { connection, end, facts, route } = served;
  const { counters, identity, inForce, loggers, onBug, outboundRoutes } = context;
  const snapshot = inForce.snapshot!;
  const name = outboundRoutes.tcpClusterName(cluster);
  const plan = outboundRoutes.planOf(cluster);
  const labels = outboundTrafficLabels(snapshot.workload, plan, name, identity.spiffeId, 'tcp');
  const tcp = new TcpConnection({
    end,
    facts,
    upstream: outboundRoutes.tcpUpstream(cluster, route),
    filters: inForce.outboundFilters,
    idleTimeoutMs: snapshot.limits.idleTimeoutMs,
    tlsCipher: '',
    ownSpiffeId: identity.spiffeId,
    accessLog: () => inForce.accessLog,
    tunnels: counters.tunnelScope(name),
    traffic: counters.tcpCounter(labels),
    log: loggers.get('upstream'),
    onBug,
  });
  connection.owner = { close: (reason) => tcp.close(reason), closeGracefully: nothing };
  tcp.start();
}

function scopeOf({ inForce }: ServingContext, route: OutboundDirection): string {
  if (route.listener !== '') return route.listener;
  const plan = outboundPlanOf(inForce.snapshot!.outbound, route);
  return plan === null ? 'passthrough' : String(route.destination.port);
}
