import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseJwt } from '../../src/filters/jwt-parse.ts';
import { ALLOW_LOOPBACK, JwtMesh, requestAuthentication } from '../flow/jwt-mesh.ts';
import { KeySetServer } from '../support/key-set-server.ts';
import { TestIssuer } from '../support/test-tokens.ts';

// CVE-2026-48042 and its kind: JSON so deep or so long that the reader dies of it.
const A = new TestIssuer('a');

function deep(depth: number): string {
  return `{"iss":"a","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
}

describe('a token whose JSON is very deep', () => {
  it('is 401 and reaches nobody', async () => {
    await using mesh = await JwtMesh.start(requestAuthentication({ issuer: 'a', jwks: A.jwks() }));
    const answer = await mesh.bearer(await A.token({}, { payloadText: deep(20_000) }));
    assert.deepEqual([answer.status, answer.body.toString()], [401, 'Jwt payload is an invalid JSON']);
    assert.equal(mesh.app.seen.length, 0);
    assert.equal((await mesh.bearer(await A.token({}, { payloadText: deep(99) }))).status, 200);
  });

  it('is refused by the parser at any depth, closed or not', () => {
    for (const text of [deep(100_000), '['.repeat(100_000), '{"a":'.repeat(100_000)]) {
      const section = Buffer.from(text).toString('base64url');
      const inPayload = parseJwt(`${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${section}.AAAA`);
      assert.equal('status' in inPayload && inPayload.status, 'payloadJson');
      const inHeader = parseJwt(`${section}.${section}.AAAA`);
      assert.equal('status' in inHeader && inHeader.status, 'headerJson');
    }
  });
});

describe('a key set', () => {
  const many = JSON.stringify({ keys: Array.from({ length: 10_000 }, () => ({ kty: 'EC' })) });
  const large = `${A.jwks()}${' '.repeat(52_428_800)}`;
  const nested = `{"keys":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  for (const [name, body] of [
    ['of 10,000 keys', many],
    ['of 50 MB', large],
    ['100,000 levels deep', nested],
  ] as const) {
    it(`${name} is not taken, and tokens are refused`, async () => {
      await using server = await KeySetServer.start();
      server.answers.set('/keys', { body });
      const rule = { issuer: 'a', jwksUri: `${server.url}/keys` };
      await using mesh = await JwtMesh.start(requestAuthentication(rule), ALLOW_LOOPBACK);
      await mesh.sidecar.waitForLog('jwks_fetch_failed');
      assert.equal((await mesh.bearer(await A.token())).status, 401);
      assert.equal(mesh.app.seen.length, 0);
      assert.equal((await mesh.send({})).status, 200);
    });
  }
});
