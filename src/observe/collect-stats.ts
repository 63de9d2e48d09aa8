/** Turns counters into a flat list of samples under the names of `metric-names.ts`. */
import type { ControlCounters } from './control-counters.ts';
import type { CounterValues } from './counters.ts';
import {
  CLUSTER_METRICS,
  CONTROL_METRICS,
  HTTP_METRICS,
  HTTP_RECORDS,
  ISTIO_REQUESTS,
  ISTIO_TCP_METRICS,
  LISTENER_METRICS,
  LISTENER_RECORDS,
  PROCESS_METRICS,
  TRAFFIC_LABELS,
  TUNNEL_METRICS,
} from './metric-names.ts';
import type { MetricName, RecordName } from './metric-names.ts';
import {
  CLUSTER_EXT_AUTHZ_METRICS,
  DRY_RUN_METRICS,
  EXT_AUTHZ_METRICS,
  JWT_METRICS,
  RBAC_METRICS,
  TCP_EXT_AUTHZ_METRICS,
} from './policy-metric-names.ts';
import type { TrafficLabels } from './traffic-counters.ts';

export interface StatsInput {
  readonly counters: CounterValues;
  readonly control: ControlCounters;
  readonly ready: boolean;
  readonly nowMs: number;
}

export interface Sample {
  /** Envoy's name in `/stats`; '' for what only Prometheus shows. */
  readonly stat: string;
  readonly metric: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The fields of a counter struct by name. */
function fieldsOf(values: object): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(values));
}

/** One scope: where its names begin and which label it carries. */
interface Scope {
  readonly stat: string;
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
}

export function collectStats(input: StatsInput): Sample[] {
  const samples: Sample[] = [];
  const { counters } = input;
  for (const [name, values] of Object.entries(counters.listeners)) {
    const scope = {
      stat: `listener.${name}.`,
      metric: 'envoy_listener_',
      labels: { envoy_listener_address: name },
    };
    addNumbers(samples, scope, LISTENER_METRICS, values);
    addRecords(samples, scope, LISTENER_RECORDS, values);
  }
  for (const [name, values] of Object.entries(counters.http)) {
    const scope = {
      stat: `http.${name}.`,
      metric: 'envoy_http_',
      labels: { envoy_http_conn_manager_prefix: name },
    };
    addNumbers(samples, scope, HTTP_METRICS, values);
    addRecords(samples, scope, HTTP_RECORDS, values);
    // Policies guard what comes in; outbound chains have none.
    if (!name.startsWith('outbound_')) {
      const metric = `envoy_http_${name.replaceAll(/[^A-Za-z0-9_]/g, '_')}_rbac`;
      const rbac = { ...scope, stat: `${scope.stat}rbac.`, metric };
      addNumbers(samples, rbac, RBAC_METRICS, values.rbac);
      addNumbers(samples, { ...rbac, metric: 'postern_' }, DRY_RUN_METRICS, values.rbac);
      addNumbers(samples, scope, JWT_METRICS, values.jwt);
      addNumbers(samples, scope, EXT_AUTHZ_METRICS, values.extAuthz);
    }
  }
  for (const [name, values] of Object.entries(counters.tunnels)) {
    const scope = { stat: `tcp.${name}.`, metric: 'envoy_tcp_', labels: { envoy_tcp_prefix: name } };
    addNumbers(samples, scope, TUNNEL_METRICS, values);
  }
  for (const [name, values] of Object.entries(counters.clusters)) {
    const scope = {
      stat: `cluster.${name}.`,
      metric: 'envoy_cluster_',
      labels: { envoy_cluster_name: name },
    };
    addNumbers(samples, scope, CLUSTER_METRICS, values);
    const { ok, denied, error } = values.extAuthz;
    // Few clusters are providers.
    if (ok + denied + error > 0) addNumbers(samples, scope, CLUSTER_EXT_AUTHZ_METRICS, values.extAuthz);
  }
  addTcpPolicies(samples, counters);
  addNumbers(samples, { stat: 'server.', metric: 'postern_', labels: {} }, PROCESS_METRICS, counters.process);
  addControl(samples, input);
  addTraffic(samples, counters);
  return samples;
}

function addTcpPolicies(samples: Sample[], counters: CounterValues): void {
  const rbac = { stat: 'tcp.rbac.', metric: 'envoy_tcp_rbac', labels: {} };
  addNumbers(samples, rbac, RBAC_METRICS, counters.tcpRbac);
  const ours = { ...rbac, metric: 'postern_', labels: { envoy_tcp_prefix: 'tcp' } };
  addNumbers(samples, ours, DRY_RUN_METRICS, counters.tcpRbac);
  const extAuthz = {
    stat: 'ext_authz.tcp.',
    metric: 'envoy_ext_authz_',
    labels: { envoy_ext_authz_prefix: 'tcp' },
  };
  addNumbers(samples, extAuthz, TCP_EXT_AUTHZ_METRICS, counters.tcpExtAuthz);
}

function addNumbers(
  samples: Sample[],
  scope: Scope,
  names: Readonly<Record<string, MetricName>>,
  values: object,
): void {
  const fields = fieldsOf(values);
  for (const [field, name] of Object.entries(names)) {
    const value = fields.get(field);
    // What this sidecar does not have is not 0: it is absent.
    if (value === null) continue;
    samples.push({
      stat: scope.stat + name.stat,
      metric: scope.metric + (name.metric ?? name.stat.replaceAll('.', '_')),
      type: name.type,
      help: name.help,
      labels: name.labels === undefined ? scope.labels : { ...scope.labels, ...name.labels },
      value: typeof value === 'number' ? value : 0,
    });
  }
}

function addRecords(
  samples: Sample[],
  scope: Scope,
  names: Readonly<Record<string, RecordName>>,
  values: object,
): void {
  const fields = fieldsOf(values);
  for (const [field, name] of Object.entries(names)) {
    for (const [key, value] of Object.entries(fields.get(field) ?? {})) {
      samples.push({
        stat: `${scope.stat}${name.stat}.${key}`,
        metric: name.metric,
        type: 'counter',
        help: name.help,
        labels: { ...scope.labels, [name.label]: key },
        value: Number(value),
      });
    }
  }
}

function addControl(samples: Sample[], input: StatsInput): void {
  const { control, nowMs } = input;
  const ends = [control.certificateNotAfterMs, control.rootNotAfterMs].filter((end) => end > 0);
  const untilFirstMs = ends.length === 0 ? 0 : Math.min(...ends) - nowMs;
  const untilOwnMs = control.certificateNotAfterMs === 0 ? 0 : control.certificateNotAfterMs - nowMs;
  const values: Readonly<Record<keyof typeof CONTROL_METRICS, number | null>> = {
    ready: input.ready ? 1 : 0,
    uptime: Math.floor((nowMs - control.startedAtMs) / 1000),
    workers: control.workers,
    workersLive: control.workersLive,
    workerRestarts: control.workerRestarts,
    workerConnectionsLost: control.workerConnectionsLost,
    daysUntilExpiry: Math.max(0, Math.floor(untilFirstMs / 86_400_000)),
    secondsUntilExpiry: Math.floor(untilOwnMs / 1000),
    certificateNotAfterMs: Math.floor(control.certificateNotAfterMs / 1000),
    rootNotAfterMs: Math.floor(control.rootNotAfterMs / 1000),
    rotations: control.rotations,
    secretsRefused: control.secretsRefused,
    secretTakenAtMs: Math.floor(control.secretTakenAtMs / 1000),
    sdsConnected: control.sdsConnected,
    jwksSets: control.jwksSets,
    jwksSetsMissing: control.jwksSetsMissing,
    jwksOldestFetchMs:
      control.jwksOldestFetchMs === null ? null : Math.floor(control.jwksOldestFetchMs / 1000),
    jwksFetchSuccess: control.jwksSets === null ? null : control.jwksFetchSuccess,
    jwksFetchFailed: control.jwksSets === null ? null : control.jwksFetchFailed,
    generation: control.generation,
    reloads: control.reloads,
    reloadsRefused: control.reloadsRefused,
    loadedAtMs: Math.floor(control.loadedAtMs / 1000),
  };
  addNumbers(samples, { stat: '', metric: '', labels: {} }, CONTROL_METRICS, values);
}

/** Istio's label names and values; empty is `unknown`, as in Istio. */
export function trafficLabelsOf(labels: TrafficLabels): Record<string, string> {
  const values: Readonly<Record<string, string>> = { ...labels };
  const result: Record<string, string> = {};
  for (const [field, label] of Object.entries(TRAFFIC_LABELS)) result[label] = values[field] || 'unknown';
  return result;
}

function addTraffic(samples: Sample[], counters: CounterValues): void {
  for (const pair of Object.values(counters.requests)) {
    const labels = trafficLabelsOf(pair.labels);
    for (const series of Object.values(pair.responses)) {
      samples.push({
        stat: '',
        ...ISTIO_REQUESTS,
        type: 'counter',
        labels: { ...labels, response_code: series.code, response_flags: series.flags },
        value: series.count,
      });
    }
  }
  for (const pair of Object.values(counters.tcp)) {
    const labels = trafficLabelsOf(pair.labels);
    const fields = fieldsOf(pair);
    for (const [field, name] of Object.entries(ISTIO_TCP_METRICS)) {
      samples.push({ stat: '', ...name, type: 'counter', labels, value: Number(fields.get(field)) });
    }
  }
}
