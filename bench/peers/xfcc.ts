/**
 * `x-forwarded-client-cert` for the peers that are built on node:https: the element of the client's certificate, made
 * once per connection, and the rule that a client without exactly one SPIFFE ID is not served.
 */
import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

const elements = new WeakMap<TLSSocket, string>();

/** Call on `secureConnection`; destroys a connection whose client has no single SPIFFE ID. */
export function rememberClient(socket: TLSSocket, ownUri: string): void {
  const certificate = socket.getPeerX509Certificate();
  const uris = certificate?.subjectAltName?.split(', ').filter((name) => name.startsWith('URI:')) ?? [];
  const uri = uris.length === 1 ? uris[0]?.slice(4) : undefined;
  if (certificate === undefined || uri === undefined || !uri.startsWith('spiffe://cluster.local/')) {
    socket.destroy();
    return;
  }
  const hash = createHash('sha256').update(certificate.raw).digest('hex');
  elements.set(socket, `By=${ownUri};Hash=${hash};Subject="";URI=${uri}`);
}

/** The header's value for a request: what the client sent, then its own element (APPEND_FORWARD). */
export function forwardedClientCert(socket: TLSSocket, received: string | string[] | undefined): string {
  const own = elements.get(socket) ?? '';
  return received === undefined || received.length === 0 ? own : `${String(received)},${own}`;
}
