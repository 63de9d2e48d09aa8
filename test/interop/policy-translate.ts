/** The workload's port of a translated snapshot, secrets inline, as a listener of Envoy takes it. */
import type { SecretMaterial } from '../../src/core/secret.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import { translateInbound } from '../../src/translate/translate-inbound.ts';
import { WORKLOAD_PORT } from './policy-alphabet.ts';
import type { InboundChains } from './policy-envoy.ts';

export function translateSet(snapshot: Snapshot, secret: SecretMaterial): InboundChains {
  const { inbound } = translateInbound(snapshot, {
    keySets: [],
    inlineSecrets: {
      certificateChain: secret.certificateChainPem,
      privateKey: secret.privateKeyPem,
      trustBundle: Object.values(secret.bundles).join(''),
    },
  });
  return (inbound[WORKLOAD_PORT] ?? inbound['0'])!;
}
