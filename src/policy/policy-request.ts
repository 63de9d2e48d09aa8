/**
 * What rules look at. Nothing here is trusted from the client but what it plainly is: identities are those that the
 * handshake proved, tokens those that were verified, the path is the normalised one that is forwarded.
 */
import type { VerifiedToken } from '../core/jwt-plan.ts';

/** Facts of a connection: plain values, the same for all its requests. */
export interface PolicyConnectionFacts {
  /** What the peer proved, tried in this order: URI SANs, DNS SANs, subject. Empty: no mTLS, and no identity matches. */
  readonly identities: readonly string[];
  /** The direct peer. */
  readonly remoteIp: string;
  readonly destinationIp: string;
  /** The workload's port. */
  readonly destinationPort: number;
  /** Lower case; '' for none. */
  readonly sni: string;
}

/** What a head says of its body and trailers, which the codec takes out of the fields. */
export interface PolicyFraming {
  /** Bytes; -1: chunked; 0: none. */
  readonly bodyLength: number;
  /** `content-length: 0` was written. */
  readonly statesEmptyBody: boolean;
  /** `te: trailers` was written. */
  readonly acceptsTrailers: boolean;
  /** `expect: 100-continue` was written, and nobody has answered it. */
  readonly expectContinue: boolean;
}

/** One request as filters see it at the time of the decision. */
export interface PolicyRequest {
  readonly method: string;
  /** Normalised, with query. */
  readonly path: string;
  /** As received, port included. */
  readonly authority: string;
  /** Name, value, name, value …, names in lower case. */
  readonly fields: readonly string[];
  readonly framing: PolicyFraming;
  readonly scheme: 'http' | 'https';
  /** null: none came, or none was asked for. */
  readonly token: VerifiedToken | null;
}
