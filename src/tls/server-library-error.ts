/**
 * From what the TLS library says of a broken handshake with a server to a reason and a hint, as `library-error.ts`
 * does for clients. Keys on error codes only.
 */
import type { Refusal } from './handshake-failure.ts';
import { alertOf } from './library-error.ts';

const failed = (reason: string, hint: string): Refusal => ({ code: 'upstream_tls_failed', reason, hint });

export const SERVER_TIMEOUT: Refusal = {
  code: 'upstream_tls_timeout',
  reason: 'timeout',
  hint: 'the server took the connection and did not finish the handshake: look whether it speaks TLS at all and whether it is overloaded',
};

const NOT_TLS = failed(
  'not_tls',
  'the server does not speak TLS on this port: set tls.mode DISABLE in a DestinationRule for it, or give it a sidecar',
);
const MALFORMED = failed(
  'malformed_handshake',
  'a TLS message of the server breaks the protocol: look for a middlebox or a faulty server',
);
const VERSION = failed(
  'protocol_version_mismatch',
  'the server speaks no TLS version of ours: let it accept TLS 1.2 or 1.3',
);
const CLOSED = failed(
  'server_closed',
  'the server went away in the middle of the handshake: it may have refused our certificate without an alert, or speak no TLS on this port',
);

const BY_CODE: Readonly<Record<string, Refusal>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_HTTP_REQUEST: NOT_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: VERSION,
  ERR_SSL_UNKNOWN_PROTOCOL: VERSION,
  ERR_SSL_VERSION_TOO_LOW: VERSION,
  ERR_SSL_VERSION_TOO_HIGH: VERSION,
  ERR_SSL_BAD_SIGNATURE: failed(
    'bad_signature',
    'the server does not hold the private key of the certificate it presented',
  ),
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  ECONNABORTED: CLOSED,
  ERR_STREAM_PREMATURE_CLOSE: CLOSED,
  ERR_SSL_UNEXPECTED_EOF_WHILE_READING: CLOSED,
  ETIMEDOUT: CLOSED,
};

/** What the server's own alert means for whoever runs both sides. */
const ALERT_HINTS: Readonly<Record<string, string>> = {
  unknown_ca:
    'the server does not trust the root of our certificate: give both sides the same root, and reload the server after a root rotation',
  bad_certificate: 'the server refused our certificate as invalid: compare its SPIFFE ID and root with ours',
  certificate_expired:
    'the server says that our certificate or its issuer has expired: look at our notAfter and at its clock',
  certificate_revoked: 'the server holds a revocation list that names our certificate',
  certificate_unknown: 'the server refused our certificate: its own log says why',
  unsupported_certificate:
    'the server does not support the type of our certificate or its usages: issue it with clientAuth',
  certificate_required: 'the server asks for a client certificate and got none: use tls.mode MUTUAL',
  protocol_version: 'the server refused our TLS versions: let it accept TLS 1.2 or 1.3',
  handshake_failure:
    'the server found no common parameters, or wants a client certificate: compare cipher suites and tls.mode',
  no_application_protocol:
    'the server speaks none of the ALPN protocols that we offer: compare the protocol of the port on both sides',
  unrecognized_name:
    'the server has nothing under the SNI that we sent: compare tls.sni of the DestinationRule',
  access_denied: 'the server refused our identity: compare our SPIFFE ID with what it expects',
};

/** Explains an `error` event of a client-side socket in its handshake. */
export function explainServerError(code: string): Refusal {
  const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  if (known !== undefined) return known;
  const alert = alertOf(code);
  if (alert !== '') {
    const hint = Object.hasOwn(ALERT_HINTS, alert) ? ALERT_HINTS[alert] : undefined;
    return failed(
      `server_alert_${alert}`,
      hint ?? `the server ended the handshake with the alert "${alert}": its own log says why`,
    );
  }
  return code.startsWith('ERR_SSL_')
    ? MALFORMED
    : failed('failed', 'the TLS library gave up: its error names the cause');
}
