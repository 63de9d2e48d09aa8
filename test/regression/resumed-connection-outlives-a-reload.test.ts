/** A resumed session has no intermediates: any reload once closed it, though trust had not changed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { FlowMesh, get, MESH_ALPN, meshConfig, peerAuthentication, service } from '../flow/flow-mesh.ts';

describe('a resumed connection of a client whose certificate an intermediate signed', () => {
  it('outlives a reload that changes nothing of trust', async () => {
    await using app = await startEchoApp();
    const documents = peerAuthentication('STRICT') + service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents });
    const between = await mesh.ca.intermediate();
    const identity = await between.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep' });
    await using sidecar = await mesh.inProcess();
    using first = await mesh.connect(sidecar.port, MESH_ALPN, identity);
    const [session] = (await once(first.secured, 'session')) as [Buffer];
    assert.equal((await first.request(get())).status, 200);
    using resumed = await connectRaw({
      port: sidecar.port,
      tls: { ...mesh.clientTls(MESH_ALPN, identity), session },
    });
    assert.equal((await resumed.request(get())).status, 200);
    assert.equal(resumed.secured.isSessionReused(), true);
    // Judged again, it would prove the chain for both.
    first.end();
    await first.readToEnd();

    const from = sidecar.logs.length;
    mesh.documents(documents + meshConfig('pathNormalization: {normalization: NONE}'));
    await sidecar.waitForLog('reloaded', from);
    assert.equal((await resumed.request(get())).status, 200);
  });
});
