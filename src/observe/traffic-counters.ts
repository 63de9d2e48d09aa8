/**
 * Istio's standard metrics (`istio_requests_total` and siblings) as handles: the labels of a connection are
 * joined once when it opens, each request then costs a few increments and builds no string.
 */
import { emptyRecord } from './empty-record.ts';

/** Labels that are the same for all requests of one connection. `unknown` where a value is not known, as Istio. */
export interface TrafficLabels {
  readonly reporter: 'source' | 'destination';
  /** `spiffe://…` or `unknown`. */
  readonly sourcePrincipal: string;
  readonly sourceWorkloadNamespace: string;
  readonly destinationPrincipal: string;
  readonly destinationWorkload: string;
  readonly destinationWorkloadNamespace: string;
  readonly destinationApp: string;
  readonly destinationVersion: string;
  /** `httpbin.foo.svc.cluster.local`. */
  readonly destinationService: string;
  readonly destinationServiceName: string;
  readonly destinationServiceNamespace: string;
  readonly requestProtocol: 'http' | 'grpc' | 'tcp';
  readonly connectionSecurityPolicy: 'mutual_tls' | 'none' | 'unknown';
}

/** Envoy's histogram buckets, milliseconds; the last one is open. */
export const DURATION_BUCKETS_MS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
  1_800_000, 3_600_000,
];

/** Distinct pairs of response code and flags per label set; an app that invents codes ends in `other`. */
export const MAX_RESPONSE_SERIES = 40;

/** One key per label set; no label value holds a NUL. */
export function trafficKey(labels: TrafficLabels): string {
  return `${labels.sourcePrincipal}\0${labels.destinationService}\0${labels.requestProtocol}\0${labels.connectionSecurityPolicy}\0${labels.reporter}\0${labels.destinationPrincipal}\0${labels.sourceWorkloadNamespace}\0${labels.destinationWorkload}\0${labels.destinationWorkloadNamespace}\0${labels.destinationApp}\0${labels.destinationVersion}\0${labels.destinationServiceName}\0${labels.destinationServiceNamespace}`;
}

/** What a label set becomes when there are too many: who it was is lost, what happened is not. */
function overflowLabels(labels: TrafficLabels): TrafficLabels {
  return {
    ...labels,
    sourcePrincipal: 'other',
    sourceWorkloadNamespace: 'other',
    destinationService: 'other',
  };
}

/** Answers counted under one code and flags. */
export interface ResponseSeries {
  readonly code: string;
  readonly flags: string;
  count: number;
}

/** `istio_requests_total` and `istio_request_duration_milliseconds` of one pair of workloads. */
export class RequestCounter {
  readonly labels: TrafficLabels;
  readonly responses: Record<string, ResponseSeries> = emptyRecord();
  durationSumMs = 0;
  durationCount = 0;
  /** Not cumulative: one place per bucket and one for what is slower than all. */
  readonly durationBuckets: number[] = Array.from({ length: DURATION_BUCKETS_MS.length + 1 }, () => 0);
  // Not enumerable and so not cloned: where the last answers were found.
  readonly #codes: number[] = [];
  readonly #flags: string[] = [];
  readonly #series: ResponseSeries[] = [];

  constructor(labels: TrafficLabels, overflow: boolean) {
    this.labels = overflow ? overflowLabels(labels) : { ...labels };
  }

  /** Counts one answer; `code` 0: none was sent. */
  add(code: number, flags: string, durationMs: number): void {
    this.durationSumMs += durationMs;
    this.durationCount++;
    let bucket = 0;
    while (bucket < DURATION_BUCKETS_MS.length && durationMs > DURATION_BUCKETS_MS[bucket]!) bucket++;
    this.durationBuckets[bucket]!++;
    const codes = this.#codes;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === code && this.#flags[i] === flags) {
        this.#series[i]!.count++;
        return;
      }
    }
    this.#addNew(code, flags);
  }

  #addNew(code: number, flags: string): void {
    if (this.#codes.length >= MAX_RESPONSE_SERIES) {
      (this.responses['other'] ??= { code: 'other', flags: 'other', count: 0 }).count++;
      return;
    }
    const series: ResponseSeries = { code: String(code), flags, count: 1 };
    this.responses[`${code} ${flags}`] = series;
    this.#codes.push(code);
    this.#flags.push(flags);
    this.#series.push(series);
  }
}

/** `istio_tcp_*` of one pair of workloads: add to the fields. */
export class TcpCounter {
  readonly labels: TrafficLabels;
  connectionsOpened = 0;
  connectionsClosed = 0;
  /** Bytes of answers, as Istio counts `sent`. */
  sentBytes = 0;
  receivedBytes = 0;

  constructor(labels: TrafficLabels, overflow: boolean) {
    this.labels = overflow ? overflowLabels(labels) : { ...labels };
  }
}
