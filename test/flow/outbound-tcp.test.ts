import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { describe, it } from 'node:test';
import { startEchoApp } from '../support/echo-app.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, peerAuthentication, service } from './flow-mesh.ts';
import { FlowClient, httpbinService } from './flow-pair.ts';

const EGRESS_TCP = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sleep, namespace: foo}
spec:
  workloadSelector: {labels: {app: sleep}}
  egress:
  - port: {number: 0, name: tcp, protocol: TCP}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["foo/httpbin.foo.svc.cluster.local"]
---
`;

/** Greets first and then says everything back, in capitals; counts its connections. */
async function startShouter(): Promise<{
  readonly server: Server;
  readonly port: number;
  seen: () => number;
}> {
  let seen = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    seen++;
    socket.write('hello\n');
    socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
    socket.on('end', () => socket.end('bye\n'));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, seen: () => seen };
}

/** Connects, says `text`, ends its side, and answers all that came. */
function converse(port: number, text: string): Promise<string> {
  const done = new Promise<string>((resolve) => {
    let got = '';
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('data', (chunk) => (got += chunk.toString()));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
    socket.on('end', () => socket.end());
    socket.end(text);
  });
  return withDeadline(done, 5_000, 'the end of the conversation');
}

describe('outbound TCP', () => {
  it('reaches a service with a sidecar by mTLS, also where the server speaks first, with half-close', async () => {
    const shouter = await startShouter();
    try {
      using mesh = await FlowMesh.create({
        appPort: shouter.port,
        documents: peerAuthentication('STRICT') + service('tcp', shouter.port),
      });
      await using server = await mesh.inProcess();
      const documents = EGRESS_TCP + httpbinService([{ port: server.port, account: 'httpbin' }], 'tcp');
      await using client = await FlowClient.start(mesh.ca, documents);
      assert.equal(await converse(client.egress, 'shout\n'), 'hello\nSHOUT\nbye\n');
      assert.equal(shouter.seen(), 1);
    } finally {
      shouter.server.close();
    }
  });

  it('is closed before a byte where the server is another service account', async () => {
    const shouter = await startShouter();
    try {
      using mesh = await FlowMesh.create({
        appPort: shouter.port,
        documents: peerAuthentication('STRICT') + service('tcp', shouter.port),
      });
      await using server = await mesh.inProcess();
      const documents = EGRESS_TCP + httpbinService([{ port: server.port, account: 'other' }], 'tcp');
      await using client = await FlowClient.start(mesh.ca, documents);
      assert.equal(await converse(client.egress, 'shout\n'), '');
      assert.equal(shouter.seen(), 0);
      await client.sidecar.waitForLog('upstream_identity_mismatch');
    } finally {
      shouter.server.close();
    }
  });

  it('to a service that has gone from the documents is closed within a second', async () => {
    const shouter = await startShouter();
    try {
      const ca = await TestCa.create('cluster.local');
      const documents = EGRESS_TCP + httpbinService([{ port: shouter.port }], 'tcp');
      await using client = await FlowClient.start(ca, documents);
      const socket = connect(client.egress, '127.0.0.1');
      await withDeadline(once(socket, 'data'), 5_000, 'the greeting');
      const closed = once(socket, 'close');
      await client.setDocuments(EGRESS_TCP);
      await withDeadline(closed, 1_000, 'the end of the connection');
    } finally {
      shouter.server.close();
    }
  });
});

describe('an ingress listener', () => {
  it('takes mTLS for the app behind it and refuses plaintext under STRICT', async () => {
    await using app = await startEchoApp();
    const ca = await TestCa.create('cluster.local');
    const ingress = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: httpbin, namespace: foo}
spec:
  ingress:
  - port: {number: 0, name: http, protocol: HTTP}
    bind: 127.0.0.1
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:${app.port}
---
`;
    const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep' });
    await using server = await FlowClient.start(ca, ingress + peerAuthentication('STRICT'), own);
    const [port] = Object.values(server.sidecar.ports.ingress ?? {});
    assert.ok(port !== undefined);
    await assert.rejects(server.call('httpbin', '/', {}, port), /ECONNRESET|socket hang up/);
    await server.sidecar.waitForLog('no_filter_chain_match');

    const egress = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sleep, namespace: foo}
spec:
  egress:
  - {port: {number: 0, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, hosts: ["*/*"]}
---
`;
    await using client = await FlowClient.start(ca, egress + httpbinService([{ port, account: 'sleep' }]));
    assert.equal((await client.call('httpbin')).status, 200);
    assert.equal(app.seen.length, 1);
  });
});
