import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PolicyRequest } from '../../src/policy/policy-request.ts';
import { connectionOf, httpRules, policyOf, requestOf, tokenOf } from './policy-plan.ts';

function withClaims(claims: Readonly<Record<string, unknown>>): PolicyRequest {
  return requestOf({ token: tokenOf({ iss: 'i', sub: 's', ...claims }) });
}

it('a rule of more alternatives than a call takes arguments compiles and matches', () => {
  const from = Array.from({ length: 200_000 }, (_, i) => ({ principals: [`cluster.local/ns/n/sa/a${i}`] }));
  const { allow } = httpRules(policyOf([{ from }]));
  const last = connectionOf({ identities: ['spiffe://cluster.local/ns/n/sa/a199999'] });
  assert.notEqual(allow?.match(last, requestOf()), null);
  assert.equal(allow?.match(connectionOf(), requestOf()), null);
});

it('claims inside one claim are found by their names, not one after the other', () => {
  const policies = Array.from({ length: 10_000 }, (_, i) =>
    policyOf([{ when: [{ key: `request.auth.claims[a][c${i}]`, values: ['x', `${i}`] }] }], {
      name: `p${i}`,
    }),
  );
  const { allow } = httpRules(...policies);
  assert.equal(allow?.match(connectionOf(), withClaims({ a: { c7777: ['y', '7777'] } }))?.name, 'p7777');
  assert.equal(
    allow?.match(connectionOf(), withClaims({ a: { c7777: 7777, __proto__: { c1: 'x' } } })),
    null,
  );
  assert.equal(allow?.match(connectionOf(), withClaims({ a: 'x', c7777: 'x' })), null);

  const few = withClaims({ a: { c7777: 'none' } });
  const connection = connectionOf();
  const startedMs = performance.now();
  for (let i = 0; i < 1_000; i++) allow?.match(connection, few);
  // One after the other it is some 9 s.
  assert.ok(performance.now() - startedMs < 1_500, `${performance.now() - startedMs} ms`);
});
