/**
 * UPSTREAM_TRANSPORT_FAILURE_REASON of a TLS handshake in Envoy 1.40's shape: BoringSSL's number and name where there
 * is one, our reason where Envoy has a sentence. For logs; no client ever sees it.
 */
import type { Refusal } from './handshake-failure.ts';

const CERTIFICATE_VERIFY_FAILED = '268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED';

export function transportReason(refusal: Refusal, libraryError: string): string {
  const { code, reason } = refusal;
  // Envoy says of a deadline, and of a server that just goes, nothing more than its reset reason.
  if (code === 'upstream_tls_timeout' || reason === 'server_closed') return '';
  if (code !== 'upstream_tls_failed')
    return `TLS_error:|${CERTIFICATE_VERIFY_FAILED}:verify_cert_failed:_${reason}:TLS_error_end`;
  const name = libraryError.startsWith('ERR_SSL_') ? libraryError.slice(8) : reason;
  return `TLS_error:|SSL_routines:OPENSSL_internal:${name}:TLS_error_end`;
}
