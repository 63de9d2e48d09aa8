import type { Address } from './core/address.ts';
import type { ConnectionFacts } from './http/filter.ts';
import type { AcceptedConnection } from './intercept/arrival.ts';
import type { SecureDownstream } from './tls/inbound-tls.ts';

/** What filters and logs know of a connection once its chain is chosen and its handshake over. */
export function connectionFacts(
  accepted: AcceptedConnection,
  protocol: 'http' | 'tcp',
  destination: Address,
  secure: SecureDownstream | null,
): ConnectionFacts {
  const { connection, remote, sniffed } = accepted;
  return {
    id: connection.id,
    direction: connection.direction,
    protocol,
    destination,
    remote,
    sni: sniffed.kind === 'tls' ? sniffed.sni : '',
    alpn: secure?.alpn ?? '',
    tls: secure !== null,
    tlsVersion: secure?.tlsVersion ?? '',
    peer: secure?.peer ?? null,
  };
}
