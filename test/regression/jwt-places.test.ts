import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { JwtMesh, requestAuthentication } from '../flow/jwt-mesh.ts';
import type { JwtRequest } from '../flow/jwt-mesh.ts';
import { echoedHeader } from '../support/echo-app.ts';
import { TestIssuer } from '../support/test-tokens.ts';

const A = new TestIssuer('a');
const alice = await A.token({ sub: 'alice' });
const bob = await A.token({ sub: 'bob' });
const expired = await A.token({ exp: 1 });

// A token in an unexpected place, or in two, was overlooked or forwarded.
describe('tokens in several places', () => {
  let mesh: JwtMesh;
  before(async () => {
    const rule = {
      issuer: 'a',
      jwks: A.jwks(),
      fromHeaders: [
        { name: 'x-one' },
        { name: 'X-Two', prefix: 'Token ' },
        { name: 'authorization', prefix: 'Bearer ' },
      ],
      fromParams: ['token'],
      fromCookies: ['session'],
      outputClaimToHeaders: [{ header: 'X-Sub', claim: 'sub' }],
      outputPayloadToHeader: 'x-payload',
    };
    mesh = await JwtMesh.start(requestAuthentication(rule));
  });
  after(() => mesh[Symbol.asyncDispose]());

  const refused: readonly (readonly [string, JwtRequest])[] = [
    ['two fields, the second expired', { fields: [`x-one: ${alice}`, `x-two: Token ${expired}`] }],
    ['two fields, the first expired', { fields: [`x-one: ${expired}`, `x-two: Token ${alice}`] }],
    ['one field twice', { fields: [`x-one: ${alice}`, `x-one: ${expired}`] }],
    ['a field and the query', { fields: [`x-one: ${alice}`], target: `/?token=${expired}` }],
    ['the query twice', { target: `/?token=${alice}&token=${expired}` }],
    ['the query twice, once escaped', { target: `/?token=${alice}&%74oken=${expired}` }],
    ['a field and a cookie', { fields: [`x-one: ${alice}`, `cookie: session=${expired}`] }],
    ['two cookies', { fields: [`cookie: session=${alice}; session=${expired}`] }],
    [
      'two Authorization fields',
      { fields: [`authorization: Bearer ${alice}`, `authorization: Bearer ${alice}`] },
    ],
  ];
  for (const [name, request] of refused) {
    it(`${name}: 401, and nothing reaches the app`, async () => {
      const seen = mesh.app.seen.length;
      assert.equal((await mesh.send(request)).status, 401);
      assert.equal(mesh.app.seen.length, seen);
    });
  }

  it('reach the app in none of them but a cookie, and the first one counts', async () => {
    const fields = [
      `x-one: ${alice}`,
      `x-two: Token ${bob}`,
      `cookie: session=${bob}`,
      'x-sub: root',
      'x-payload: e30',
    ];
    const target = `/p?a=%2f&token=${bob}&b`;
    assert.equal((await mesh.send({ fields, target })).status, 200);
    const echo = mesh.last()!;
    assert.equal(echo.target, '/p?a=%2f&b');
    const names = new Set(echo.headers.map(([name]) => name.toLowerCase()));
    assert.ok(!names.has('x-one') && !names.has('x-two'));
    const subjects = echo.headers.filter(([name]) => name === 'x-sub').map(([, value]) => value);
    assert.deepEqual(subjects, ['bob', 'bob', 'bob', 'alice']);
    assert.equal(echoedHeader(echo, 'cookie'), `session=${bob}`);
  });

  it('are none where the scheme is written otherwise, and a client cannot state what only a token may', async () => {
    const fields = [`authorization: bearer ${expired}`, 'x-sub: root', 'X-Payload: e30'];
    assert.equal((await mesh.send({ fields, target: `/?Token=${expired}` })).status, 200);
    const echo = mesh.last()!;
    assert.equal(echoedHeader(echo, 'x-sub'), undefined);
    assert.equal(echoedHeader(echo, 'x-payload'), undefined);
    assert.equal(echoedHeader(echo, 'authorization'), `bearer ${expired}`);
  });
});
