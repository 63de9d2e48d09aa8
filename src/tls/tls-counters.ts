/**
 * The part of a listener's counters that this room adds to: Envoy's `listener.<address>.ssl.*`.
 *
 * Node cannot tell a server the key exchange group, so there is no `ssl.curves`.
 */
import type { ListenerCounters } from '../observe/counters.ts';
import type { Refusal } from './handshake-failure.ts';

export type TlsCounters = Pick<
  ListenerCounters,
  'addHandshake' | 'sslConnectionError' | 'sslFailVerifyNoCert' | 'sslFailVerifyError' | 'sslFailVerifySan'
>;

/** Counts a failure where Envoy counts it: verification apart from all other errors. */
export function countHandshakeFailure(counters: TlsCounters, refusal: Refusal): void {
  const { code } = refusal;
  if (code === 'tls_no_certificate') counters.sslFailVerifyNoCert++;
  else if (code === 'tls_untrusted_certificate' || code === 'tls_expired_certificate')
    counters.sslFailVerifyError++;
  else if (code === 'tls_not_an_svid' || code === 'tls_foreign_trust_domain') counters.sslFailVerifySan++;
  else counters.sslConnectionError++;
}
