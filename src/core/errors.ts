/**
 * The one table of error codes, and the error that carries them.
 *
 * A code is stable: logs, metrics, `/ready`, the CLI and tests key on it; messages may change freely.
 * `message` may reach a peer, `detail` never leaves this host.
 */

/** Who made the failure, seen from this proxy. */
export type ErrorSource = 'downstream' | 'upstream' | 'local' | 'control';

/** Whether an upstream attempt may be repeated; decided where the error is born. */
export type Retry = 'never' | 'safe' | 'reused-connection';

export interface ErrorCode {
  readonly source: ErrorSource;
  /** HTTP status that the peer sees; 0: the connection is closed without one. */
  readonly status: number;
  /** Envoy's response flag in the access log, `-` for none. */
  readonly flag: string;
  /** One line for docs and `--help`. */
  readonly meaning: string;
}

/** code: source, status, flag, meaning. */
const TABLE = {
  // intercept
  not_redirected: [
    'downstream',
    0,
    'NR',
    'the connection was made to our own port and intercept.direct is not set',
  ],
  foreign_destination: ['downstream', 0, 'NR', 'the original destination is not an address of this host'],
  unknown_destination: [
    'local',
    502,
    '-',
    'no service is known at this destination and outboundTrafficPolicy is REGISTRY_ONLY',
  ],
  own_port: ['downstream', 0, 'NR', 'the original destination is a port of this sidecar itself'],
  sniff_timeout: ['downstream', 0, 'NR', 'too few bytes came to tell the protocol before the deadline'],
  closed_while_sniffing: ['downstream', 0, 'DC', 'the peer closed before its first bytes told the protocol'],
  bad_client_hello: ['downstream', 0, 'DPE', 'the connection began as TLS and its ClientHello is malformed'],
  too_many_connections: ['downstream', 0, 'UO', 'limits.maxConnections is reached'],
  // choose chain
  no_filter_chain_match: ['downstream', 0, 'NR', 'no chain takes this kind of connection'],
  http2_not_supported: ['downstream', 0, 'NR', 'HTTP/2 arrived and this version speaks HTTP/1.1 only'],
  // tls
  tls_no_certificate: ['downstream', 0, '-', 'the peer presented no certificate'],
  tls_untrusted_certificate: [
    'downstream',
    0,
    '-',
    'the peer certificate does not chain to the trust bundle',
  ],
  tls_expired_certificate: ['downstream', 0, '-', 'the peer certificate is outside its validity'],
  tls_not_an_svid: ['downstream', 0, '-', 'the peer certificate is not a valid X.509-SVID'],
  tls_foreign_trust_domain: [
    'downstream',
    0,
    '-',
    'the peer identity is of a trust domain that is not trusted',
  ],
  tls_handshake_failed: ['downstream', 0, '-', 'the TLS handshake failed'],
  tls_handshake_timeout: [
    'downstream',
    0,
    '-',
    'the TLS handshake did not finish before limits.handshakeTimeoutMs',
  ],
  tls_no_secret: ['local', 0, '-', 'no certificate or trust bundle has been loaded yet'],
  // http, from the downstream
  bad_request_line: ['downstream', 400, 'DPE', 'the request line is malformed'],
  bad_method: ['downstream', 400, 'DPE', 'the method is not a token'],
  bad_target: ['downstream', 400, 'DPE', 'the request target is malformed'],
  bad_http_version: ['downstream', 400, 'DPE', 'the HTTP version is not 1.0 or 1.1'],
  bad_line_end: ['downstream', 400, 'DPE', 'a line does not end with CR LF'],
  bad_header_name: ['downstream', 400, 'DPE', 'a header name has a character that is not a token character'],
  bad_header_value: ['downstream', 400, 'DPE', 'a header value has a control character'],
  obsolete_line_folding: ['downstream', 400, 'DPE', 'a header line starts with white space'],
  bad_host: ['downstream', 400, 'DPE', 'the Host header is absent, repeated or not a host'],
  host_mismatch: ['downstream', 400, 'DPE', 'Host differs from the authority of the absolute-form target'],
  bad_content_length: ['downstream', 400, 'DPE', 'Content-Length is malformed or repeated'],
  bad_transfer_encoding: ['downstream', 400, 'DPE', 'Transfer-Encoding is not exactly "chunked"'],
  ambiguous_framing: ['downstream', 400, 'DPE', 'Content-Length and Transfer-Encoding are both present'],
  bad_chunk: ['downstream', 400, 'DPE', 'the chunked body is malformed'],
  chunk_extension_too_large: [
    'downstream',
    400,
    'DPE',
    'chunk extensions exceed limits.maxChunkExtensionBytes',
  ],
  bad_trailer: ['downstream', 400, 'DPE', 'a trailer field is malformed or not allowed in trailers'],
  head_too_large: ['downstream', 431, 'DPE', 'the head exceeds limits.maxHeadBytes'],
  too_many_headers: ['downstream', 431, 'DPE', 'the head has more fields than limits.maxHeaders'],
  head_timeout: ['downstream', 408, 'DPE', 'the request head did not arrive before limits.headTimeoutMs'],
  body_stalled: ['downstream', 408, 'DPE', 'no byte of the body moved for limits.bodyStallTimeoutMs'],
  expectation_failed: ['downstream', 417, '-', 'Expect holds something other than 100-continue'],
  path_normalization_failed: ['downstream', 400, '-', 'the path cannot be normalised'],
  upgrade_refused: ['downstream', 403, '-', 'the request asks for an upgrade and none is enabled'],
  connect_refused: ['downstream', 404, 'NR', 'CONNECT is not routed'],
  downstream_reset: ['downstream', 0, 'DC', 'the peer closed before the exchange was over'],
  idle_timeout: ['downstream', 0, '-', 'nothing moved for limits.idleTimeoutMs'],
  // filters
  filter_failed: ['local', 500, '-', 'a filter threw or rejected; the request is denied'],
  rbac_denied: [
    'local',
    403,
    '-',
    'an AuthorizationPolicy denies, or ALLOW policies apply and no rule matched',
  ],
  jwt_denied: ['local', 401, '-', 'a token came and a RequestAuthentication does not accept it'],
  ext_authz_denied: ['local', 403, 'UAEX', 'the provider of a CUSTOM policy denied'],
  ext_authz_error: [
    'local',
    403,
    'UAEX',
    'the provider of a CUSTOM policy could not be asked, or answered with an error',
  ],
  filter_denied: ['local', 403, '-', 'a filter of the embedding program denied'],
  request_body_too_large: ['local', 413, '-', 'a filter asked for the body and it exceeds the limit it gave'],
  // upstream
  upstream_connect_failed: ['upstream', 503, 'UF', 'the connection to the upstream could not be made'],
  upstream_connect_timeout: [
    'upstream',
    503,
    'UF',
    'the upstream did not accept before limits.connectTimeoutMs',
  ],
  upstream_tls_failed: ['upstream', 503, 'UF', 'the TLS handshake with the upstream failed'],
  upstream_tls_timeout: [
    'upstream',
    503,
    'UF',
    'the TLS handshake with the upstream did not finish before limits.handshakeTimeoutMs',
  ],
  upstream_untrusted: ['upstream', 503, 'UF', 'the upstream certificate is not one that the mesh trusts'],
  upstream_identity_mismatch: [
    'upstream',
    503,
    'UF',
    'the upstream proved an identity, and not one of the service that was meant',
  ],
  no_healthy_upstream: ['upstream', 503, 'UH', 'the service has no endpoint that could be dialled'],
  upstream_reset: ['upstream', 503, 'UC', 'the upstream closed before it answered'],
  upstream_truncated: ['upstream', 0, 'UC', 'the upstream closed in the middle of its answer'],
  upstream_protocol_error: ['upstream', 502, 'UPE', 'the upstream answered with malformed HTTP'],
  upstream_stalled: ['upstream', 504, 'UT', 'the upstream sent nothing for limits.bodyStallTimeoutMs'],
  upstream_unsolicited: ['upstream', 0, '-', 'an idle upstream connection spoke; it was discarded'],
  // life
  draining: ['local', 503, 'OM', 'the sidecar is shutting down'],
  connection_too_old: ['local', 0, '-', 'a TCP connection reached limits.maxConnectionAgeMs'],
  bug: ['local', 500, '-', 'an unexpected exception; the connection was destroyed and counted'],
  // control half
  config_invalid: ['control', 0, '-', 'a document has errors; the last good configuration stays in force'],
  identity_invalid: ['control', 0, '-', 'the identity files cannot be used'],
  identity_missing: ['control', 0, '-', 'the SDS server has not given certificate and trust bundle yet'],
  identity_expired: ['control', 0, '-', 'the own certificate has expired'],
  worker_failed: ['control', 0, '-', 'a worker thread cannot be started, or none serves'],
  tls_files_invalid: [
    'control',
    0,
    '-',
    'files that a DestinationRule names cannot be used; the last good ones stay in force',
  ],
  not_started: ['control', 0, '-', 'listeners are not open yet'],
  // certificates: what the CA refuses, and why an agent has none
  token_missing: ['control', 0, '-', 'a certificate was asked for without a token'],
  token_invalid: ['control', 0, '-', 'the token is not one that the CA can verify'],
  token_expired: ['control', 0, '-', 'the token is outside its validity'],
  token_wrong_issuer: ['control', 0, '-', 'the token is of an issuer that the CA does not know'],
  token_wrong_audience: ['control', 0, '-', 'the token is meant for another audience than the CA'],
  token_wrong_subject: ['control', 0, '-', 'the subject of the token is not a service account'],
  impersonation_refused: ['control', 0, '-', 'a certificate was asked for in the name of somebody else'],
  csr_invalid: ['control', 0, '-', 'the certificate request is malformed or not signed by its own key'],
  csr_weak_key: ['control', 0, '-', 'the key of the certificate request is weak or of an unknown kind'],
  csr_identity_mismatch: [
    'control',
    0,
    '-',
    'the certificate request names another namespace or service account than the caller has',
  ],
  csr_ttl_too_long: ['control', 0, '-', 'the certificate was asked for a longer time than ttl.max'],
  signing_failed: ['control', 0, '-', 'the CA cannot sign now'],
  ca_unreachable: ['control', 0, '-', 'the CA cannot be reached'],
  ca_untrusted: ['control', 0, '-', 'the certificate of the CA server does not chain to ca.root'],
  ca_wrong_name: ['control', 0, '-', 'the certificate of the CA server is not for ca.serverName'],
  ca_refused: ['control', 0, '-', 'the CA refused to issue a certificate'],
  ca_bad_answer: ['control', 0, '-', 'the CA answered with a certificate that cannot be used'],
  sds_not_listening: ['control', 0, '-', 'the socket of the SDS server cannot be opened'],
  access_log_failed: ['control', 0, '-', 'the access log cannot be opened or written'],
} as const;

export type ErrorCodeName = keyof typeof TABLE;

/** Every code and what it means. */
export const ERROR_CODES: Readonly<Record<ErrorCodeName, ErrorCode>> = tableOfCodes();

function tableOfCodes(): Record<ErrorCodeName, ErrorCode> {
  const codes: Partial<Record<ErrorCodeName, ErrorCode>> = {};
  for (const name of namesOfCodes()) {
    const [source, status, flag, meaning] = TABLE[name];
    codes[name] = { source, status, flag, meaning };
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every name was just set
  return codes as Record<ErrorCodeName, ErrorCode>;
}

function namesOfCodes(): readonly ErrorCodeName[] {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a literal has no other keys
  return Object.keys(TABLE) as ErrorCodeName[];
}

/** A failure with a stable code. Denials are verdicts, not errors. */
export class MeshError extends Error {
  readonly code: ErrorCodeName;
  readonly retry: Retry;
  /** For logs only: never sent to a peer. */
  readonly detail: string;

  constructor(code: ErrorCodeName, detail = '', options: { cause?: unknown; retry?: Retry } = {}) {
    super(ERROR_CODES[code].meaning, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MeshError';
    this.code = code;
    this.detail = detail;
    this.retry = options.retry ?? 'never';
  }

  get source(): ErrorSource {
    return ERROR_CODES[this.code].source;
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** What a log or the command line is told of a failure: its detail, where it has one. */
export function whyOf(thrown: unknown): string {
  return thrown instanceof MeshError && thrown.detail !== '' ? thrown.detail : messageOf(thrown);
}
