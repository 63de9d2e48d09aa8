/** A request cut by a change of mode was once logged as one that the client had broken off. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, get, peerAuthentication, service } from '../flow/flow-mesh.ts';

describe('a request under way on a connection that the sidecar itself closes', () => {
  it('is logged with our reason, not as reset by the client', async () => {
    await using app = await startRecordingUpstream({ answer: () => null });
    const port = service('http', app.port);
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + port,
      settings: 'accessLog: {path: ./access.log, format: json}',
    });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    await client.write(get());
    await app.request();
    mesh.documents(peerAuthentication('STRICT') + port);
    await client.readToEnd();
    await sidecar.drain();
    const entry = JSON.parse(readFileSync(mesh.path('access.log'), 'utf8').trim()) as Record<string, unknown>;
    assert.equal(entry['response_flags'], 'NR');
    assert.equal(entry['response_code_details'], 'no_filter_chain_match');
  });
});
