/**
 * ca.yaml: the certificate authority.
 */
import type { ListenAddress } from './postern-config.ts';

/** A verifier of caller tokens; those of a CA are tried in order. */
export interface DevelopmentTokens {
  readonly kind: 'development';
  readonly issuer: string;
  /** SPKI PEM file. */
  readonly publicKey: string;
  readonly audiences: readonly string[];
}

/** All paths are absolute, all defaults filled in. */
export interface CaConfig {
  /** The file that was read. */
  readonly file: string;
  /** `names`: DNS names and IP addresses of the server certificate, besides Istio's own and localhost. */
  readonly listen: ListenAddress & { readonly names: readonly string[] };
  readonly trustDomain: string;
  /** null: a self-signed root in memory only. */
  readonly rootFolder: string | null;
  readonly key: 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048';
  readonly ttl: { readonly defaultMs: number; readonly maxMs: number };
  readonly tokens: readonly DevelopmentTokens[];
  /** null: no listener. */
  readonly admin: ListenAddress | null;
}
