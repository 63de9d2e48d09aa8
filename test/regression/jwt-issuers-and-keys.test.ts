import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ALLOW_LOOPBACK, JwtMesh, requestAuthentication } from '../flow/jwt-mesh.ts';
import { KeySetServer } from '../support/key-set-server.ts';
import { TestIssuer } from '../support/test-tokens.ts';

const A = new TestIssuer('a');

describe('a token of an issuer that no rule names', () => {
  // ISTIO-SECURITY-2021-001: it was let through as if there were none.
  it('is 401 and reaches nobody', async () => {
    await using mesh = await JwtMesh.start(requestAuthentication({ issuer: 'a', jwks: A.jwks() }));
    const answer = await mesh.bearer(await new TestIssuer('b').token());
    assert.deepEqual([answer.status, answer.body.toString()], [401, 'Jwt issuer is not configured']);
    assert.equal(mesh.app.seen.length, 0);
  });
});

describe('a key set that cannot be fetched', () => {
  // CVE-2026-31837: keys that were published with the program stood in for it.
  it('refuses every token, and no other request', async () => {
    await using server = await KeySetServer.start();
    const rule = { issuer: 'a', jwksUri: `${server.url}/keys` };
    await using mesh = await JwtMesh.start(requestAuthentication(rule), ALLOW_LOOPBACK);
    assert.ok(server.asked.includes('/keys'));
    const answer = await mesh.bearer(await A.token());
    assert.deepEqual([answer.status, answer.body.toString()], [401, 'Jwks remote fetch is failed']);
    assert.equal(mesh.app.seen.length, 0);
    assert.equal((await mesh.send({})).status, 200);
    assert.equal(mesh.sidecar.logsOf('jwks_fetch_failed').length > 0, true);
  });

  it('is fetched soon after it is there', async () => {
    await using server = await KeySetServer.start();
    const rule = { issuer: 'a', jwksUri: `${server.url}/keys` };
    await using mesh = await JwtMesh.start(requestAuthentication(rule), ALLOW_LOOPBACK);
    server.answers.set('/keys', { body: A.jwks() });
    await mesh.sidecar.waitForLog('jwks_fetched');
    assert.equal((await mesh.bearer(await A.token())).status, 200);
  });
});

describe('the address of a key set', () => {
  // GHSA-fgw5-hp8f-xfhc: documents, issuers and redirects turned the proxy against its own host.
  it('on this host is not asked unless it is allowed, straight or by redirect', async () => {
    await using inside = await KeySetServer.start();
    await using outside = await KeySetServer.start('127.0.0.2');
    inside.answers.set('/keys', { body: A.jwks() });
    outside.answers.set('/', { status: 302, headers: { location: `${inside.url}/keys` } });
    const cases: readonly (readonly [string, string])[] = [
      [`${inside.url}/keys`, ''],
      [`http://localhost:${inside.port}/keys`, ''],
      ['http://169.254.169.254/latest/meta-data', ''],
      [`http://127.0.0.2:${outside.port}/`, 'jwks: {allow: [127.0.0.2/32]}'],
    ];
    for (const [jwksUri, settings] of cases) {
      await using mesh = await JwtMesh.start(requestAuthentication({ issuer: 'a', jwksUri }), settings);
      const line = await mesh.sidecar.waitForLog('jwks_fetch_failed');
      assert.match(String(line['why']), /is a (?:loopback|link-local) address; allow it under jwks\.allow/);
      assert.equal((await mesh.bearer(await A.token())).status, 401);
      assert.equal(mesh.app.seen.length, 0);
    }
    assert.deepEqual(inside.asked, []);
  });
});
