/**
 * Plain counters that the data path adds to; names and help are in `metric-names.ts`, text in `render-stats.ts`.
 *
 * Everything enumerable here is a number, a string or a record of these, so that a worker can send the whole
 * with one structured clone and the control half adds them up. Names that peers could choose are capped.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import { emptyRecord } from './empty-record.ts';
import {
  ClusterExtAuthzCounters,
  ExtAuthzCounters,
  JwtCounters,
  RbacCounters,
  TcpExtAuthzCounters,
} from './policy-counters.ts';
import { RequestCounter, TcpCounter, trafficKey } from './traffic-counters.ts';
import type { TrafficLabels } from './traffic-counters.ts';

/** Listeners, ports and clusters come from configuration; beyond this many they share the scope `other`. */
export const MAX_SCOPES = 1_024;

/** Distinct label sets of `istio_*` series: one per peer principal and port; beyond it all share `other`. */
export const MAX_TRAFFIC_LABEL_SETS = 1_000;

/** TLS versions and cipher suites told apart per listener. */
const MAX_TLS_NAMES = 64;

const OTHER = 'other';

/** How often each code occurred; codes that never did are absent. */
export type CodeCounts = Record<string, number>;

/** One listening address; Envoy's `listener.<address>.*`. */
export class ListenerCounters {
  cxTotal = 0;
  cxActive = 0;
  cxDestroy = 0;
  /** Refused because `limits.maxConnections` was reached. */
  cxOverflow = 0;
  /** Sniffing did not end in time. */
  preCxTimeout = 0;
  noFilterChainMatch = 0;
  sslHandshake = 0;
  sslSessionReused = 0;
  /** Handshakes that ended well without a peer certificate. */
  sslNoCertificate = 0;
  sslConnectionError = 0;
  sslFailVerifyNoCert = 0;
  sslFailVerifyError = 0;
  sslFailVerifySan = 0;
  readonly sslVersions: Record<string, number> = emptyRecord();
  readonly sslCiphers: Record<string, number> = emptyRecord();
  /** Connections refused before any protocol, by code. */
  readonly refused: CodeCounts = emptyRecord();

  /** Counts a finished handshake. */
  addHandshake(version: string, cipher: string, resumed: boolean): void {
    this.sslHandshake++;
    if (resumed) this.sslSessionReused++;
    addNamed(this.sslVersions, version);
    addNamed(this.sslCiphers, cipher);
  }

  /** Counts a connection that was closed without an answer. */
  addRefused(code: ErrorCodeName): void {
    this.refused[code] = (this.refused[code] ?? 0) + 1;
  }
}

function addNamed(record: Record<string, number>, name: string): void {
  const now = record[name];
  if (now !== undefined) record[name] = now + 1;
  else if (Object.keys(record).length < MAX_TLS_NAMES) record[name] = 1;
  else record[OTHER] = (record[OTHER] ?? 0) + 1;
}

/** One HTTP chain; Envoy's `http.<stat prefix>.*`. */
export class HttpCounters {
  cxTotal = 0;
  cxActive = 0;
  cxDestroy = 0;
  cxRxBytes = 0;
  cxTxBytes = 0;
  rqTotal = 0;
  rqActive = 0;
  rqCompleted = 0;
  rq1xx = 0;
  rq2xx = 0;
  rq3xx = 0;
  rq4xx = 0;
  rq5xx = 0;
  /** The peer went away in the middle of an exchange. */
  rqRxReset = 0;
  rqTxReset = 0;
  filterFailed = 0;
  readonly rbac: RbacCounters = new RbacCounters();
  readonly jwt: JwtCounters = new JwtCounters();
  readonly extAuthz: ExtAuthzCounters = new ExtAuthzCounters();
  /** Requests that the codec refused, by code. */
  readonly codecRefused: CodeCounts = emptyRecord();

  /** Counts the head of an answer by its class. */
  addResponse(status: number): void {
    if (status < 200) this.rq1xx++;
    else if (status < 300) this.rq2xx++;
    else if (status < 400) this.rq3xx++;
    else if (status < 500) this.rq4xx++;
    else this.rq5xx++;
  }

  /** Counts a request that never became an exchange. */
  addCodecRefused(code: ErrorCodeName): void {
    this.codecRefused[code] = (this.codecRefused[code] ?? 0) + 1;
  }
}

/** One TCP chain; Envoy's `tcp.<stat prefix>.*`. */
export class TunnelCounters {
  cxTotal = 0;
  cxActive = 0;
  cxRxBytes = 0;
  cxTxBytes = 0;
  idleTimeout = 0;
}

/** One upstream cluster; Envoy's `cluster.<name>.*`. */
export class ClusterCounters {
  cxTotal = 0;
  cxActive = 0;
  cxDestroy = 0;
  cxConnectFail = 0;
  cxConnectTimeout = 0;
  cxRxBytes = 0;
  cxTxBytes = 0;
  rqTotal = 0;
  rqActive = 0;
  rqRetry = 0;
  rqRetrySuccess = 0;
  rqTimeout = 0;
  rqRxReset = 0;
  rqTxReset = 0;
  /** An idle connection spoke and was discarded. */
  unsolicited = 0;
  /** Endpoints taken out for a while after dials that failed in a row. */
  outlierEjections = 0;
  readonly extAuthz: ClusterExtAuthzCounters = new ClusterExtAuthzCounters();
}

/** What belongs to the process and to no scope. */
export class ProcessCounters {
  /** Unexpected exceptions; each destroyed one connection. */
  bugs = 0;
  accessLogLines = 0;
  accessLogDropped = 0;
  /** Log lines left out by the rate limit or because the reader was too slow. */
  logLinesLeftOut = 0;
}

/** What a worker sends: the data of `Counters` without its methods. */
export interface CounterValues {
  readonly listeners: Readonly<Record<string, Omit<ListenerCounters, 'addHandshake' | 'addRefused'>>>;
  readonly http: Readonly<Record<string, Omit<HttpCounters, 'addResponse' | 'addCodecRefused'>>>;
  readonly tunnels: Readonly<Record<string, TunnelCounters>>;
  readonly clusters: Readonly<Record<string, ClusterCounters>>;
  readonly requests: Readonly<Record<string, Omit<RequestCounter, 'add'>>>;
  readonly tcp: Readonly<Record<string, TcpCounter>>;
  readonly tcpRbac: RbacCounters;
  readonly tcpExtAuthz: TcpExtAuthzCounters;
  readonly process: ProcessCounters;
}

/** All counters of one worker. Ask for a scope once per chain or connection and keep it. */
export class Counters implements CounterValues {
  readonly listeners: Record<string, ListenerCounters> = emptyRecord();
  readonly http: Record<string, HttpCounters> = emptyRecord();
  readonly tunnels: Record<string, TunnelCounters> = emptyRecord();
  readonly clusters: Record<string, ClusterCounters> = emptyRecord();
  readonly requests: Record<string, RequestCounter> = emptyRecord();
  readonly tcp: Record<string, TcpCounter> = emptyRecord();
  /** Of all TCP chains, as Envoy's `tcp.rbac.*` and `ext_authz.tcp.*`. */
  readonly tcpRbac: RbacCounters = new RbacCounters();
  readonly tcpExtAuthz: TcpExtAuthzCounters = new TcpExtAuthzCounters();
  readonly process: ProcessCounters = new ProcessCounters();
  readonly #sizes = new Map<object, number>();

  /** `address` as `0.0.0.0_15001`. */
  listener(address: string): ListenerCounters {
    return this.#scope(this.listeners, address, MAX_SCOPES, () => new ListenerCounters());
  }

  /** The address that was counted under is known better now. */
  renameListener(from: string, to: string): void {
    const counters = this.listeners[from];
    if (counters === undefined || from === to) return;
    delete this.listeners[from];
    this.listeners[to] = counters;
  }

  /** `prefix` as `inbound_0.0.0.0_8080`. */
  httpScope(prefix: string): HttpCounters {
    return this.#scope(this.http, prefix, MAX_SCOPES, () => new HttpCounters());
  }

  /** `prefix` as the cluster's name, as Istio does for TCP chains. */
  tunnelScope(prefix: string): TunnelCounters {
    return this.#scope(this.tunnels, prefix, MAX_SCOPES, () => new TunnelCounters());
  }

  /** `name` as `inbound|8080||`. */
  cluster(name: string): ClusterCounters {
    return this.#scope(this.clusters, name, MAX_SCOPES, () => new ClusterCounters());
  }

  /** Istio's request metrics for one pair of workloads: ask once per connection. */
  requestCounter(labels: TrafficLabels): RequestCounter {
    return this.#scope(
      this.requests,
      trafficKey(labels),
      MAX_TRAFFIC_LABEL_SETS,
      (overflow) => new RequestCounter(labels, overflow),
    );
  }

  /** Istio's TCP metrics for one pair of workloads: ask once per connection. */
  tcpCounter(labels: TrafficLabels): TcpCounter {
    return this.#scope(
      this.tcp,
      trafficKey(labels),
      MAX_TRAFFIC_LABEL_SETS,
      (overflow) => new TcpCounter(labels, overflow),
    );
  }

  #scope<T>(record: Record<string, T>, key: string, max: number, make: (overflow: boolean) => T): T {
    const known = record[key];
    if (known !== undefined) return known;
    const size = this.#sizes.get(record) ?? 0;
    if (size >= max) return (record[OTHER] ??= make(true));
    this.#sizes.set(record, size + 1);
    return (record[key] = make(false));
  }
}

/** Adds up what the workers sent; the result is a value of its own. */
export function sumCounters(all: readonly CounterValues[]): CounterValues {
  const sum = structuredClone<CounterValues>(new Counters());
  for (const one of all) addInto(sum, one);
  return sum;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** Numbers add, lists of numbers add by place, records recurse, strings (labels) stay. */
function addInto(target: unknown, source: unknown): void {
  if (!isRecord(target) || !isRecord(source)) return;
  for (const key of Object.keys(source)) {
    const from = source[key];
    const into = Object.hasOwn(target, key) ? target[key] : undefined;
    if (into === undefined) target[key] = structuredClone(from);
    else if (typeof from === 'number' && typeof into === 'number') target[key] = into + from;
    else addInto(into, from);
  }
}
