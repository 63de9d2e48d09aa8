/** Opens and ends the HTTP servers of the demo. */
import { once } from 'node:events';
import type { Server } from 'node:http';

/** The port in use. Rejects, with nothing open, if it cannot listen there. */
export async function openServer(server: Server, host: string, port: number): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : port;
}

/** Connections that are kept end with it. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
