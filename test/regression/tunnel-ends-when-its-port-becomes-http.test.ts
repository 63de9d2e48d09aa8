/** A tunnel to a port that a reload declared HTTP once lived on, past all HTTP rules. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, service } from '../flow/flow-mesh.ts';

describe('a port declared tcp that a reload declares http', () => {
  it('closes its tunnels within a second, with and without mTLS', async () => {
    await using app = await startRecordingUpstream({ script: () => {} });
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('tcp', app.port) });
    await using sidecar = await mesh.inProcess();
    using plain = await connectRaw({ port: sidecar.port });
    using member = await mesh.connect(sidecar.port, ['istio']);
    await plain.write('hello');
    await member.write('hello');
    await app.connection(1);
    mesh.documents(service('http', app.port));
    await withDeadline(plain.readToEnd(), 2_000, 'the plaintext tunnel to end');
    await withDeadline(member.readToEnd(), 2_000, 'the mTLS tunnel to end');
    assert.equal(sidecar.logsOf('no_filter_chain_match').length, 2);
  });
});
