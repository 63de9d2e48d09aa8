/**
 * An app of the mesh: any HTTP server would do. It answers with its name and the method, path and headers that it
 * saw, so that a check can tell who answered and what went through; on node:http, a parser that is not ours.
 */
import { createServer } from 'node:http';
import { closeServer, openServer } from './demo-server.ts';

export interface DemoApp {
  readonly host: string;
  readonly port: number;
  /** Requests that reached it so far, malformed ones included. */
  readonly requestsSeen: number;
  close(): Promise<void>;
}

/** What the app says that it saw. */
export interface AppView {
  /** `foo/httpbin`: who answered. */
  readonly app: string;
  readonly method: string;
  readonly path: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
}

export async function startDemoApp(name: string, host: string, port: number): Promise<DemoApp> {
  let requestsSeen = 0;
  const server = createServer((request, response) => {
    requestsSeen++;
    request.resume();
    const { method, url, headers } = request;
    const body = Buffer.from(`${JSON.stringify({ app: name, method, path: url, headers }, null, 2)}\n`);
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
    response.end(body);
  });
  server.on('clientError', (_error, socket) => {
    requestsSeen++;
    socket.destroy();
  });
  const openPort = await openServer(server, host, port);
  return {
    host,
    port: openPort,
    get requestsSeen() {
      return requestsSeen;
    },
    close: () => closeServer(server),
  };
}

/** Reads the app's answer; throws if it is not one. */
export function parseAppView(body: string): AppView {
  const value: unknown = JSON.parse(body);
  if (typeof value !== 'object' || value === null) throw new Error('the answer is not one of the app');
  const { app, method, path, headers } = { app: null, method: null, path: null, headers: null, ...value };
  const isView = typeof app === 'string' && typeof method === 'string' && typeof path === 'string';
  if (!isView || typeof headers !== 'object') throw new Error('the answer is not one of the app');
  return {
    app,
    method,
    path,
    headers: new Map(Object.entries(headers ?? {}).map(([k, v]) => [k, String(v)])),
  };
}

/** The URI of the last element of x-forwarded-client-cert, which is always the sidecar's own; null without it. */
export function clientSeenBy(view: AppView): string | null {
  return lastOf(view, 'URI=');
}

/** The SHA-256 of the client's certificate in the same element, lower-case hex. */
export function certificateSeenBy(view: AppView): string | null {
  return lastOf(view, 'Hash=');
}

function lastOf(view: AppView, key: string): string | null {
  const xfcc = view.headers.get('x-forwarded-client-cert');
  if (xfcc === undefined) return null;
  return xfcc.slice(xfcc.lastIndexOf(key) + key.length).split(/[;,]/, 1)[0] ?? null;
}
