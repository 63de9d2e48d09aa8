/** Ten thousand policies: an explanation takes no time that a person would notice, and its text stays readable. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PlannedPolicy, PolicyOperation, PolicySource } from '../../src/core/authorization-plan.ts';
import type { ExplainTarget } from '../../src/explain/explain-target.ts';
import { printExplanation } from '../../src/explain/print-explanation.ts';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import { ask, policy, SLEEP, stepOf, targetOf } from './ask.ts';

const COUNT = 10_000;
/** Measured: 0.1 to 1.2 s, the latter with both cores busy elsewhere. */
const ENOUGH_MS = 5_000;

/** One rule a policy, with a principal and a path of its own. */
function targetOfMany(): ExplainTarget {
  const target = targetOf(
    policy('one', '{rules: [{from: [{source: {principals: [x]}}], to: [{operation: {paths: [/x]}}]}]}'),
  );
  const [planned] = target.snapshot.authorization.policies;
  const rule = planned!.rules[0]!;
  const policies = Array.from({ length: COUNT }, (_, index): PlannedPolicy => {
    const from: PolicySource = { ...rule.from[0]!, principals: [`cluster.local/ns/foo/sa/a${index}`] };
    const to: PolicyOperation = { ...rule.to[0]!, paths: [`/p${index}`] };
    return { ...planned!, name: `p${index}`, rules: [{ from: [from], to: [to], when: [] }] };
  });
  const authorization = { policies, providers: {} };
  return {
    ...target,
    snapshot: { ...target.snapshot, authorization },
    policies: compilePolicies(authorization, target.snapshot.trustDomains),
  };
}

describe('an explanation of 10,000 policies', () => {
  const target = targetOfMany();

  it('is there at once, has all of them, and the closest', async () => {
    const started = performance.now();
    const explanation = await ask(target, `{${SLEEP}, request: {path: /p7}}`);
    const text = printExplanation(explanation);
    assert.ok(performance.now() - started < ENOUGH_MS);
    assert.equal(stepOf(explanation, 'ALLOW').policies.length, COUNT);
    assert.equal(explanation.closest?.policy, 'foo/p7');
    assert.ok(text.includes('foo/p7 (namespace)'));
    assert.ok(text.includes('9995 more that did not match'));
    assert.ok(text.split('\n').length < 40);
  });

  it('names the one that decides', async () => {
    const request = '{from: {principal: cluster.local/ns/foo/sa/a9999}, request: {path: /p9999}}';
    assert.equal((await ask(target, request)).decidedBy?.policy, 'foo/p9999');
  });
});
