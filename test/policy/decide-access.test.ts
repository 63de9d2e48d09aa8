import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlannedPolicy } from '../../src/core/authorization-plan.ts';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import { decideAccess } from '../../src/policy/decide-access.ts';
import type { AccessDecision } from '../../src/policy/decision.ts';
import { connectionOf, httpRules, planOf, policyOf, requestOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

const PATH_A: RuleText = { to: [{ paths: ['/a'] }] };
const PATH_B: RuleText = { to: [{ paths: ['/b'] }] };
const ANY: RuleText = {};

function decide(path: string, ...policies: readonly PlannedPolicy[]): AccessDecision {
  return decideAccess(httpRules(...policies), connectionOf(), requestOf({ path }));
}

describe('empty forms', () => {
  it('denies all by an ALLOW policy without rules', () => {
    const decision = decide('/', policyOf([]));
    assert.deepEqual([decision.allowed, decision.step, decision.matched], [false, 'ALLOW', null]);
  });

  it('denies nothing by a DENY policy without rules', () => {
    const decision = decide('/', policyOf([], { action: 'DENY' }));
    assert.deepEqual([decision.allowed, decision.step], [true, null]);
  });

  it('matches everything by an empty rule', () => {
    assert.equal(decide('/', policyOf([ANY])).allowed, true);
    assert.equal(decide('/', policyOf([ANY], { action: 'DENY' })).allowed, false);
  });

  it('lets everything through where no policy applies', () => {
    assert.deepEqual(decide('/'), { allowed: true, step: null, matched: null, audited: null, shadow: null });
    const rules = httpRules();
    assert.deepEqual([rules.allow, rules.deny, rules.audit, rules.custom], [null, null, null, []]);
  });

  it('denies what no ALLOW rule matches', () => {
    const decision = decide('/b', policyOf([PATH_A]));
    assert.deepEqual([decision.allowed, decision.step, decision.matched], [false, 'ALLOW', null]);
  });
});

describe('order of actions', () => {
  it('lets DENY go before ALLOW', () => {
    const policies = [policyOf([ANY]), policyOf([PATH_A], { action: 'DENY', name: 'deny' })];
    assert.deepEqual(decide('/a', ...policies), {
      allowed: false,
      step: 'DENY',
      matched: { key: 'ns[foo]-policy[deny]-rule[0]', namespace: 'foo', name: 'deny', rule: 0 },
      audited: null,
      shadow: null,
    });
    assert.equal(decide('/b', ...policies).matched?.key, 'ns[foo]-policy[policy]-rule[0]');
  });

  it('reports AUDIT and lets it decide nothing', () => {
    const audit = policyOf([PATH_A], { action: 'AUDIT', name: 'audit' });
    const decision = decide('/a', audit, policyOf([PATH_B]));
    assert.equal(decision.audited?.name, 'audit');
    assert.deepEqual([decision.allowed, decision.step], [false, 'ALLOW']);
    assert.equal(decide('/b', audit, policyOf([PATH_B])).audited, null);
  });

  it('names the smallest key in the order of its bytes', () => {
    const rules = Array.from({ length: 12 }, (_, i) => (i === 2 || i === 10 ? PATH_A : PATH_B));
    assert.equal(decide('/a', policyOf(rules)).matched?.key, 'ns[foo]-policy[policy]-rule[10]');
    const named = ['b', 'a-b', 'a', 'a0'].map((name) => policyOf([PATH_A], { name }));
    assert.equal(decide('/a', ...named).matched?.name, 'a-b');
    assert.equal(
      decide('/a', policyOf([ANY], { namespace: 'zoo', name: 'a' }), ...named).matched?.namespace,
      'foo',
    );
  });

  it('takes policies in any order', () => {
    const policies = [
      policyOf([PATH_A], { name: 'z' }),
      policyOf([ANY], { name: 'm' }),
      policyOf([PATH_A], { name: 'b' }),
    ];
    for (const order of [policies, policies.toReversed()]) {
      assert.equal(decide('/a', ...order).matched?.name, 'b');
      assert.equal(decide('/x', ...order).matched?.name, 'm');
    }
  });
});

describe('CUSTOM', () => {
  const policies = [
    policyOf([PATH_A], { action: 'CUSTOM', provider: 'opa-b', name: 'one' }),
    policyOf([PATH_A], { action: 'CUSTOM', provider: 'opa', name: 'two' }),
    policyOf([ANY], { action: 'CUSTOM', provider: 'gone', providerProblem: 'there is none', name: 'three' }),
    policyOf([ANY], { action: 'CUSTOM', provider: 'opa', name: 'dry', dryRun: true }),
  ];

  it('groups rules by provider, names compared whole', () => {
    const { custom, customShadow } = httpRules(...policies);
    assert.deepEqual(
      custom.map(({ provider, problem, rules }) => [provider, problem, rules.size]),
      [
        ['gone', 'there is none', 1],
        ['opa', '', 1],
        ['opa-b', '', 1],
      ],
    );
    assert.deepEqual(
      customShadow.map(({ provider }) => provider),
      ['opa'],
    );
  });

  it('names rules with the provider, and broken ones as denying', () => {
    const { custom } = httpRules(...policies);
    assert.deepEqual(
      custom.map(({ rules }) => rules.match(connectionOf(), requestOf({ path: '/a' }))?.key),
      [
        'istio-ext-authz-gone-ns[foo]-policy[three]-rule[0]-deny-due-to-bad-CUSTOM-action',
        'istio-ext-authz-opa-ns[foo]-policy[two]-rule[0]',
        'istio-ext-authz-opa-b-ns[foo]-policy[one]-rule[0]',
      ],
    );
  });

  it('is not decided here', () => {
    assert.deepEqual(decide('/a', ...policies).step, null);
  });
});

describe('dry run', () => {
  const dryAllow = policyOf([PATH_A], { dryRun: true, name: 'dry-allow' });
  const dryDeny = policyOf([PATH_B], { dryRun: true, action: 'DENY', name: 'dry-deny' });

  it('enforces nothing and says what would have been', () => {
    const decision = decide('/x', dryAllow);
    assert.deepEqual([decision.allowed, decision.step], [true, null]);
    assert.deepEqual(decision.shadow, {
      allowed: false,
      deny: null,
      allow: { allowed: false, matched: null },
    });
  });

  it('combines ALLOW and DENY into one answer', () => {
    const answers = ['/a', '/b', '/x'].map((path) => decide(path, dryAllow, dryDeny).shadow);
    assert.deepEqual(
      answers.map((shadow) => [
        shadow?.allowed,
        shadow?.deny?.denied,
        shadow?.deny?.matched?.name,
        shadow?.allow?.allowed,
        shadow?.allow?.matched?.name,
      ]),
      [
        [true, false, undefined, true, 'dry-allow'],
        [false, true, 'dry-deny', false, undefined],
        [false, false, undefined, false, undefined],
      ],
    );
    assert.deepEqual(decide('/x', dryDeny).shadow, {
      allowed: true,
      deny: { denied: false, matched: null },
      allow: null,
    });
  });

  it('is said beside what is enforced', () => {
    const decision = decide('/b', dryDeny, policyOf([PATH_A], { action: 'DENY' }));
    assert.equal(decision.allowed, true);
    assert.equal(decision.shadow?.allowed, false);
  });

  it('passes over AUDIT', () => {
    const rules = httpRules(policyOf([ANY], { action: 'AUDIT', dryRun: true }));
    assert.deepEqual(rules, httpRules());
  });
});

describe('compiled policies', () => {
  it('keep no request between two decisions', () => {
    const { http } = compilePolicies(planOf(policyOf([{ to: [{ paths: ['/a'], hosts: ['a'] }] }])), [
      'cluster.local',
    ]);
    assert.equal(decideAccess(http, connectionOf(), requestOf({ path: '/a', authority: 'a' })).allowed, true);
    assert.equal(
      decideAccess(http, connectionOf(), requestOf({ path: '/b', authority: 'a' })).allowed,
      false,
    );
    const request = { ...requestOf({ path: '/a', authority: 'a' }) };
    assert.equal(decideAccess(http, connectionOf(), request).allowed, true);
    request.path = '/b';
    assert.equal(decideAccess(http, connectionOf(), request).allowed, false);
  });

  it('see a connection anew after a change of policy', () => {
    const connection = connectionOf();
    const [ofFoo, ofBar] = ['foo', 'bar'].map((name) =>
      httpRules(policyOf([{ from: [{ namespaces: [name] }] }])),
    );
    assert.ok(ofFoo && ofBar);
    assert.equal(decideAccess(ofFoo, connection, requestOf()).allowed, true);
    assert.equal(decideAccess(ofBar, connection, requestOf()).allowed, false);
  });
});
