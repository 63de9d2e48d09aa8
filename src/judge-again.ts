/**
 * Whether a connection that is open would still be let in: by the mode and protocol of its port, and by the trust
 * that its peer's certificate was accepted under.
 */
import type { TLSSocket } from 'node:tls';
import type { ErrorCodeName } from './core/errors.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { InboundTls } from './tls/inbound-tls.ts';

/** null: it lives on. Connections that have no chain yet meet the new rules by themselves. */
export function judgeInboundAgain(
  connection: LiveConnection,
  snapshot: Snapshot,
  tls: InboundTls,
  secured: TLSSocket | undefined,
): ErrorCodeName | null {
  if (connection.phase !== 'http' && connection.phase !== 'tcp') return null;
  const plan = planOfPort(snapshot, connection.destination.port);
  if (plan.protocol === 'http2') return 'http2_not_supported';
  // Bytes that pass by all HTTP rules.
  if (plan.protocol === 'http' && connection.phase === 'tcp') return 'no_filter_chain_match';
  if (secured === undefined) return plan.mode === 'STRICT' ? 'no_filter_chain_match' : null;
  if (plan.mode === 'DISABLE') return 'no_filter_chain_match';
  return tls.judgeAgain(secured);
}
