/** What the demo shows, in this order. */
import { certificateSwap } from './certificate-swap.ts';
import type { Scenario } from './check.ts';
import { hostileRequests } from './hostile-requests.ts';
import { mutualTls } from './mutual-tls.ts';
import { plaintextModes } from './plaintext-modes.ts';
import { refusedCertificates } from './refused-certificates.ts';

export const SCENARIOS: readonly Scenario[] = [
  mutualTls,
  plaintextModes,
  refusedCertificates,
  hostileRequests,
  certificateSwap,
];
