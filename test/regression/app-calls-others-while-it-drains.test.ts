import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { FlowMesh, get, service } from '../flow/flow-mesh.ts';
import { EGRESS_HTTP } from '../flow/flow-pair.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';

/** Service other.foo:8000 in plaintext. */
function other(port: number): string {
  return `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: other, namespace: foo}
spec:
  hosts: [other.foo]
  resolution: STATIC
  ports: [{number: 8000, name: http, protocol: HTTP, targetPort: ${port}}]
  endpoints: [{address: 127.0.0.1}]
---
`;
}

function call(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port, headers: { host: 'other.foo' }, agent: false },
      (answer) => {
        answer.resume();
        answer.on('end', () => resolve(answer.statusCode ?? 0));
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}

// A drain closed the listeners of both directions at once: an app that was to finish its requests could call
// nobody any more.
describe('a drain', () => {
  it('lets the app call others until what came from outside is answered, and takes nothing new', async () => {
    await using callee = await startEchoApp();
    const arrived = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    let egress = 0;
    const app = createServer((_request, response) => {
      arrived.resolve();
      void go.promise.then(() => call(egress)).then((status) => response.end(`other said ${status}`));
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const appPort = (app.address() as AddressInfo).port;
    using mesh = await FlowMesh.create({
      appPort,
      documents: EGRESS_HTTP.replaceAll('sleep', 'httpbin') + service('http', appPort) + other(callee.port),
    });
    await using sidecar = await mesh.inProcess();
    egress = Object.values(sidecar.ports.egress ?? {})[0] ?? 0;
    using caller = await connectRaw({ port: sidecar.port });
    await caller.write(get());
    await arrived.promise;
    using idle = await connectRaw({ port: egress });
    await idle.write(get().replace('httpbin.foo', 'other.foo'));
    assert.equal((await idle.readResponse()).status, 200);

    const drained = sidecar.drain();
    await sidecar.waitForLog('draining');
    await assert.rejects(connectRaw({ port: sidecar.port }), /ECONNREFUSED/);
    await idle.write(get().replace('httpbin.foo', 'other.foo'));
    const answer = await idle.readResponse();
    assert.deepEqual(
      [answer.status, answer.header('connection')],
      [200, undefined],
      'not even told to close',
    );
    go.resolve();
    assert.equal((await caller.readResponse()).body.toString(), 'other said 200');
    await drained;
    await assert.rejects(call(egress), /ECONNREFUSED/);
    app.close();
  });
});
