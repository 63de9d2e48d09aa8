/**
 * An app that answers each request with JSON of what it saw, on node:http: an independent reader of our output.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Echo {
  readonly method: string;
  readonly target: string;
  readonly httpVersion: string;
  /** In order, names as they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly trailers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly remoteAddress: string;
}

export interface EchoApp extends AsyncDisposable {
  readonly port: number;
  /** Requests answered so far. */
  readonly seen: readonly Echo[];
  close(): Promise<void>;
}

/** Listens on a free port of loopback; the owner ends it with `close` or `await using`. */
export async function startEchoApp(host = '127.0.0.1'): Promise<EchoApp> {
  const seen: Echo[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
    });
    request.on('end', () => {
      const echo: Echo = {
        method: request.method ?? '',
        target: request.url ?? '',
        httpVersion: request.httpVersion,
        headers: pairs(request.rawHeaders),
        trailers: pairs(request.rawTrailers),
        body: Buffer.concat(chunks).toString('latin1'),
        remoteAddress: request.socket.remoteAddress ?? '',
      };
      seen.push(echo);
      response.setHeader('content-type', 'application/json');
      response.end(`${JSON.stringify(echo)}\n`);
    });
  });
  server.listen(0, host);
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { port: (server.address() as AddressInfo).port, seen, close, [Symbol.asyncDispose]: close };
}

/** First value of a header in an echo, by name in any case. */
export function echoedHeader(echo: Echo, name: string): string | undefined {
  return echo.headers.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

function pairs(raw: readonly string[]): (readonly [string, string])[] {
  const list: (readonly [string, string])[] = [];
  for (let index = 0; index < raw.length; index += 2) list.push([raw[index] ?? '', raw[index + 1] ?? '']);
  return list;
}
