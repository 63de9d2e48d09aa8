/** Who is at the other end of an mTLS connection: proved once per handshake, kept for the connection's life. */
export interface PeerIdentity {
  /** `spiffe://cluster.local/ns/foo/sa/sleep`, exactly as in the certificate. */
  readonly spiffeId: string;
  readonly trustDomain: string;
  /** From `/ns/NS/sa/SA` paths; '' for any other path. */
  readonly namespace: string;
  readonly serviceAccount: string;
  /** DNS SANs in the order of the certificate. */
  readonly dnsNames: readonly string[];
  /** Subject in RFC 2253 form, '' when empty (as Istio issues it). */
  readonly subject: string;
  /** Lower-case hex SHA-256 of the leaf's DER, XFCC's `Hash`. */
  readonly hash: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Milliseconds since the epoch. */
  readonly notAfterMs: number;
}
