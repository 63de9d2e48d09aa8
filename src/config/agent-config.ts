/**
 * agent.yaml: the SDS server of one workload.
 */
import type { ListenAddress } from './postern-config.ts';

/** All paths are absolute, all defaults filled in. */
export interface AgentConfig {
  /** The file that was read. */
  readonly file: string;
  readonly workload: { readonly namespace: string; readonly serviceAccount: string };
  /** `mode` in octal, `uids`: peers that may connect; empty: the mode decides. */
  readonly socket: { readonly path: string; readonly mode: number; readonly uids: readonly number[] };
  readonly ca: { readonly address: string; readonly root: string; readonly serverName: string };
  /** null: the authorization metadata of the SDS stream. */
  readonly tokenFile: string | null;
  readonly certificate: {
    readonly ttlMs: number;
    readonly key: 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048';
    /** Share of the lifetime after which it is renewed. */
    readonly renewAt: number;
    readonly jitter: number;
  };
  /** Roots that are added to the CA's; null: none. Watched. */
  readonly trustBundleFile: string | null;
  /** null: no listener. */
  readonly readiness: ListenAddress | null;
}
