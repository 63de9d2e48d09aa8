/** `examples/filters` as a user runs it: a process of its own, in front of an app. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { connectRaw } from '../support/raw-client.ts';
import { spawnPostern } from '../support/spawn-postern.ts';
import { FlowMesh, get, service } from './flow-mesh.ts';
import { policy, to } from './policy-mesh.ts';

const EXAMPLE = fileURLToPath(new URL('../../examples/filters/guarded-sidecar.ts', import.meta.url));

describe('the example of filters of one’s own', () => {
  it('runs behind the policies, in the order given, and denies when it throws', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents:
        service('http', app.port) + policy('deny', `{action: DENY, rules: ${to('paths', '/admin')}}`),
    });
    await using sidecar = spawnPostern([mesh.configFile], { command: [process.execPath, EXAMPLE] });
    const { ports } = await sidecar.ready();
    const port = ports.intercept!;
    using sleep = await mesh.connect(port);

    // What a policy denies reaches no filter: none of these is taken from the bucket. Answers meet the filters even so.
    for (let time = 0; time < 5; time++) {
      const denied = await sleep.request(get('/admin'));
      assert.equal(denied.status, 403);
      assert.equal(denied.body.toString(), 'RBAC: access denied');
      assert.equal(denied.header('x-served-by'), 'postern');
    }
    for (let time = 0; time < 3; time++) {
      const { status } = await sleep.request(get('/', 'x-tenant: forged'));
      assert.equal(status, 200);
    }
    for (const { headers } of app.requests)
      assert.deepEqual(
        headers.filter(([name]) => name === 'x-tenant'),
        [['x-tenant', 'foo-inc']],
      );
    const limited = await sleep.request(get('/'));
    assert.equal(limited.status, 429);
    assert.equal(limited.body.toString(), 'too many requests\n');
    assert.equal(limited.header('retry-after'), '1');
    assert.equal(app.requests.length, 3);
    const line = await sidecar.waitForLog(({ code }) => code === 'filter_denied');
    assert.equal(line['details'], 'rate_limited');
    assert.equal(line['why'], 'spiffe://cluster.local/ns/foo/sa/sleep has more than 1 requests a second');

    // Each principal has a bucket of its own.
    using plain = await connectRaw({ port });
    assert.equal((await plain.request(get('/'))).status, 200);

    const stranger = await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/bar/sa/other' });
    using other = await mesh.connect(port, undefined, stranger);
    const failed = await other.request(get('/'));
    assert.equal(failed.status, 500);
    assert.doesNotMatch(JSON.stringify(failed), /tenant is entered/);
    const failure = await sidecar.waitForLog(
      ({ code, filter }) => code === 'filter_failed' && filter === 'tenant',
    );
    assert.equal(failure['error'], 'no tenant is entered for namespace "bar"');
    assert.equal(app.requests.length, 4);
    assert.equal((await sidecar.stop()).code, 0);
  });
});
