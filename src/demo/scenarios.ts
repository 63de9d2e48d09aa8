/** What the demo shows, in this order: PERMISSIVE first, STRICT from the legacy client on. */
import { autoMtls } from './auto-mtls.ts';
import type { Scenario } from './check.ts';
import { hostileRequests } from './hostile-requests.ts';
import { identityChecks } from './identity-checks.ts';
import { legacyClient } from './legacy-client.ts';
import { pairs } from './pairs.ts';
import { policies } from './policies.ts';
import { privateKeys } from './private-keys.ts';
import { refusedCertificates } from './refused-certificates.ts';
import { rotations } from './rotations.ts';
import { wrongServer } from './wrong-server.ts';

export const SCENARIOS: readonly Scenario[] = [
  identityChecks,
  pairs,
  autoMtls,
  legacyClient,
  wrongServer,
  refusedCertificates,
  hostileRequests,
  policies,
  rotations,
  privateKeys,
];
