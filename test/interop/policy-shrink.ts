/**
 * A case that came out otherwise made small: whatever can be left out of the policy set and the request, and it still
 * does. All smaller cases of a round are judged in one Envoy.
 */
import { explainCase, targetOf } from './policy-explain.ts';
import { compareCase, reportOf } from './policy-compare.ts';
import type { PolicyCase } from './policy-requests.ts';
import type { Fields, Policy, PolicySet, Rule } from './policy-set.ts';
import type { JudgedCase, PolicyWorld, PreparedSet } from './policy-world.ts';

const MAX_ROUNDS = 25;
/** Listeners of one round. */
const MAX_SMALLER = 100;

interface Pair {
  readonly set: PolicySet;
  readonly one: PolicyCase;
}

/** The report of the smallest that was found. */
export async function shrink(world: PolicyWorld, found: JudgedCase, report: string): Promise<string> {
  let best: Pair = { set: found.prepared.set, one: found.one };
  let said = report;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const smaller = [...smallerThan(best)].slice(0, MAX_SMALLER).flatMap((pair) => {
      const prepared = prepare(pair);
      return prepared === null ? [] : [prepared];
    });
    const hit = await firstWrong(world, smaller);
    if (hit === null) return said;
    ({ pair: best, report: said } = hit);
  }
  return said;
}

async function firstWrong(
  world: PolicyWorld,
  smaller: readonly PreparedSet[],
): Promise<{ readonly pair: Pair; readonly report: string } | null> {
  if (smaller.length === 0) return null;
  const judged = await world.judge(smaller);
  for (const [slot, prepared] of smaller.entries()) {
    const one = judged.find((each) => each.prepared === prepared);
    if (one === undefined) continue;
    const explanation = await explainCase(targetOf(prepared.set), one.one, world.app.address(slot));
    const { differences } = compareCase(one, explanation);
    if (differences.length === 0) continue;
    return { pair: { set: prepared.set, one: one.one }, report: reportOf(one, explanation, differences) };
  }
  return null;
}

/** null: validation refuses it. */
function prepare({ one, set }: Pair): PreparedSet | null {
  try {
    return { set, snapshot: targetOf(set).snapshot, cases: [one] };
  } catch {
    return null;
  }
}

function* smallerThan({ one, set }: Pair): Generator<Pair> {
  for (const policies of without(set.policies)) yield { set: { ...set, policies }, one };
  if (set.tokenRules.length > 0) yield { set: { ...set, tokenRules: [] }, one };
  for (const tokenRules of without(set.tokenRules)) yield { set: { ...set, tokenRules }, one };
  for (const [at, policy] of set.policies.entries())
    for (const smaller of smallerPolicies(policy))
      yield { set: { ...set, policies: set.policies.with(at, smaller) }, one };
  for (const request of smallerCases(one)) yield { set, one: request };
  if (set.normalization !== 'DEFAULT') yield { set: { ...set, normalization: 'DEFAULT' }, one };
  for (const [at, rule] of set.tokenRules.entries())
    for (const field of Object.keys(rule).filter((name) => name !== 'issuer'))
      yield { set: { ...set, tokenRules: set.tokenRules.with(at, { ...rule, [field]: undefined }) }, one };
}

function* smallerPolicies(policy: Policy): Generator<Policy> {
  const rules = policy.rules ?? [];
  if (rules.length > 1) for (const fewer of without(rules)) yield { ...policy, rules: fewer };
  for (const [at, rule] of rules.entries())
    for (const smaller of smallerRules(rule)) yield { ...policy, rules: rules.with(at, smaller) };
  if (policy.selector !== null) yield { ...policy, selector: null };
}

function* smallerRules(rule: Rule): Generator<Rule> {
  for (const part of ['from', 'to', 'when'] as const) {
    if (rule[part] === undefined) continue;
    const { [part]: _gone, ...rest } = rule;
    yield rest;
    if (rule[part].length > 1)
      for (const fewer of without<unknown>(rule[part])) yield { ...rule, [part]: fewer };
  }
  for (const [at, { source }] of (rule.from ?? []).entries())
    for (const fields of smallerFields(source))
      yield { ...rule, from: rule.from!.with(at, { source: fields }) };
  for (const [at, { operation }] of (rule.to ?? []).entries())
    for (const fields of smallerFields(operation))
      yield { ...rule, to: rule.to!.with(at, { operation: fields }) };
  for (const [at, { key, notValues = [], values = [] }] of (rule.when ?? []).entries())
    for (const fields of smallerFields({ values, notValues }))
      yield { ...rule, when: rule.when!.with(at, { key, ...fields }) };
}

function* smallerFields(fields: Fields): Generator<Fields> {
  for (const [name, values] of Object.entries(fields)) {
    const { [name]: _gone, ...rest } = fields;
    if (Object.keys(rest).length > 0) yield rest;
    if (values.length > 1) for (const fewer of without(values)) yield { ...fields, [name]: fewer };
  }
}

function* smallerCases(one: PolicyCase): Generator<PolicyCase> {
  if (one.kind === 'tcp') return;
  for (const headers of without(one.headers)) yield { ...one, headers };
  if (one.method !== 'GET') yield { ...one, method: 'GET' };
  if (one.target !== '/') yield { ...one, target: '/' };
  if (one.target.includes('?')) yield { ...one, target: one.target.replace(/\?.*/, '') };
  if (one.host !== 'a') yield { ...one, host: 'a' };
  const { caller } = one;
  if (caller.sni !== '') yield { ...one, caller: { ...caller, sni: '' } };
  if (caller.id !== '') yield { ...one, caller: { ...caller, id: '', sni: '' } };
}

function* without<T>(list: readonly T[]): Generator<readonly T[]> {
  for (const at of list.keys()) yield list.toSpliced(at, 1);
}
