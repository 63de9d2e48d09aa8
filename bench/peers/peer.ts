/**
 * What the benchmark knows of a peer: where it is, how it is started, how it says that it is ready.
 */
import type { Certificates, ServerCertificates } from '../certificates.ts';
import type { Command } from '../measure/child.ts';
import type { EnforcedPolicy } from '../policy/enforced-policy.ts';

export type AppProtocol = 'http' | 'tcp';

/** What a peer is started with; the folder is its own, the ports are free ones on loopback. */
export interface PeerSetup {
  readonly folder: string;
  readonly certificates: Certificates;
  /** The server's own certificate, and what a client's sidecar is to trust. */
  readonly servers: ServerCertificates;
  /** What the app behind it speaks. */
  readonly protocol: AppProtocol;
  readonly appPort: number;
  readonly port: number;
  readonly adminPort: number;
  /** Of a client's sidecar: where the server's listens. 0 for a server's. */
  readonly upstreamPort: number;
  readonly workers: number;
  /** After which an unused connection is closed. */
  readonly idleMs: number;
  /** What an inbound sidecar enforces besides STRICT; null: nothing. */
  readonly policy: EnforcedPolicy | null;
}

/** A peer that is on this machine. */
export interface Installed {
  readonly version: string;
  /** Writes its settings into the setup's folder. */
  start(setup: PeerSetup): Command;
  /** The client's sidecar of a pair: plain from the app, mTLS to the server's sidecar. */
  startOutbound?(setup: PeerSetup): Command;
}

export interface Peer {
  readonly name: string;
  /** What it checks of a client beside the chain, for the table. */
  readonly checks: 'SPIFFE ID' | 'chain only';
  /** What its client's sidecar checks of the server's; null: it is not measured as a pair. */
  readonly pairChecks: 'SPIFFE ID' | 'DNS name' | null;
  readonly accessLog: boolean;
  readonly carries: readonly AppProtocol[];
  /** `line`: prints the port that it chose on stdout; `connect`: serves the port that it was given. */
  readonly ready: 'line' | 'connect';
  /** Null when it is not on this machine. */
  find(): Installed | null;
}
