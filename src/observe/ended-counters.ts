/**
 * The counters of a worker that has ended, as they go on in the sum: what was open is open no more.
 *
 * Without them the sum would go back when a worker ends, which Prometheus takes for a restart of the process.
 */
import type { CounterValues } from './counters.ts';
import {
  CLUSTER_METRICS,
  HTTP_METRICS,
  LISTENER_METRICS,
  PROCESS_METRICS,
  TUNNEL_METRICS,
} from './metric-names.ts';
import type { MetricName } from './metric-names.ts';
import { TCP_EXT_AUTHZ_METRICS } from './policy-metric-names.ts';

/** A copy in which every gauge is 0 and connections that were open are counted as closed. */
export function endedCounters(counters: CounterValues): CounterValues {
  const ended = structuredClone(counters);
  for (const scope of Object.values(ended.listeners)) endScope(scope, LISTENER_METRICS);
  for (const scope of Object.values(ended.http)) endScope(scope, HTTP_METRICS);
  for (const scope of Object.values(ended.tunnels)) endScope(scope, TUNNEL_METRICS);
  for (const scope of Object.values(ended.clusters)) endScope(scope, CLUSTER_METRICS);
  endScope(ended.tcpExtAuthz, TCP_EXT_AUTHZ_METRICS);
  endScope(ended.process, PROCESS_METRICS);
  for (const pair of Object.values(ended.tcp)) pair.connectionsClosed = pair.connectionsOpened;
  return ended;
}

function endScope(scope: object, names: Readonly<Record<string, MetricName>>): void {
  const fields = new Map<string, unknown>(Object.entries(scope));
  const active = fields.get('cxActive');
  const closed = fields.get('cxDestroy');
  if (typeof active === 'number' && typeof closed === 'number')
    Object.assign(scope, { cxDestroy: closed + active });
  for (const [field, { type }] of Object.entries(names)) {
    if (type === 'gauge') Object.assign(scope, { [field]: 0 });
  }
}
