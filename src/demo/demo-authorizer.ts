/** What CUSTOM policies of the demo ask: Istio's sample in small, it allows who says `x-ext-authz: allow`. */
import { createServer } from 'node:http';
import type { Place } from './demo-documents.ts';
import { FREE_HOST } from './demo-addresses.ts';
import { closeServer, openServer } from './demo-server.ts';

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
  const port = await openServer(server, FREE_HOST, 0);
  return {
    host: FREE_HOST,
    port,
    get asked() {
      return asked;
    },
    close: () => closeServer(server),
  };
}
