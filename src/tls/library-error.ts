/**
 * From what the TLS library says of a broken handshake to a reason and a hint that help an operator.
 *
 * Keys on error codes only (`ERR_SSL_` + OpenSSL's reason in capitals), never on message text.
 */
import type { Refusal } from './handshake-failure.ts';

const failed = (reason: string, hint: string): Refusal => ({ code: 'tls_handshake_failed', reason, hint });

const NOT_TLS = failed(
  'not_tls',
  'the bytes are not a TLS handshake: the client speaks plaintext or its bytes were changed on the way',
);
const MALFORMED = failed(
  'malformed_handshake',
  'a TLS message breaks the protocol: look for a middlebox, a scanner or a faulty client',
);
const VERSION = failed(
  'protocol_version_mismatch',
  'the client offers no TLS version of ours: let it offer TLS 1.2 or 1.3',
);
const CIPHER = failed(
  'cipher_mismatch',
  'no common cipher suite: let the client offer a TLS 1.3 suite, or AES-GCM with ECDHE for TLS 1.2',
);
const GROUP = failed(
  'group_mismatch',
  'no common key exchange group: let the client offer X25519MLKEM768, X25519 or P-256',
);
const SIGNATURE = failed(
  'signature_algorithm_mismatch',
  'the client accepts no signature that our key can make: compare its signature algorithms with our key type',
);
const CLOSED = failed(
  'client_closed',
  'the client went away in the middle of the handshake: it may have refused our certificate without an alert, or timed out',
);

const BY_CODE: Readonly<Record<string, Refusal>> = {
  ERR_SSL_HTTP_REQUEST: NOT_TLS,
  ERR_SSL_HTTPS_PROXY_REQUEST: NOT_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_UNSUPPORTED_PROTOCOL: VERSION,
  ERR_SSL_UNKNOWN_PROTOCOL: VERSION,
  ERR_SSL_VERSION_TOO_LOW: VERSION,
  ERR_SSL_VERSION_TOO_HIGH: VERSION,
  ERR_SSL_INAPPROPRIATE_FALLBACK: VERSION,
  ERR_SSL_NO_SHARED_CIPHER: CIPHER,
  ERR_SSL_NO_CIPHERS_SPECIFIED: CIPHER,
  ERR_SSL_NO_SUITABLE_KEY_SHARE: GROUP,
  ERR_SSL_NO_SUITABLE_GROUPS: GROUP,
  ERR_SSL_NO_SHARED_GROUPS: GROUP,
  ERR_SSL_NO_SHARED_GROUP: GROUP,
  ERR_SSL_BAD_KEY_SHARE: MALFORMED,
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: SIGNATURE,
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: SIGNATURE,
  ERR_SSL_NO_APPLICATION_PROTOCOL: failed(
    'alpn_mismatch',
    'the client offers no ALPN protocol of this port: compare its list with the chain',
  ),
  ERR_SSL_BAD_SIGNATURE: failed(
    'bad_signature',
    'the client does not hold the private key of the certificate it presented',
  ),
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: {
    code: 'tls_no_certificate',
    reason: 'no_certificate',
    hint: 'the client presented no certificate: this port needs mutual TLS',
  },
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  ECONNABORTED: CLOSED,
  ERR_STREAM_PREMATURE_CLOSE: CLOSED,
  ERR_SSL_UNEXPECTED_EOF_WHILE_READING: CLOSED,
  ETIMEDOUT: CLOSED,
  ERR_TLS_HANDSHAKE_TIMEOUT: {
    code: 'tls_handshake_timeout',
    reason: 'timeout',
    hint: 'the client began a handshake and did not go on: a slow network or a connection held open on purpose',
  },
};

/** What the client's own alert means for whoever runs both sides. */
const ALERT_HINTS: Readonly<Record<string, string>> = {
  unknown_ca:
    'the client does not trust the root of our certificate: give both sides the same root, and reload the client after a root rotation',
  bad_certificate: 'the client refused our certificate as invalid: compare its SPIFFE ID and root with ours',
  certificate_expired:
    'the client says that our certificate or its issuer has expired: look at our notAfter and at its clock',
  certificate_revoked: 'the client holds a revocation list that names our certificate',
  certificate_unknown:
    'the client refused our certificate, often because our SPIFFE ID is not the one that it expects: compare its subjectAltNames',
  unsupported_certificate: 'the client does not support the type of our certificate or its usages',
  certificate_required: 'the peer says that a certificate is required and it got none',
  protocol_version: 'the client refused our TLS version: let it accept TLS 1.2 or 1.3',
  handshake_failure: 'the client found no common parameters: compare cipher suites and groups',
  insufficient_security: 'the client asks for stronger parameters than ours',
  decrypt_error: 'the client could not verify our signature: the certificate and the key may not fit',
  access_denied: 'the client refused our identity: compare our SPIFFE ID with what it expects',
  user_canceled: 'the client gave up the handshake',
  no_renegotiation: 'the client refused a renegotiation',
};

/** OpenSSL's own words of these alerts, where they differ from the RFC's (RFC 8446 §6). */
const ALERT_ALIASES: Readonly<Record<string, string>> = { user_cancelled: 'user_canceled' };

/** `ERR_SSL_TLSV1_ALERT_UNKNOWN_CA`, `ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE`, `ERR_SSL_TLSV13_ALERT_…`. */
const ALERT = /^ERR_SSL_.*_ALERT_([A-Z_]+)$/;

/** Explains an error of `tlsClientError`. */
export function explainLibraryError(code: string): Refusal {
  const known = Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  if (known !== undefined) return known;
  const alert = alertOf(code);
  if (alert !== '') {
    const hint = Object.hasOwn(ALERT_HINTS, alert) ? ALERT_HINTS[alert] : undefined;
    return failed(
      `client_alert_${alert}`,
      hint ?? `the client ended the handshake with the alert "${alert}": its own log says why`,
    );
  }
  return code.startsWith('ERR_SSL_')
    ? MALFORMED
    : failed('failed', 'the TLS library gave up: its error names the cause');
}

/** The RFC's name of the alert that an error code stands for; '' for any other error. */
export function alertOf(code: string): string {
  const word = ALERT.exec(code)?.[1]?.toLowerCase() ?? '';
  return (Object.hasOwn(ALERT_ALIASES, word) ? ALERT_ALIASES[word] : undefined) ?? word;
}

/** The `code` of an error, '' if it has none. */
export function errorCodeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
