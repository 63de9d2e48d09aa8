/** What a client and the logs get of a token that is refused, on a whole sidecar. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { TestIssuer } from '../support/test-tokens.ts';
import { JwtMesh, requestAuthentication } from './jwt-mesh.ts';

const A = new TestIssuer('a');
const expired = await A.token({ exp: 1 });
const wrongAudience = await A.token({ aud: 'x' });

describe('a refused token', () => {
  let mesh: JwtMesh;
  before(async () => {
    const rule = { issuer: 'a', audiences: ['y'], jwks: A.jwks() };
    mesh = await JwtMesh.start(requestAuthentication(rule), 'accessLog: {path: ./access.log, format: json}');
  });
  after(() => mesh[Symbol.asyncDispose]());

  it('is answered as Envoy answers it', async () => {
    const answer = await mesh.send({ target: '/a/../b?c', fields: [`authorization: Bearer ${expired}`] });
    assert.equal(answer.status, 401);
    assert.equal(answer.body.toString(), 'Jwt is expired');
    assert.equal(answer.header('content-type'), 'text/plain');
    assert.equal(
      answer.header('www-authenticate'),
      'Bearer realm="http://httpbin.foo/b?c", error="invalid_token"',
    );
    assert.equal(answer.header('server'), 'istio-envoy');
  });

  it('is an answer of gRPC for a call of gRPC', async () => {
    for (const [token, status, message] of [
      [expired, '16', 'Jwt is expired'],
      [wrongAudience, '7', 'Audiences in Jwt are not allowed'],
    ] as const) {
      const fields = [
        `authorization: Bearer ${token}`,
        'content-type: application/grpc',
        'content-length: 0',
      ];
      const answer = await mesh.send({ method: 'POST', fields });
      assert.deepEqual(
        [answer.status, answer.header('grpc-status'), answer.header('grpc-message'), answer.body.length],
        [200, status, message, 0],
      );
    }
  });

  it('is counted and logged, without the token', async () => {
    const admin = `http://127.0.0.1:${mesh.sidecar.ports.admin}`;
    await fetch(`${admin}/logging?level=debug`, { method: 'POST' });
    const good = await A.token({ aud: 'y' });
    for (const [token, status] of [
      [good, 200],
      [good, 200],
      [expired, 401],
      [wrongAudience, 403],
    ] as const)
      assert.equal((await mesh.bearer(token)).status, status);
    assert.equal(mesh.app.seen.length, 2);
    const stats = await (await fetch(`${admin}/stats?filter=jwt_authn&usedonly`)).text();
    for (const [name, least] of [
      ['allowed', 2],
      ['denied', 2],
      ['jwt_cache_hit', 1],
      ['jwt_cache_miss', 3],
    ] as const) {
      const value = Number(new RegExp(`jwt_authn\\.${name}: (\\d+)`).exec(stats)?.[1]);
      assert.ok(value >= least, `${name}: ${value} in ${stats}`);
    }
    const { why } = await mesh.sidecar.waitForLog('jwt_denied');
    assert.match(String(why), /^RequestAuthentication foo\/jwt rule 0, header authorization: /);
    await mesh.sidecar.drain();
    const lines = readFileSync(mesh.mesh.path('access.log'), 'utf8');
    assert.match(lines, /"jwt_authn_access_denied\{Jwt_is_expired\}"/);
    for (const token of [good, expired, wrongAudience])
      for (const part of token.split('.').slice(1))
        assert.ok(!lines.includes(part) && !JSON.stringify(mesh.sidecar.logs).includes(part));
  });
});
