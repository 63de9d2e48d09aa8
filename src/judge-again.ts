/**
 * Whether a connection that is open would still be let in: by the mode and protocol of its port, by the trust that
 * its peer's certificate was accepted under, and, where bytes pass uninspected, by the policies. Requests meet the
 * policies in force by themselves; a provider of CUSTOM policies is not asked again.
 */
import type { TLSSocket } from 'node:tls';
import type { ErrorCodeName } from './core/errors.ts';
import { denyOpenConnection } from './filters/rbac-denial.ts';
import type { ConnectionFacts, Deny } from './http/filter.ts';
import type { InForce } from './in-force.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { InboundTls } from './tls/inbound-tls.ts';

/** What is known of an inbound connection in service. */
export interface JudgedInbound {
  readonly facts: ConnectionFacts;
  /** null: plaintext, or TLS that is not terminated here. */
  readonly secured: TLSSocket | null;
}

/** null: it lives on; a denial says which policy ends it. Connections that are not in service yet meet the new rules by themselves. */
export function judgeInboundAgain(
  connection: LiveConnection,
  judged: JudgedInbound | undefined,
  inForce: InForce,
  tls: InboundTls,
): ErrorCodeName | Deny | null {
  if (judged === undefined || (connection.phase !== 'http' && connection.phase !== 'tcp')) return null;
  const plan = planOfPort(inForce.snapshot!, connection.destination.port);
  if (plan.protocol === 'http2') return 'http2_not_supported';
  // Bytes that pass by all HTTP rules.
  if (plan.protocol === 'http' && connection.phase === 'tcp') return 'no_filter_chain_match';
  if (judged.secured === null) {
    if (plan.mode === 'STRICT') return 'no_filter_chain_match';
  } else {
    if (plan.mode === 'DISABLE') return 'no_filter_chain_match';
    const refused = tls.judgeAgain(judged.secured);
    if (refused !== null) return refused;
  }
  if (connection.phase === 'http') return null;
  return denyOpenConnection(inForce.policy.policies.tcp, judged.facts);
}
