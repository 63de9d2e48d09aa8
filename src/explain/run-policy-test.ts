/**
 * Runs the cases of one file: what was expected, what came, and which rules decided nothing.
 */
import type { Position } from '../config/resources.ts';
import { explainExchange } from './explain-exchange.ts';
import type { ExplainTarget } from './explain-target.ts';
import type { Explanation, StepName, Verdict } from './explanation.ts';
import type { Expectation, PolicyTestCase } from './read-policy-test.ts';

export interface Outcome {
  readonly verdict: Verdict;
  readonly status: number | null;
  readonly policy: string | null;
  readonly rule: number | null;
}

export interface CaseResult {
  readonly name: string;
  readonly position: Position;
  readonly ok: boolean;
  readonly expected: Partial<Outcome>;
  readonly got: Outcome;
  /** The explanation in one sentence. */
  readonly reason: string;
}

/** A rule of an AuthorizationPolicy that applies to the workload. */
export interface CoveredRule {
  readonly policy: string;
  readonly rule: number;
}

export interface PolicyTestResult {
  readonly cases: readonly CaseResult[];
  readonly rules: number;
  /** Rules that decided no case. */
  readonly uncovered: readonly CoveredRule[];
}

/** Steps in which a match is all that a rule can do: what follows from it is not its own. */
const MATCHING_STEPS: ReadonlySet<StepName> = new Set([
  'CUSTOM',
  'CUSTOM_DRY_RUN',
  'AUDIT',
  'DENY_DRY_RUN',
  'ALLOW_DRY_RUN',
]);

export async function runPolicyTest(
  target: ExplainTarget,
  cases: readonly PolicyTestCase[],
): Promise<PolicyTestResult> {
  const results: CaseResult[] = [];
  const covered = new Set<string>();
  for (const one of cases) {
    const explanation = await explainExchange(target, one.request);
    for (const key of decidingRules(explanation)) covered.add(key);
    results.push(judgeCase(one, explanation));
  }
  // AUDIT in dry run does nothing at all, as in Istio: no case could cover it.
  const policies = target.snapshot.authorization.policies.filter(
    ({ action, dryRun }) => !(action === 'AUDIT' && dryRun),
  );
  const all = policies.flatMap(({ name, namespace, rules }) =>
    rules.map((_, rule): CoveredRule => ({ policy: `${namespace}/${name}`, rule })),
  );
  const uncovered = all.filter(({ policy, rule }) => !covered.has(keyOf(policy, rule)));
  return { cases: results, rules: all.length, uncovered };
}

function judgeCase({ expect, name, position }: PolicyTestCase, explanation: Explanation): CaseResult {
  const { decidedBy, reason, status, verdict } = explanation;
  const got = { verdict, status, policy: decidedBy?.policy ?? null, rule: decidedBy?.rule ?? null };
  const expected = statedOf(expect);
  // Nobody can expect an undecided case: it says that the test does not say enough.
  const ok =
    verdict !== 'undecided' &&
    FIELDS.every((field) => !(field in expected) || expected[field] === got[field]);
  return { name, position, ok, expected, got, reason };
}

const FIELDS = ['verdict', 'status', 'policy', 'rule'] as const;

function statedOf(expect: Expectation): Partial<Outcome> {
  return Object.fromEntries(
    FIELDS.filter((field) => expect[field] !== null).map((field) => [field, expect[field]]),
  );
}

function decidingRules({ decidedBy, steps }: Explanation): string[] {
  // A RequestAuthentication may have the name of an AuthorizationPolicy.
  const keys =
    decidedBy === null || decidedBy.step === 'JWT' ? [] : [keyOf(decidedBy.policy, decidedBy.rule)];
  for (const { policies, step } of steps) {
    if (!MATCHING_STEPS.has(step)) continue;
    for (const { name, namespace, rules } of policies) {
      for (const { index, matched } of rules) if (matched) keys.push(keyOf(`${namespace}/${name}`, index));
    }
  }
  return keys;
}

function keyOf(policy: string, rule: number): string {
  return `${policy} ${rule}`;
}
