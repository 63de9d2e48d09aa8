/** Key sets on a whole sidecar: fetched before they are needed, shown, kept, and sent to every worker. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startEchoApp } from '../support/echo-app.ts';
import { KeySetServer } from '../support/key-set-server.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startProxy } from '../support/spawn-postern.ts';
import { TestIssuer } from '../support/test-tokens.ts';
import { WorkerCrash } from '../support/worker-crash.ts';
import { FlowMesh, get, service } from './flow-mesh.ts';
import { ALLOW_LOOPBACK, JwtMesh, requestAuthentication } from './jwt-mesh.ts';

const A = new TestIssuer('a');
const B = new TestIssuer('b');

async function adminText(mesh: JwtMesh, path: string): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${mesh.sidecar.ports.admin}${path}`);
  return answer.text();
}

describe('a key set that a rule names', () => {
  it('is there when the sidecar is ready, by address or by discovery', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/keys', { body: A.jwks() });
    server.answers.set('/.well-known/openid-configuration', {
      body: JSON.stringify({ issuer: server.url, jwks_uri: `${server.url}/found` }),
    });
    const issuer = new TestIssuer(server.url);
    server.answers.set('/found', { body: issuer.jwks() });
    const rules = [{ issuer: 'a', jwksUri: `${server.url}/keys` }, { issuer: server.url }];
    await using mesh = await JwtMesh.start(requestAuthentication(...rules), ALLOW_LOOPBACK);
    for (const token of [await A.token(), await issuer.token(), await A.token()])
      assert.equal((await mesh.bearer(token)).status, 200);
    assert.equal(mesh.app.seen.length, 3);
    assert.equal(server.asked.length, 3);
  });

  it('does not hold up a start for longer than its timeout', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/keys', { respond: () => {} });
    const rule = { issuer: 'a', jwksUri: `${server.url}/keys`, timeout: '0.2s' };
    await using mesh = await JwtMesh.start(requestAuthentication(rule), ALLOW_LOOPBACK);
    assert.equal((await mesh.bearer(await A.token())).body.toString(), 'Jwks remote fetch is failed');
    assert.equal((await mesh.send({})).status, 200);
  });

  it('is named in the log without the query of its address, where an API key may be', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/keys?api-key=hunter2', { body: A.jwks() });
    const rules = ['/keys?api-key=hunter2', '/none?api-key=hunter2'].map((path, index) => ({
      issuer: `issuer-${index}`,
      jwksUri: server.url + path,
    }));
    await using mesh = await JwtMesh.start(requestAuthentication(...rules), ALLOW_LOOPBACK);
    assert.equal(mesh.sidecar.logsOf('jwks_fetched')[0]?.['jwksUri'], `${server.url}/keys?…`);
    assert.equal(mesh.sidecar.logsOf('jwks_fetch_failed')[0]?.['jwksUri'], `${server.url}/none?…`);
    assert.ok(!JSON.stringify(mesh.sidecar.logs).includes('hunter2'));
  });

  it('comes with a reload that names it, and goes with one that does not', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/a', { body: A.jwks() });
    server.answers.set('/b', { body: B.jwks() });
    const a = { issuer: 'a', jwksUri: `${server.url}/a` };
    const b = { issuer: 'b', jwksUri: `${server.url}/b` };
    await using mesh = await JwtMesh.start(requestAuthentication(a), ALLOW_LOOPBACK);
    assert.equal((await mesh.bearer(await B.token())).status, 401);
    await mesh.setDocuments(requestAuthentication(a, b));
    assert.equal((await mesh.bearer(await B.token())).status, 200);
    await mesh.setDocuments(requestAuthentication(b));
    assert.equal((await mesh.bearer(await A.token())).body.toString(), 'Jwt issuer is not configured');
    assert.deepEqual(server.asked, ['/a', '/b']);
    const { keySets } = JSON.parse(await adminText(mesh, '/config_dump')) as {
      keySets: { issuer: string }[];
    };
    assert.deepEqual(
      keySets.map(({ issuer }) => issuer),
      ['b'],
    );
  });

  it('does not make a reload wait for an issuer that is silent', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/b', { respond: () => {} });
    await using mesh = await JwtMesh.start(
      requestAuthentication({ issuer: 'a', jwks: A.jwks() }),
      ALLOW_LOOPBACK,
    );
    const from = performance.now();
    await mesh.setDocuments(
      requestAuthentication({ issuer: 'b', jwksUri: `${server.url}/b`, timeout: '60s' }),
    );
    const tookMs = performance.now() - from;
    assert.ok(tookMs < 2_000, `${tookMs} ms`);
    assert.equal((await mesh.bearer(await B.token())).status, 401);
  });

  it('shows in the dump and in metrics, without its keys', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/keys', { body: A.jwks() });
    const privateJwks = JSON.stringify({ keys: [B.privateKey.export({ format: 'jwk' })] });
    const rules = [
      { issuer: 'a', jwksUri: `${server.url}/keys` },
      { issuer: 'c', jwksUri: `${server.url}/absent` },
      { issuer: 'b', jwks: privateJwks },
    ];
    await using mesh = await JwtMesh.start(requestAuthentication(...rules), ALLOW_LOOPBACK);
    const text = await adminText(mesh, '/config_dump');
    const { keySets } = JSON.parse(text) as { keySets: Record<string, unknown>[] };
    assert.deepEqual(
      keySets.map(({ issuer, jwksUri, keys, lastError, usableKeys }) => [
        issuer,
        jwksUri,
        keys,
        usableKeys,
        lastError,
      ]),
      [
        ['a', `${server.url}/keys`, 1, 1, null],
        ['c', `${server.url}/absent`, 0, 0, `"${server.url}/absent" answered 404`],
      ],
    );
    assert.ok(Date.parse(String(keySets[0]?.['fetchedAt'])) > Date.now() - 60_000);
    assert.equal(keySets[1]?.['fetchedAt'], null);
    const secret = String(B.privateKey.export({ format: 'jwk' }).d);
    for (const hidden of [String(A.jwk()['x']), secret, String(B.jwk()['x'])]) {
      assert.ok(!text.includes(hidden));
      assert.ok(!JSON.stringify(mesh.sidecar.logs).includes(hidden));
    }
    const metrics = await adminText(mesh, '/stats/prometheus');
    assert.match(metrics, /^postern_jwks_sets 2$/m);
    assert.match(metrics, /^postern_jwks_sets_missing 1$/m);
    assert.match(metrics, /^postern_jwks_fetches_total\{result="success"\} 1$/m);
    assert.match(metrics, /^postern_jwks_fetches_total\{result="failed"\} [1-9]$/m);
    assert.equal((await mesh.bearer(await B.token({}, { header: { kid: undefined } }))).status, 200);
  });

  it('is not there in metrics where no rule names one', async () => {
    await using mesh = await JwtMesh.start(requestAuthentication({ issuer: 'a', jwks: A.jwks() }));
    assert.doesNotMatch(await adminText(mesh, '/stats/prometheus'), /jwks_(?:sets|fetches)/);
  });

  it('reaches every worker, one that is started anew too', async () => {
    await using server = await KeySetServer.start();
    server.answers.set('/keys', { body: A.jwks() });
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents:
        service('http', app.port) + requestAuthentication({ issuer: 'a', jwksUri: `${server.url}/keys` }),
      settings: `concurrency: 2\n${ALLOW_LOOPBACK}`,
    });
    const crash = new WorkerCrash(mesh.folder);
    const { proxy, ready } = await startProxy(mesh.configFile, [], { command: crash.command });
    await using _ = proxy;
    const head = get('/', `authorization: Bearer ${await A.token()}`);
    const all = async (): Promise<void> => {
      for (let i = 0; i < 16; i++) {
        using client = await connectRaw({ port: ready.ports.intercept! });
        assert.equal((await client.request(head)).status, 200);
      }
    };
    await all();
    crash.endNow(1);
    await proxy.waitForLog(({ code }) => code === 'worker_ended');
    crash.letLive(1);
    await proxy.waitForLog(({ code }) => code === 'worker_restarted');
    await all();
    assert.deepEqual(server.asked, ['/keys']);
  });
});
