import type { Socket } from 'node:net';

/** What is dialled: an endpoint and how to be sure who answers. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Envoy's cluster name for logs, e.g. `inbound|8080||`. */
  readonly cluster: string;
  /** Absent: plain TCP. */
  readonly tls?: DialTls;
}

/** How TLS is spoken to an endpoint, and who must answer. */
export interface DialTls {
  /** `istio`: our SVID and the mesh's bundles. `external`: what files say. */
  readonly kind: 'istio' | 'external';
  /** Empty: none is sent. */
  readonly sni: string;
  readonly alpn: readonly string[];
  /** SANs of which the server must have one, exactly. Empty, `istio`: any member of the mesh. */
  readonly subjectAltNames: readonly string[];
  /** `external` only. */
  readonly external: ExternalTlsSettings | null;
}

export interface ExternalTlsSettings {
  readonly verify: 'name' | 'chain' | 'none';
  /** PEM text, never paths; '' : the system's roots, no client certificate. */
  readonly caPem: string;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/**
 * Opens connections for whoever needs one on the data path; only `upstream` implements it.
 * Exactly one callback runs, never in the caller's turn.
 */
export interface Dialer {
  /**
   * With `onBytes` what arrives is read into a buffer that all connections share and given there, never as
   * `data` events: the view holds only during the call.
   */
  dial(
    target: DialTarget,
    onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt;
}

export interface DialAttempt {
  /** Ends the attempt; no callback runs after it. */
  abort(): void;
}
