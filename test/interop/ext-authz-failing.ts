/**
 * A whole sidecar in front of an app, asked for `count` requests while its authorization server is in a bad way. What
 * counts is the app's own log.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { askingDocuments, customPolicy, NOT_OPEN } from '../flow/ext-authz-mesh.ts';
import { FlowMesh, get } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { ExtAuthzServer } from './ext-authz-server.ts';

/** What is wrong with the server. */
export type Trouble = 'killed' | 'hung' | 'late' | 'garbage' | 'killed in between';

export const TROUBLES: readonly Trouble[] = ['killed', 'hung', 'late', 'garbage', 'killed in between'];

export interface FailingRun {
  readonly kind: 'grpc' | 'http';
  readonly trouble: Trouble;
  readonly failOpen: boolean;
  readonly count: number;
}

const TIMEOUT_MS = 250;
const CONNECTIONS = 20;

/** Fails unless every request was answered as failOpen says, and the app saw what it was to see. */
export async function runFailing({ count, failOpen, kind, trouble }: FailingRun): Promise<void> {
  const server = await ExtAuthzServer.start();
  const port = kind === 'grpc' ? server.grpcPort : server.httpPort;
  let garbage: Server | null = null;
  await using app = await startEchoApp();
  using mesh = await FlowMesh.create({
    appPort: app.port,
    documents: askingDocuments(
      app.port,
      [
        {
          kind,
          port,
          fields: `failOpen: ${failOpen}, statusOnError: "503", timeout: ${TIMEOUT_MS}ms${
            kind === 'http' ? ', includeRequestHeadersInCheck: [x-ext-authz, x-ext-authz-delay]' : ''
          }`,
        },
      ],
      customPolicy('authz', NOT_OPEN),
    ),
  });
  await using sidecar = await mesh.inProcess();
  const allowed = get('/asked', 'x-ext-authz: allow');
  // It answers a good one while it is well, so that connections to it are open.
  assert.equal(await statusOf(sidecar.port, allowed), 200);
  assert.equal(app.seen.length, 1);

  if (trouble === 'killed' || trouble === 'garbage') await server.kill();
  if (trouble === 'garbage') garbage = await serveGarbage(port);
  if (trouble === 'hung') server.hang();
  const late = trouble === 'late' ? ['x-ext-authz-delay: 400ms'] : [];
  const request = get('/asked', 'x-ext-authz: allow', ...late);
  const statuses: number[] = [];
  const killAt = trouble === 'killed in between' ? Math.floor(count / 3) : -1;
  let sent = 0;
  const client = async (): Promise<void> => {
    using raw = await connectRaw({ port: sidecar.port, timeoutMs: 20_000 });
    while (sent < count) {
      if (sent++ === killAt) server.child.kill('SIGKILL');
      await raw.write(request);
      statuses.push((await raw.readResponse()).status);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, client));

  const passed = statuses.filter((status) => status === 200).length;
  assert.equal(app.seen.length - 1, passed, 'the app saw what was answered with 200');
  if (trouble === 'killed in between') {
    assert.ok(passed >= killAt - CONNECTIONS, 'those before were let through');
    if (!failOpen) assert.ok(statuses.filter((status) => status === 503).length > 0);
  } else assert.equal(passed, failOpen ? statuses.length : 0);
  assert.ok(statuses.every((status) => status === 200 || status === 503));
  const marked = app.seen.filter(({ headers }) =>
    headers.some(([name, value]) => name === 'x-envoy-auth-failure-mode-allowed' && value === 'true'),
  );
  if (!failOpen) assert.equal(marked.length, 0);
  else if (trouble !== 'killed in between') assert.equal(marked.length, passed);

  // It is well again: so is the sidecar, with no restart.
  if (garbage !== null) await closeServer(garbage);
  if (trouble === 'hung') server.goOn();
  else if (trouble !== 'late') await server.kill();
  const again =
    trouble === 'hung' || trouble === 'late'
      ? server
      : await ExtAuthzServer.start('', { grpc: server.grpcPort, http: server.httpPort });
  // One check may still meet a connection of before.
  let status = 0;
  for (let tries = 0; tries < 20 && status !== 200; tries++) status = await statusOf(sidecar.port, allowed);
  assert.equal(status, 200);
  assert.equal(await statusOf(sidecar.port, get('/asked')), 403);
  await again.kill();
  await server.kill();
}

async function statusOf(port: number, request: string): Promise<number> {
  using client = await connectRaw({ port });
  await client.write(request);
  return (await client.readResponse()).status;
}

/** Answers every connection with bytes that are neither HTTP/1.1 nor HTTP/2. */
async function serveGarbage(port: number): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end('\u0000\u0001\u0002 what is this \r\n\r\n'));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  assert.equal((server.address() as AddressInfo).port, port);
  return server;
}

async function closeServer(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  await closed;
}
