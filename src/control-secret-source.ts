/** The source of secrets that postern.yaml names. What speaks gRPC is loaded only where it is used. */
import type { PosternConfig } from './config/postern-config.ts';
import type { SecretSource } from './core/secret.ts';
import { createFileSecrets } from './identity/file-secrets.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { Log } from './observe/log.ts';

export interface SecretSourceContext {
  readonly counters: ControlCounters;
  readonly log: Log;
}

/** Own trust domain first, then its aliases. */
export async function openSecretSource(
  identity: PosternConfig['identity'],
  trustDomains: readonly string[],
  _context: SecretSourceContext,
): Promise<SecretSource> {
  if (identity.kind === 'files') return createFileSecrets({ ...identity, trustDomains });
  throw new Error('identity.sds is not wired yet');
}
