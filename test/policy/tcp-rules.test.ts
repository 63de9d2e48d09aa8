import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyAction } from '../../src/core/authorization-plan.ts';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import { decideAccess } from '../../src/policy/decide-access.ts';
import { connectionOf, isMatched, planOf, policyOf, requestOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

const HTTP_ONLY: readonly RuleText[] = [
  { to: [{ hosts: ['a'] }] },
  { to: [{ notHosts: ['a'] }] },
  { to: [{ methods: ['GET'] }] },
  { to: [{ notMethods: ['GET'] }] },
  { to: [{ paths: ['/a'] }] },
  { to: [{ notPaths: ['/{*}'] }] },
  { from: [{ requestPrincipals: ['*'] }] },
  { from: [{ notRequestPrincipals: ['*'] }] },
  { when: [{ key: 'request.headers[a]', values: ['b'] }] },
  { when: [{ key: 'request.headers[a]', notValues: ['b'] }] },
  { when: [{ key: 'request.auth.principal', values: ['b'] }] },
  { when: [{ key: 'request.auth.audiences', values: ['b'] }] },
  { when: [{ key: 'request.auth.presenter', notValues: ['b'] }] },
  { when: [{ key: 'request.auth.claims[a]', values: ['b'] }] },
];

const OTHERS: readonly PolicyAction[] = ['DENY', 'AUDIT', 'CUSTOM'];

describe('HTTP fields on TCP chains', () => {
  for (const rule of HTTP_ONLY) {
    it(`${JSON.stringify(rule)} drops an ALLOW rule and is passed over elsewhere`, () => {
      assert.equal(isMatched(rule, connectionOf(), null), false);
      for (const action of OTHERS) {
        assert.equal(isMatched(rule, connectionOf(), null, { action }), true, action);
      }
    });
  }

  it('leave the rest of a DENY rule as it is', () => {
    const rule: RuleText = {
      from: [{ namespaces: ['bar'], requestPrincipals: ['*'] }],
      to: [{ methods: ['GET'], ports: ['8000'] }],
    };
    assert.equal(isMatched(rule, connectionOf(), null, { action: 'DENY' }), false);
    const ofBar = connectionOf({ identities: ['spiffe://cluster.local/ns/bar/sa/x'] });
    assert.equal(isMatched(rule, ofBar, null, { action: 'DENY' }), true);
  });

  it('make an alternative that is nothing else match everything', () => {
    const rule: RuleText = { to: [{ ports: ['1'] }, { paths: ['/a'] }] };
    assert.equal(isMatched(rule, connectionOf(), null, { action: 'DENY' }), true);
  });

  it('drop an ALLOW rule whole, whatever its other alternatives say', () => {
    const rule: RuleText = { to: [{ ports: ['8000'] }, { paths: ['/a'] }] };
    assert.equal(isMatched(rule, connectionOf(), null), false);
    assert.equal(isMatched(rule, connectionOf(), requestOf()), true);
  });

  it('deny every connection where all ALLOW rules are dropped', () => {
    const { tcp } = compilePolicies(planOf(policyOf([{ to: [{ paths: ['/a'] }] }])), ['cluster.local']);
    assert.equal(tcp.allow?.size, 0);
    assert.deepEqual(decideAccess(tcp, connectionOf(), null), {
      allowed: false,
      step: 'ALLOW',
      matched: null,
      audited: null,
      shadow: null,
    });
  });

  it('deny every connection by a DENY rule of nothing else', () => {
    const policy = policyOf([{ to: [{ methods: ['GET'] }] }], { action: 'DENY', name: 'no-get' });
    const { tcp } = compilePolicies(planOf(policy), ['cluster.local']);
    assert.equal(decideAccess(tcp, connectionOf(), null).matched?.key, 'ns[foo]-policy[no-get]-rule[0]');
  });

  it('keep the other ALLOW rules', () => {
    const policy = policyOf([{ to: [{ paths: ['/a'] }] }, { from: [{ namespaces: ['foo'] }] }]);
    const { tcp } = compilePolicies(planOf(policy), ['cluster.local']);
    assert.equal(decideAccess(tcp, connectionOf(), null).matched?.rule, 1);
    assert.deepEqual(
      tcp.allow?.explain(connectionOf(), null)[0]?.rules.map(({ index, matched }) => [index, matched]),
      [
        [0, false],
        [1, true],
      ],
    );
  });
});

describe('values that nothing can be made of', () => {
  const bad: readonly RuleText[] = [
    { from: [{ ipBlocks: ['10.0.0.0/33'] }] },
    { from: [{ notRemoteIpBlocks: ['ten'] }] },
    { to: [{ ports: ['65536'] }] },
    { to: [{ ports: ['x'] }] },
    { to: [{ paths: ['/a{*}'] }] },
    { when: [{ key: 'request.headers[a', values: ['b'] }] },
    { when: [{ key: 'request.auth.claims', values: ['b'] }] },
    { when: [{ key: 'destination.labels[a]', values: ['b'] }] },
    { when: [{ key: 'experimental.envoy.filters.a', values: ['b'] }] },
  ];
  for (const rule of bad) {
    it(`${JSON.stringify(rule)} drops an ALLOW rule and is passed over elsewhere`, () => {
      assert.equal(isMatched(rule, connectionOf(), requestOf()), false);
      for (const action of OTHERS) {
        assert.equal(isMatched(rule, connectionOf(), requestOf(), { action }), true, action);
      }
    });
  }

  it('leave the good values of a DENY rule, and none of an ALLOW rule', () => {
    const rule: RuleText = { from: [{ ipBlocks: ['bad', '10.0.0.9'] }] };
    assert.equal(isMatched(rule, connectionOf(), requestOf(), { action: 'DENY' }), true);
    assert.equal(
      isMatched(rule, connectionOf({ remoteIp: '10.0.0.8' }), requestOf(), { action: 'DENY' }),
      false,
    );
    assert.equal(isMatched(rule, connectionOf(), requestOf()), false);
  });
});
