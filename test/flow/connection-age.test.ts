import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, get, peerAuthentication, service } from './flow-mesh.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

describe('a connection as old as limits.maxConnectionAgeMs', () => {
  checkLeaks();

  it('is ended when idle, and after its answer when a request is under way', async () => {
    const slow = Promise.withResolvers<Socket>();
    await using app = await startRecordingUpstream({
      answer: ({ target, connection }) => {
        if (target !== '/slow') return OK;
        slow.resolve(connection.socket);
        return null;
      },
    });
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess([], { 'limits.maxConnectionAgeMs': '300' });
    using busy = await connectRaw({ port: sidecar.port });
    using idle = await connectRaw({ port: sidecar.port });
    await busy.write(get('/slow'));
    const kept = await idle.request(get());
    assert.notEqual(kept.header('connection'), 'close', 'young connections are kept');
    assert.equal((await idle.readToEnd()).ending, 'end');
    (await slow.promise).write(OK);
    const last = await busy.readResponse();
    assert.equal(last.status, 200);
    assert.equal(last.header('connection'), 'close');
    assert.equal((await busy.readToEnd()).ending, 'end');
  });

  it('is closed when it is a tunnel, which has no end to wait for', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('tcp', app.port) + peerAuthentication('DISABLE'),
    });
    await using sidecar = await mesh.inProcess([], { 'limits.maxConnectionAgeMs': '200' });
    using tunnel = await connectRaw({ port: sidecar.port });
    await tunnel.write('x');
    // Nothing else ends it: both sides are silent and stay.
    assert.equal((await tunnel.readToEnd()).bytes.length, 0);
  });

  it('is kept when the limit is 0', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using aged = await mesh.inProcess([], { 'limits.maxConnectionAgeMs': '50' });
    await using ageless = await mesh.inProcess([], { 'limits.maxConnectionAgeMs': '0' });
    using kept = await connectRaw({ port: ageless.port });
    assert.equal((await kept.request(get())).status, 200);
    using ended = await connectRaw({ port: aged.port });
    assert.equal((await ended.request(get())).status, 200);
    assert.equal((await ended.readToEnd()).ending, 'end');
    assert.equal((await kept.request(get())).status, 200, 'older than the one that was ended');
  });
});
