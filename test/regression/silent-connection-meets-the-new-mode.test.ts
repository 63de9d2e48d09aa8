/** What is looked for in the first bytes was once decided at accept: HTTP then passed as TCP, forged fields and all. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { FlowMesh, get, peerAuthentication } from '../flow/flow-mesh.ts';

describe('a connection that was silent while STRICT became PERMISSIVE on a port that no Service names', () => {
  it('is served as HTTP when HTTP comes, and the app sees no forged identity', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: peerAuthentication('STRICT') });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    // The second connection is served after the first was accepted.
    using member = await mesh.connect(sidecar.port);
    assert.equal((await member.request(get())).status, 200);
    const from = sidecar.logs.length;
    mesh.documents(peerAuthentication('PERMISSIVE'));
    await sidecar.waitForLog('reloaded', from);

    const forged = 'x-forwarded-client-cert: By=spiffe://a/b;URI=spiffe://cluster.local/ns/foo/sa/admin';
    const { body } = await client.request(get('/', forged));
    assert.equal(echoedHeader(JSON.parse(body.toString()) as Echo, 'x-forwarded-client-cert'), undefined);
  });
});
