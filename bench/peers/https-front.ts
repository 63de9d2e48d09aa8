/**
 * What the peers on node:https share: an mTLS server as a careful Node user would set it up, and the ready line.
 * It ends with its standard input.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { setting } from './settings.ts';
import { forwardedClientCert, rememberClient } from './xfcc.ts';

export const APP_PORT: number = Number(setting('BENCH_APP_PORT'));

/** Serves on a free port; `forward` gets each request with the headers that the app is to see already set. */
export function startHttpsFront(forward: (request: IncomingMessage, response: ServerResponse) => void): void {
  const ownUri = setting('BENCH_OWN_URI');
  const server = createServer(
    {
      cert: readFileSync(setting('BENCH_CERTIFICATE')),
      key: readFileSync(setting('BENCH_KEY')),
      ca: readFileSync(setting('BENCH_ROOTS')),
      requestCert: true,
      rejectUnauthorized: true,
      keepAliveTimeout: 300_000,
    },
    (request, response) => {
      const received = request.headers['x-forwarded-client-cert'];
      request.headers['x-forwarded-client-cert'] = forwardedClientCert(request.socket as TLSSocket, received);
      request.headers['x-forwarded-proto'] = 'https';
      forward(request, response);
    },
  );
  server.on('secureConnection', (socket) => rememberClient(socket, ownUri));
  server.listen(0, '127.0.0.1', 4096, () => {
    const { port } = server.address() as AddressInfo;
    process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
  });
  process.stdin.on('end', () => process.exit(0));
  process.stdin.resume();
}
