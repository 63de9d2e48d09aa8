/**
 * What one access-log line is made of: an object of one fixed shape, filled along the way of the exchange
 * (or of the TCP connection) and given to the access log once.
 *
 * Missing is `''`, for numbers `-1`. Strings are as received: the access log escapes, callers do not.
 */

const NO_FIELDS: readonly string[] = Object.freeze([]);

export class AccessLogEntry {
  /** Milliseconds since the epoch. */
  startTimeMs = 0;
  /** '' for TCP, as are the next two. */
  method = '';
  /** `x-envoy-original-path` if the path was changed, else the path; with its query, as received. */
  originalPath = '';
  /** The path as forwarded where it differs from `originalPath`. */
  path = '';
  /** `HTTP/1.1`, `HTTP/1.0`, `HTTP/2`. */
  protocol = '';
  /** 0: none was sent, or TCP. */
  responseCode = 0;
  /** `-` for none, several joined with a comma. */
  responseFlags = '-';
  responseCodeDetails = '';
  connectionTerminationDetails = '';
  upstreamTransportFailureReason = '';
  /** Of bodies, as Envoy counts them. */
  bytesReceived = 0;
  bytesSent = 0;
  durationMs = 0;
  /** From the request's end to the answer's head; -1: no answer came. */
  upstreamServiceTimeMs = -1;
  /** Flat name, value list, names in lower case, as forwarded upstream; for `%REQ(…)%`. */
  requestFields: readonly string[] = NO_FIELDS;
  /** As sent downstream; for `%RESP(…)%`. */
  responseFields: readonly string[] = NO_FIELDS;
  /** For `%TRAILER(…)%`. */
  responseTrailers: readonly string[] = NO_FIELDS;
  /** `ip:port`. */
  upstreamHost = '';
  /** `inbound|8080||`. */
  upstreamCluster = '';
  upstreamLocalAddress = '';
  /** The destination as the client meant it, `ip:port`. */
  downstreamLocalAddress = '';
  downstreamRemoteAddress = '';
  requestedServerName = '';
  routeName = '';
  authority = '';
  requestId = '';
  userAgent = '';
  xForwardedFor = '';
  /** SPIFFE ID of the peer; '' without mTLS. */
  peerUri = '';
  localUri = '';
  peerSerial = '';
  /** `TLSv1.3`; '' for plaintext. */
  tlsVersion = '';
  tlsCipher = '';
  connectionId = 0;
}
