/**
 * The TLS parameters of mesh mTLS: what Istio's sidecars speak, with a post-quantum group first.
 *
 * Versions 1.2 and 1.3; for 1.2 exactly the six suites of Istio; no compression, no renegotiation.
 */
import { constants } from 'node:crypto';

/** Istio's default for mesh mTLS, in its order: no ChaCha20, no CBC. */
export const TLS12_SUITES = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
] as const;

/** AES-128 first, as BoringSSL does where the processor has AES: the cheapest a byte and a handshake. */
export const TLS13_SUITES = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
] as const;

/**
 * Hybrid first: recorded traffic stays closed to a later quantum computer. The slash ends OpenSSL's first
 * preference: a client that knows the hybrid group and sent a share of another one is asked again.
 */
export const GROUPS = 'X25519MLKEM768/X25519:P-256';

/** BoringSSL's default, and so Envoy's. Trust and expiry are checked again on every resumption. */
export const SESSION_LIFETIME_SECONDS = 7_200;

/** What every server of this room is made with, besides certificate, roots and ALPN. */
export interface TlsParameters {
  readonly minVersion: 'TLSv1.2';
  readonly maxVersion: 'TLSv1.3';
  readonly ciphers: string;
  readonly ecdhCurve: string;
  readonly honorCipherOrder: true;
  readonly secureOptions: number;
  readonly sessionTimeout: number;
}

/** `tickets` false: no session is ever resumed. */
export function tlsParameters(tickets: boolean): TlsParameters {
  return {
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [...TLS13_SUITES, ...TLS12_SUITES].join(':'),
    ecdhCurve: GROUPS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (tickets ? 0 : constants.SSL_OP_NO_TICKET),
    sessionTimeout: SESSION_LIFETIME_SECONDS,
  };
}
