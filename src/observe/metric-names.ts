/**
 * The one table of metric names: nothing else in the project spells one.
 *
 * `stat` is Envoy's name in `/stats`, behind the scope's prefix; the Prometheus name is made from it as Envoy
 * does (`envoy_listener_ssl_handshake`), unless it is Istio's or our own. A missing field does not compile.
 */
import type { ControlCounters } from './control-counters.ts';
import type {
  ClusterCounters,
  HttpCounters,
  ListenerCounters,
  ProcessCounters,
  TunnelCounters,
} from './counters.ts';
import type { TcpCounter, TrafficLabels } from './traffic-counters.ts';

type NumericField<T> = { [K in keyof T]: T[K] extends number ? K : never }[keyof T];
type RecordField<T> = { [K in keyof T]: T[K] extends Record<string, number> ? K : never }[keyof T];

export interface MetricName {
  readonly stat: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** Where Prometheus' name is not `stat`'s: the name behind the scope's prefix. */
  readonly metric?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A family with one series per name that occurred. */
export interface RecordName {
  readonly stat: string;
  readonly help: string;
  /** The whole Prometheus name. */
  readonly metric: string;
  readonly label: string;
}

const counter = (stat: string, help: string): MetricName => ({ stat, type: 'counter', help });
const gauge = (stat: string, help: string): MetricName => ({ stat, type: 'gauge', help });

const rqClass = (digit: string): MetricName => ({
  stat: `downstream_rq_${digit}xx`,
  type: 'counter',
  help: 'Responses by class of their status',
  metric: 'downstream_rq_xx',
  labels: { envoy_response_code_class: digit },
});

/** `listener.<address>.<stat>`, label `envoy_listener_address`. */
export const LISTENER_METRICS: Readonly<Record<NumericField<ListenerCounters>, MetricName>> = {
  cxTotal: counter('downstream_cx_total', 'Connections accepted'),
  cxActive: gauge('downstream_cx_active', 'Connections open'),
  cxDestroy: counter('downstream_cx_destroy', 'Connections closed'),
  cxOverflow: counter(
    'downstream_cx_overflow',
    'Connections refused because limits.maxConnections was reached',
  ),
  preCxTimeout: counter(
    'downstream_pre_cx_timeout',
    'Connections that sent too little to tell their protocol in time',
  ),
  noFilterChainMatch: counter('no_filter_chain_match', 'Connections that no chain takes'),
  sslHandshake: counter('ssl.handshake', 'TLS handshakes that succeeded'),
  sslSessionReused: counter('ssl.session_reused', 'TLS handshakes that resumed a session'),
  sslNoCertificate: counter('ssl.no_certificate', 'TLS handshakes that succeeded without a peer certificate'),
  sslConnectionError: counter('ssl.connection_error', 'TLS failures other than certificate verification'),
  sslFailVerifyNoCert: counter(
    'ssl.fail_verify_no_cert',
    'TLS failures because the peer presented no certificate',
  ),
  sslFailVerifyError: counter(
    'ssl.fail_verify_error',
    'TLS failures because the peer certificate was not trusted',
  ),
  sslFailVerifySan: counter('ssl.fail_verify_san', 'TLS failures because the peer identity was not accepted'),
};

export const LISTENER_RECORDS: Readonly<Record<RecordField<ListenerCounters>, RecordName>> = {
  sslVersions: {
    stat: 'ssl.versions',
    help: 'TLS handshakes by version',
    metric: 'envoy_listener_ssl_versions',
    label: 'envoy_ssl_version',
  },
  sslCiphers: {
    stat: 'ssl.ciphers',
    help: 'TLS handshakes by cipher suite',
    metric: 'envoy_listener_ssl_ciphers',
    label: 'envoy_ssl_cipher',
  },
  refused: {
    stat: 'refused',
    help: 'Connections refused, by error code',
    metric: 'postern_connections_refused_total',
    label: 'code',
  },
};

/** `http.<prefix>.<stat>`, label `envoy_http_conn_manager_prefix`. */
export const HTTP_METRICS: Readonly<Record<NumericField<HttpCounters>, MetricName>> = {
  cxTotal: counter('downstream_cx_total', 'HTTP connections'),
  cxActive: gauge('downstream_cx_active', 'HTTP connections open'),
  cxDestroy: counter('downstream_cx_destroy', 'HTTP connections closed'),
  cxRxBytes: counter('downstream_cx_rx_bytes_total', 'Bytes received from downstream'),
  cxTxBytes: counter('downstream_cx_tx_bytes_total', 'Bytes sent downstream'),
  rqTotal: counter('downstream_rq_total', 'Requests'),
  rqActive: gauge('downstream_rq_active', 'Requests in progress'),
  rqCompleted: counter('downstream_rq_completed', 'Requests answered'),
  rq1xx: rqClass('1'),
  rq2xx: rqClass('2'),
  rq3xx: rqClass('3'),
  rq4xx: rqClass('4'),
  rq5xx: rqClass('5'),
  rqRxReset: counter('downstream_rq_rx_reset', 'Requests that the peer cut'),
  rqTxReset: counter('downstream_rq_tx_reset', 'Requests that this proxy cut'),
  filterFailed: counter('filter_failed', 'Requests denied because a filter threw or rejected'),
};

export const HTTP_RECORDS: Readonly<Record<RecordField<HttpCounters>, RecordName>> = {
  codecRefused: {
    stat: 'codec_refused',
    help: 'Requests that the codec refused, by error code',
    metric: 'postern_requests_refused_total',
    label: 'code',
  },
};

/** `tcp.<prefix>.<stat>`, label `envoy_tcp_prefix`. */
export const TUNNEL_METRICS: Readonly<Record<NumericField<TunnelCounters>, MetricName>> = {
  cxTotal: counter('downstream_cx_total', 'TCP connections'),
  cxActive: gauge('downstream_cx_active', 'TCP connections open'),
  cxRxBytes: counter('downstream_cx_rx_bytes_total', 'Bytes received from downstream'),
  cxTxBytes: counter('downstream_cx_tx_bytes_total', 'Bytes sent downstream'),
  idleTimeout: counter('idle_timeout', 'TCP connections closed because nothing moved'),
};

/** `cluster.<name>.<stat>`, label `envoy_cluster_name`. */
export const CLUSTER_METRICS: Readonly<Record<NumericField<ClusterCounters>, MetricName>> = {
  cxTotal: counter('upstream_cx_total', 'Upstream connections'),
  cxActive: gauge('upstream_cx_active', 'Upstream connections open'),
  cxDestroy: counter('upstream_cx_destroy', 'Upstream connections closed'),
  cxConnectFail: counter('upstream_cx_connect_fail', 'Upstream connections that could not be made'),
  cxConnectTimeout: counter('upstream_cx_connect_timeout', 'Upstream connections not accepted in time'),
  cxRxBytes: counter('upstream_cx_rx_bytes_total', 'Bytes received from upstream'),
  cxTxBytes: counter('upstream_cx_tx_bytes_total', 'Bytes sent upstream'),
  rqTotal: counter('upstream_rq_total', 'Requests sent upstream'),
  rqActive: gauge('upstream_rq_active', 'Requests in progress upstream'),
  rqRetry: counter('upstream_rq_retry', 'Requests sent again'),
  rqRetrySuccess: counter('upstream_rq_retry_success', 'Requests answered after they were sent again'),
  rqTimeout: counter('upstream_rq_timeout', 'Requests that the upstream did not answer in time'),
  rqRxReset: counter('upstream_rq_rx_reset', 'Requests that the upstream cut'),
  rqTxReset: counter('upstream_rq_tx_reset', 'Upstream requests that this proxy cut'),
  unsolicited: counter('upstream_unsolicited', 'Idle upstream connections that spoke and were discarded'),
  outlierEjections: counter(
    'outlier_detection.ejections_enforced_total',
    'Endpoints not asked for a while after connections that failed in a row',
  ),
};

/** `server.<stat>`, and `postern_<metric>` in Prometheus. */
export const PROCESS_METRICS: Readonly<Record<NumericField<ProcessCounters>, MetricName>> = {
  bugs: { ...counter('bugs', 'Connections destroyed by an unexpected exception'), metric: 'bugs_total' },
  accessLogLines: {
    ...counter('access_log.written', 'Access-log lines taken'),
    metric: 'access_log_lines_total',
  },
  accessLogDropped: {
    ...counter('access_log.dropped', 'Access-log lines dropped because the reader was too slow or gone'),
    metric: 'access_log_dropped_total',
  },
  logLinesLeftOut: {
    ...counter('log.left_out', 'Log lines left out by the rate limit or a slow reader'),
    metric: 'log_lines_left_out_total',
  },
};

/** The control half's: the Prometheus name is whole, the value is made by `collectStats`. */
export const CONTROL_METRICS: Readonly<
  Record<
    | Exclude<keyof ControlCounters, 'startedAtMs'>
    | 'ready'
    | 'uptime'
    | 'daysUntilExpiry'
    | 'secondsUntilExpiry',
    MetricName
  >
> = {
  ready: { ...gauge('server.live', '1 while the sidecar is ready'), metric: 'envoy_server_live' },
  uptime: { ...gauge('server.uptime', 'Seconds since the start'), metric: 'envoy_server_uptime' },
  workers: { ...gauge('server.concurrency', 'Worker threads'), metric: 'envoy_server_concurrency' },
  workersLive: {
    ...gauge('server.workers_live', 'Worker threads that serve now'),
    metric: 'postern_workers_live',
  },
  workerRestarts: {
    ...counter('server.worker_restarts', 'Worker threads started in the place of one that ended'),
    metric: 'postern_worker_restarts_total',
  },
  workerConnectionsLost: {
    ...counter('server.worker_connections_lost', 'Connections that ended with their worker thread'),
    metric: 'postern_worker_connections_lost_total',
  },
  daysUntilExpiry: {
    ...gauge('server.days_until_first_cert_expiring', 'Whole days until the first certificate expires'),
    metric: 'envoy_server_days_until_first_cert_expiring',
  },
  secondsUntilExpiry: {
    ...gauge('certificate.seconds_until_expiry', 'Seconds until the own certificate expires'),
    metric: 'istio_agent_cert_expiry_seconds',
    labels: { resource_name: 'default' },
  },
  certificateNotAfterMs: {
    ...gauge('certificate.expiration_unix_time_in_seconds', 'When the own certificate expires'),
    metric: 'postern_certificate_expiration_timestamp_seconds',
  },
  rootNotAfterMs: {
    ...gauge('certificate.root_expiration_unix_time_in_seconds', 'When the first root expires'),
    metric: 'postern_root_expiration_timestamp_seconds',
  },
  rotations: {
    ...counter('certificate.rotations', 'Certificates taken (the first one included) or refused'),
    metric: 'postern_certificate_rotations_total',
    labels: { result: 'success' },
  },
  secretsRefused: {
    ...counter('certificate.refused', 'Certificates taken (the first one included) or refused'),
    metric: 'postern_certificate_rotations_total',
    labels: { result: 'refused' },
  },
  secretTakenAtMs: {
    ...gauge(
      'certificate.last_success_unix_time_in_seconds',
      'When the certificate or the bundle in force was taken',
    ),
    metric: 'postern_certificate_last_success_timestamp_seconds',
  },
  sdsConnected: {
    ...gauge('sds.connected', '1 while the SDS server that gives the certificate is connected'),
    metric: 'postern_sds_connected',
  },
  jwksSets: {
    ...gauge('jwks.sets', 'Key sets that are to be fetched for RequestAuthentications'),
    metric: 'postern_jwks_sets',
  },
  jwksSetsMissing: {
    ...gauge('jwks.sets_missing', 'Key sets that were never fetched; tokens that need them are refused'),
    metric: 'postern_jwks_sets_missing',
  },
  jwksOldestFetchMs: {
    ...gauge('jwks.oldest_fetch_unix_time_in_seconds', 'When the key set was fetched that is the oldest'),
    metric: 'postern_jwks_oldest_fetch_timestamp_seconds',
  },
  jwksFetchSuccess: {
    ...counter('jwks.fetch_success', 'Key sets fetched or not'),
    metric: 'postern_jwks_fetches_total',
    labels: { result: 'success' },
  },
  jwksFetchFailed: {
    ...counter('jwks.fetch_failed', 'Key sets fetched or not'),
    metric: 'postern_jwks_fetches_total',
    labels: { result: 'failed' },
  },
  generation: {
    ...gauge('config.generation', 'Generation of the configuration in force'),
    metric: 'postern_config_generation',
  },
  reloads: {
    ...counter('config.reload_success', 'Configurations taken (after the first) or refused'),
    metric: 'postern_config_reloads_total',
    labels: { result: 'success' },
  },
  reloadsRefused: {
    ...counter('config.reload_refused', 'Configurations taken (after the first) or refused'),
    metric: 'postern_config_reloads_total',
    labels: { result: 'refused' },
  },
  loadedAtMs: {
    ...gauge('config.last_success_unix_time_in_seconds', 'When the configuration in force was loaded'),
    metric: 'postern_config_last_success_timestamp_seconds',
  },
};

/** Istio's standard metrics; in Prometheus only. */
export const ISTIO_REQUESTS = { metric: 'istio_requests_total', help: 'Requests between workloads' } as const;
export const ISTIO_DURATION = {
  metric: 'istio_request_duration_milliseconds',
  help: 'Duration of requests between workloads',
} as const;
export const ISTIO_TCP_METRICS: Readonly<Record<NumericField<TcpCounter>, { metric: string; help: string }>> =
  {
    connectionsOpened: { metric: 'istio_tcp_connections_opened_total', help: 'TCP connections opened' },
    connectionsClosed: { metric: 'istio_tcp_connections_closed_total', help: 'TCP connections closed' },
    sentBytes: { metric: 'istio_tcp_sent_bytes_total', help: 'Bytes of answers on TCP connections' },
    receivedBytes: { metric: 'istio_tcp_received_bytes_total', help: 'Bytes of requests on TCP connections' },
  };

export const TRAFFIC_LABELS: Readonly<Record<keyof TrafficLabels, string>> = {
  reporter: 'reporter',
  sourcePrincipal: 'source_principal',
  sourceWorkloadNamespace: 'source_workload_namespace',
  destinationPrincipal: 'destination_principal',
  destinationWorkload: 'destination_workload',
  destinationWorkloadNamespace: 'destination_workload_namespace',
  destinationApp: 'destination_app',
  destinationVersion: 'destination_version',
  destinationService: 'destination_service',
  destinationServiceName: 'destination_service_name',
  destinationServiceNamespace: 'destination_service_namespace',
  requestProtocol: 'request_protocol',
  connectionSecurityPolicy: 'connection_security_policy',
};
