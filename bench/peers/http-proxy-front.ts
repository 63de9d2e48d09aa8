/** http-proxy behind node:https; both of its peers start with this. */
import type { Agent, IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { APP_PORT, startHttpsFront } from './https-front.ts';

/** The package has no types of its own; this is all of it that is used here. */
interface HttpProxy {
  web(request: IncomingMessage, response: ServerResponse, onError: (error: Error) => void): void;
}

const { createProxyServer } = createRequire(import.meta.url)('http-proxy') as {
  createProxyServer(this: void, options: { target: string; agent?: Agent }): HttpProxy;
};

export function startHttpProxy(agent: Agent | null): void {
  const target = `http://127.0.0.1:${APP_PORT}`;
  const proxy = createProxyServer(agent === null ? { target } : { target, agent });
  startHttpsFront((request, response) => {
    proxy.web(request, response, () => {
      if (!response.headersSent) response.writeHead(502);
      response.end();
    });
  });
}
