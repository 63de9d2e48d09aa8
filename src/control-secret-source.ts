/** The source of secrets that postern.yaml names. What speaks gRPC is loaded only where it is used. */
import type { PosternConfig } from './config/postern-config.ts';
import type { SecretSource } from './core/secret.ts';
import { createFileSecrets } from './identity/file-secrets.ts';
import type { Log } from './observe/log.ts';

export interface SecretSourceOptions {
  readonly config: Pick<PosternConfig, 'identity' | 'workload'>;
  /** Own trust domain first, then its aliases. */
  readonly trustDomains: readonly string[];
  readonly log: Log;
  /** Whether the server that the source has is there; never called for files. */
  readonly onConnected: (connected: boolean) => void;
}

export async function openSecretSource(options: SecretSourceOptions): Promise<SecretSource> {
  const { config, log, onConnected, trustDomains } = options;
  const { identity, workload } = config;
  if (identity.kind === 'files') return createFileSecrets({ ...identity, trustDomains });
  const { createSdsSecrets } = await import('./identity/sds-client.ts');
  onConnected(false);
  return createSdsSecrets({ ...identity, trustDomains, workload, log, onConnected });
}
