/**
 * What is known of a handshake that did not end well: everything that its one log line needs.
 *
 * The room never logs it: whoever asked for the handshake does. No field holds a secret.
 */
import type { ErrorCodeName } from '../core/errors.ts';

/** A certificate as far as it could be read; texts may be a stranger's, so loggers escape them. */
export interface PresentedCertificate {
  /** '' where the certificate holds no readable SPIFFE ID. */
  readonly spiffeId: string;
  readonly subject: string;
  readonly issuer: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Why: `code` for counters and docs, `reason` finer and as stable, `hint` what to do about it. */
export interface Refusal {
  readonly code: ErrorCodeName;
  readonly reason: string;
  readonly hint: string;
}

/** Whose certificate and whose fault it is: a client's at our door, or the server's that we asked. */
export type PeerSide = 'client' | 'server';

export interface HandshakeFailure extends Refusal {
  readonly ok: false;
  readonly direction: 'inbound' | 'outbound';
  /** `ip:port` of the peer. */
  readonly remote: string;
  readonly sni: string;
  readonly offeredAlpn: readonly string[];
  /** null: the peer presented none, or the handshake ended before it could. */
  readonly presented: PresentedCertificate | null;
  /** Subjects of the roots that were in force, at most eight of them. */
  readonly trustBundleSubjects: readonly string[];
  /** What the TLS library said, '' if it said nothing. */
  readonly libraryError: string;
}

/** The same of a server: what it had to prove, and what it is to be called in an access log. */
export interface ServerFailure extends HandshakeFailure {
  readonly direction: 'outbound';
  /** SANs of which the server had to have one; empty: any member of the mesh, or what the SNI names. */
  readonly wanted: readonly string[];
  /** UPSTREAM_TRANSPORT_FAILURE_REASON in Envoy's shape. */
  readonly transportReason: string;
}
