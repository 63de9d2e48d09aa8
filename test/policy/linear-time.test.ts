import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import { connectionOf, planOf, policyOf, requestOf, tokenOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';
import type { PolicyConnection } from '../../src/policy/policy-connection.ts';
import type { PolicyRequest } from '../../src/policy/policy-request.ts';

interface Attack {
  readonly name: string;
  readonly rule: RuleText;
  /** A fresh one each time: nothing is remembered for it. */
  readonly visit: (length: number) => readonly [PolicyConnection, PolicyRequest];
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'a suffix of one letter and a path of many',
    rule: { to: [{ paths: [`*${'a'.repeat(500)}b`] }] },
    visit: (length) => [connectionOf(), requestOf({ path: `/${'a'.repeat(length)}` })],
  },
  {
    name: 'a template of many segments and a path of more',
    rule: { to: [{ paths: [`${'/{*}'.repeat(500)}/{**}/x`] }] },
    visit: (length) => [connectionOf(), requestOf({ path: '/a'.repeat(length / 2) })],
  },
  {
    name: 'a template tail that nearly matches everywhere',
    rule: { to: [{ paths: ['/{**}/a/a/a/a/b'] }] },
    visit: (length) => [connectionOf(), requestOf({ path: '/a'.repeat(length / 2) })],
  },
  {
    name: 'a namespace of many stars',
    rule: { from: [{ namespaces: [`${'a*'.repeat(50)}b`] }] },
    visit: (length) => [
      connectionOf({ identities: [`spiffe://td/ns/${'a'.repeat(length)}/sa/x`] }),
      requestOf(),
    ],
  },
  {
    name: 'a service account and an identity of nothing but steps',
    rule: { from: [{ serviceAccounts: ['sa/sa'] }] },
    visit: (length) => [
      connectionOf({ identities: [`spiffe://td/ns/sa${'/sa'.repeat(length / 3)}x/`] }),
      requestOf(),
    ],
  },
  {
    name: 'claims in a long list',
    rule: { when: [{ key: 'request.auth.claims[a]', values: ['*z', 'y*', 'x'] }] },
    visit: (length) => [
      connectionOf(),
      requestOf({ token: tokenOf({ a: Array.from({ length: length / 8 }, () => 'aaaaaaaa') }) }),
    ],
  },
  {
    name: 'a host of capitals, dots and colons',
    rule: { to: [{ hosts: ['*.b'] }] },
    visit: (length) => [connectionOf(), requestOf({ authority: `${'A.:'.repeat(length / 3)}.` })],
  },
  {
    name: 'a list of addresses in X-Forwarded-For',
    rule: { from: [{ remoteIpBlocks: ['1.2.3.4'] }] },
    visit: (length) => [
      connectionOf(),
      requestOf({
        fields: ['x-forwarded-for', '9,'.repeat(length / 2), 'x-forwarded-for', ':'.repeat(length)],
      }),
    ],
  },
];

const LENGTH = 24_000;

describe('matching takes time linear in what a peer sends', () => {
  for (const { name, rule, visit } of ATTACKS) {
    it(name, () => {
      const policy = policyOf([rule], { action: 'DENY' });
      const { http } = compilePolicies(planOf(policy), ['cluster.local']);
      const { deny } = http;
      assert.ok(deny);

      const bestMs = (length: number): number => {
        let best = Infinity;
        for (let round = 0; round < 15; round++) {
          const visits = Array.from({ length: 8 }, () => visit(length));
          const before = performance.now();
          for (const [connection, request] of visits) deny.match(connection, request);
          // The best of many rounds of a few milliseconds: CPU time is too coarse a clock for them.
          best = Math.min(best, performance.now() - before);
        }
        return best;
      };

      bestMs(LENGTH);
      const once = bestMs(LENGTH);
      const twice = bestMs(LENGTH * 2);
      // Quadratic time would be 4 times as much, and seconds of it; a few milliseconds are noise.
      assert.ok(twice < once * 3 + 3, `${once.toFixed(3)} ms, then ${twice.toFixed(3)} ms`);
      assert.ok(twice / 8 < 20, `one decision takes ${(twice / 8).toFixed(3)} ms`);
    });
  }
});
