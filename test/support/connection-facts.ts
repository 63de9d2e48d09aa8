/** What is known of a connection: only what a test is about has to be said. */
import type { ConnectionFacts } from '../../src/http/filter.ts';

/** Inbound HTTP from 10.0.0.9 to 10.0.0.2:8080; over TLS if there is a peer, else in plaintext. */
export function connectionFacts(differs: Partial<ConnectionFacts> = {}): ConnectionFacts {
  const tls = (differs.peer ?? null) !== null;
  return {
    id: 1,
    direction: 'inbound',
    protocol: 'http',
    destination: { ip: '10.0.0.2', port: 8080 },
    remote: { ip: '10.0.0.9', port: 40_000 },
    sni: '',
    alpn: '',
    tls,
    tlsVersion: tls ? 'TLSv1.3' : '',
    peer: null,
    ...differs,
  };
}
