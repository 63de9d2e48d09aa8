/** What a token proved reaches the app in fields that nobody else can send it, by whatever name an app reads them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { TestIssuer } from '../support/test-tokens.ts';
import { JwtMesh, requestAuthentication } from './jwt-mesh.ts';

const issuer = new TestIssuer('a');
const RULE = {
  issuer: 'a',
  jwks: issuer.jwks(),
  outputPayloadToHeader: 'x-jwt-payload',
  outputClaimToHeaders: [
    { header: 'X-Sub', claim: 'sub' },
    { header: 'x_group', claim: 'group' },
  ],
};
/** As CGI, WSGI and their heirs name them. */
const SPOOFED = ['X-Sub', 'x_sub', 'X_SUB', 'x_jwt_payload', 'x-jwt_payload', 'x-group', 'X_Group'];

/** Names and values that an app which reads `_` for `-` takes for ours. */
function outputs(fields: readonly (readonly [string, string])[] | undefined): (readonly [string, string])[] {
  assert.ok(fields !== undefined);
  return fields.filter(([name]) => /^x[-_](?:sub|jwt[-_]payload|group)$/i.test(name));
}

describe('fields that a token gives', () => {
  let mesh: JwtMesh;

  before(async () => {
    mesh = await JwtMesh.start(requestAuthentication(RULE));
  });
  after(() => mesh[Symbol.asyncDispose]());

  it('come from the token alone, whatever the client spells like them', async () => {
    const token = await issuer.token({ group: 'g' });
    const fields = SPOOFED.map((name) => `${name}: evil`);
    const answer = await mesh.send({ fields: [...fields, `authorization: Bearer ${token}`] });
    assert.equal(answer.status, 200);
    assert.deepEqual(outputs(mesh.last()?.headers), [
      ['x-sub', 'alice'],
      ['x_group', 'g'],
      ['x-jwt-payload', token.split('.')[1]],
    ]);
  });

  for (const [what, method, more] of [
    ['without a token', 'GET', []],
    ['in a preflight', 'OPTIONS', ['origin: https://a.example', 'access-control-request-method: PUT']],
  ] as const) {
    it(`are absent ${what}`, async () => {
      const fields = SPOOFED.map((name) => `${name}: evil`);
      assert.equal((await mesh.send({ method, fields: [...fields, ...more] })).status, 200);
      assert.deepEqual(outputs(mesh.last()?.headers), []);
    });
  }

  it('are left out of the trailers, and other trailers pass', async () => {
    const head = ['POST / HTTP/1.1', 'host: httpbin.foo', 'transfer-encoding: chunked', '', ''].join('\r\n');
    const trailers = [...SPOOFED, 'x-sum'].map((name) => `${name}: evil\r\n`).join('');
    using client = await connectRaw({ port: mesh.sidecar.port });
    const answer = await client.request(`${head}2\r\nhi\r\n0\r\n${trailers}\r\n`, 'POST');
    assert.equal(answer.status, 200);
    assert.deepEqual(mesh.last()?.trailers, [['x-sum', 'evil']]);
  });

  it('are not taken from the app’s view by a client that lists them in Connection', async () => {
    const token = await issuer.token({ group: 'g' });
    const fields = [`authorization: Bearer ${token}`, 'connection: x-sub, x_group, x-jwt-payload'];
    assert.equal((await mesh.send({ fields })).status, 200);
    assert.equal(outputs(mesh.last()?.headers).length, 3);
  });

  it('are the client’s own again once no rule gives them', async () => {
    await mesh.setDocuments(requestAuthentication({ issuer: 'a', jwks: issuer.jwks() }));
    assert.equal((await mesh.send({ fields: ['x-sub: mine', 'x_sub: too'] })).status, 200);
    assert.deepEqual(outputs(mesh.last()?.headers), [
      ['x-sub', 'mine'],
      ['x_sub', 'too'],
    ]);
  });
});
