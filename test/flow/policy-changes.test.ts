/** A policy change reaches what is open, within a second after the file is written. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RawClient } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, get, peerAuthentication, service } from './flow-mesh.ts';
import { from, policy, PolicyMesh, to } from './policy-mesh.ts';

const WITHIN_MS = 1_000;
const TCP_ALPN: readonly string[] = ['istio-peer-exchange', 'istio'];

/** Writes documents as an operator does: only the file changes. */
function write(mesh: PolicyMesh, portName: string, documents: string): number {
  mesh.mesh.documents(service(portName, mesh.app.port) + documents);
  return performance.now();
}

describe('a policy change', () => {
  it('meets the next request of a keep-alive connection, which itself goes on', async () => {
    await using mesh = await PolicyMesh.start({ documents: '' });
    using client = await mesh.connect();
    assert.equal((await mesh.askOn(client, get('/a'))).status, 200);
    const written = write(mesh, 'http', policy('deny', `{action: DENY, rules: ${to('paths', '/a')}}`));
    let status = 200;
    while (status === 200 && performance.now() - written < WITHIN_MS)
      status = (await mesh.askOn(client, get('/a'))).status;
    assert.equal(status, 403, 'within a second');
    const denied = await mesh.askOn(client, get('/a'));
    assert.deepEqual([denied.status, denied.reached.length], [403, 0]);
    assert.equal((await mesh.askOn(client, get('/b'))).status, 200);
    const back = write(mesh, 'http', '');
    while (status === 403 && performance.now() - back < WITHIN_MS)
      status = (await mesh.askOn(client, get('/a'))).status;
    assert.equal(status, 200, 'and back');
    assert.equal(client.ending, null);
  });

  it('closes a TCP connection that it denies, and no other', async () => {
    await using mesh = await PolicyMesh.start({ documents: '', port: 'tcp', app: { script: () => {} } });
    using sleep = await mesh.connect(mesh.mesh.sleep, TCP_ALPN);
    using other = await mesh.connect(
      await mesh.mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/bar/sa/other' }),
      TCP_ALPN,
    );
    using plain = await mesh.connect(null);
    for (const [index, client] of [sleep, other, plain].entries()) {
      await client.write('hello');
      const connection = await mesh.app.connection(index);
      await connection.until((bytes) => bytes.toString() === 'hello', 'hello');
    }
    const at = mesh.sidecar.logs.length;
    write(mesh, 'tcp', policy('deny-sleep', `{action: DENY, rules: ${from('principals', '*/sa/sleep')}}`));
    await withDeadline(sleep.readToEnd(), WITHIN_MS, 'the denied connection to end');
    await mesh.app.connections[0]!.ended();
    const line = await mesh.sidecar.waitForLog('rbac_denied', at);
    assert.equal(line['details'], 'rbac_access_denied_matched_policy[ns[foo]-policy[deny-sleep]-rule[0]]');
    assert.equal(
      line['why'],
      'denied by DENY foo/deny-sleep rule 0: principals wanted */sa/sleep, got cluster.local/ns/foo/sa/sleep',
    );
    for (const [index, client] of [other, plain].entries()) {
      await client.write(' again');
      await mesh.app.connections[index + 1]!.until(
        (bytes) => bytes.toString() === 'hello again',
        'hello again',
      );
    }
    write(mesh, 'tcp', policy('allow-bar', `{rules: ${from('namespaces', 'bar')}}`));
    await withDeadline(plain.readToEnd(), WITHIN_MS, 'the plaintext connection to end');
    await other.write('!');
    await mesh.app.connections[1]!.until((bytes) => bytes.toString() === 'hello again!', 'hello again!');
  });

  it('that is in dry run, or wrong, closes nothing', async () => {
    await using mesh = await PolicyMesh.start({ documents: '', port: 'tcp', app: { script: () => {} } });
    using client = await mesh.connect(mesh.mesh.sleep, TCP_ALPN);
    await client.write('hello');
    const connection = await mesh.app.connection();
    await connection.until((bytes) => bytes.toString() === 'hello', 'hello');
    await mesh.change(policy('deny', '{action: DENY, rules: [{}]}', { dryRun: true }));
    const at = mesh.sidecar.logs.length;
    mesh.mesh.documents(service('tcp', mesh.app.port) + policy('deny', '{action: DENY}'));
    await mesh.sidecar.waitForLog('config_invalid', at);
    await client.write(' again');
    await connection.until((bytes) => bytes.toString() === 'hello again', 'hello again');
  });

  it('from PERMISSIVE to STRICT closes plaintext keep-alive connections and leaves mTLS alone', async () => {
    await using mesh = await PolicyMesh.start({
      documents: peerAuthentication('PERMISSIVE') + policy('a', '{rules: [{}]}'),
    });
    using plain = await mesh.connect(null);
    using member = await mesh.connect();
    assert.equal((await mesh.askOn(plain, get())).status, 200);
    assert.equal((await mesh.askOn(member, get())).status, 200);
    write(mesh, 'http', peerAuthentication('STRICT') + policy('a', '{rules: [{}]}'));
    await withDeadline(plain.readToEnd(), WITHIN_MS, 'the plaintext connection to end');
    assert.equal((await mesh.askOn(member, get())).status, 200);
  });

  it('meets a request whose head is sent after it, though its connection was silent before', async () => {
    await using mesh = await PolicyMesh.start({ documents: '' });
    using silent = await mesh.connect();
    await mesh.change(policy('deny', '{}'));
    const { status, reached } = await mesh.askOn(silent, get());
    assert.deepEqual([status, reached.length], [403, 0]);
  });

  it('reaches every worker of a process', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'concurrency: 2',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const port = ready.ports.intercept!;
    // The kernel deals connections out to the workers.
    using clients = new DisposableStack();
    const open: RawClient[] = [];
    for (let made = 0; made < 8; made++) open.push(clients.use(await mesh.connect(port)));
    for (const client of open) assert.equal((await client.request(get())).status, 200);
    mesh.documents(service('http', app.port) + policy('deny', '{}'));
    const written = performance.now();
    for (const client of open) {
      let status = 200;
      while (status === 200 && performance.now() - written < WITHIN_MS)
        ({ status } = await client.request(get()));
      assert.equal(status, 403);
    }
    const reached = app.requests.length;
    for (const client of open) assert.equal((await client.request(get())).status, 403);
    assert.equal(app.requests.length, reached);
    assert.equal((await proxy.stop()).code, 0);
  });
});
