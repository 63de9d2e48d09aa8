/** What CUSTOM policies of the demo ask: Istio's sample in small, it allows who says `x-ext-authz: allow`. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Place } from './demo-documents.ts';
import { FREE_HOST } from './demo-addresses.ts';

export interface DemoAuthorizer extends Place {
  /** Requests that it was asked about. */
  readonly asked: number;
  close(): Promise<void>;
}

export async function startDemoAuthorizer(): Promise<DemoAuthorizer> {
  let asked = 0;
  const server = createServer((request, response) => {
    asked++;
    request.resume();
    const allowed = request.headers['x-ext-authz'] === 'allow';
    response.writeHead(allowed ? 200 : 403, { 'x-ext-authz-check-result': allowed ? 'allowed' : 'denied' });
    response.end(allowed ? '' : 'denied by the demo: say x-ext-authz: allow');
  });
  server.listen(0, FREE_HOST);
  await once(server, 'listening');
  const address = server.address();
  return {
    host: FREE_HOST,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get asked() {
      return asked;
    },
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
