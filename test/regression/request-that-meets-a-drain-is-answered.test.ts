import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FlowMesh, get, service } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';

// A drain closed idle connections at once: of busy clients with kept connections, every request on its way at that
// moment was lost (18 of 48 clients in a run).
describe('a kept connection that is idle when a drain begins', () => {
  it('has its next request answered as the last one, and is closed soon if there is none', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess();
    using busy = await connectRaw({ port: sidecar.port });
    using quiet = await connectRaw({ port: sidecar.port });
    for (const client of [busy, quiet]) assert.equal((await client.request(get())).status, 200);
    const drained = sidecar.drain();
    const { headers, status } = await busy.request(get());
    assert.equal(status, 200);
    assert.ok(headers.some(([name, value]) => name.toLowerCase() === 'connection' && value === 'close'));
    await quiet.readToEnd();
    await drained;
  });
});
