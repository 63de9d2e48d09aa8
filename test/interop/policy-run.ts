/**
 * One run of the comparison: sets are loaded and explained, cases chosen so that rules decide, batches judged by both
 * sides, everything compared.
 */
import type { ExplainTarget } from '../../src/explain/explain-target.ts';
import type { Explanation } from '../../src/explain/explanation.ts';
import { compareCase, reportOf } from './policy-compare.ts';
import { decidingClauses, Distribution } from './policy-distribution.ts';
import { explainCase, targetOf } from './policy-explain.ts';
import { callersFor, drawCase, type PolicyCase } from './policy-requests.ts';
import { Rng } from './policy-rng.ts';
import type { PolicySet } from './policy-set.ts';
import type { JudgedCase, PolicyWorld, PreparedSet } from './policy-world.ts';

/** Listeners of one Envoy. */
const BATCH = 250;
/** Cases drawn for each that is sent. */
const DRAWN = 2;

export interface RunOptions {
  readonly world: PolicyWorld;
  readonly sets: readonly PolicySet[];
  readonly casesPerSet: number;
  readonly seed: number;
  readonly distribution: Distribution;
}

export interface RunResult {
  /** Reports of differences that nothing allows. */
  readonly wrong: readonly Wrong[];
  /** Rows of `docs/differences.md`, and for how many cases they were needed. */
  readonly rows: ReadonlyMap<string, number>;
}

export interface Wrong {
  readonly judged: JudgedCase;
  readonly report: string;
}

export interface Candidate {
  readonly one: PolicyCase;
  readonly explanation: Explanation;
  readonly worth: number;
}

export async function compareSets(options: RunOptions): Promise<RunResult> {
  const { casesPerSet, distribution, seed, sets, world } = options;
  const rng = new Rng(seed);
  const wrong: Wrong[] = [];
  const rows = new Map<string, number>();
  // Of this run alone, so that its seed repeats it whatever ran before.
  const chosenSoFar = new Distribution(0);
  for (let from = 0; from < sets.length; from += BATCH) {
    const explanations = new Map<PolicyCase, Explanation>();
    const prepared: PreparedSet[] = [];
    for (const [slot, set] of sets.slice(from, from + BATCH).entries()) {
      const ip = world.app.address(slot);
      const { chosen, target } = await chooseCases(set, ip, casesPerSet, rng, chosenSoFar);
      for (const { explanation, one } of chosen) {
        explanations.set(one, explanation);
        distribution.add(explanation);
      }
      prepared.push({ set, snapshot: target.snapshot, cases: chosen.map(({ one }) => one) });
    }
    const all = await world.judge(prepared);
    if (all.length !== explanations.size)
      throw new Error(`${all.length} of ${explanations.size} cases came back judged`);
    for (const judged of all) {
      const explanation = explanations.get(judged.one)!;
      const { differences, row } = compareCase(judged, explanation);
      if (row !== '') rows.set(row, (rows.get(row) ?? 0) + 1);
      if (differences.length > 0) wrong.push({ judged, report: reportOf(judged, explanation, differences) });
    }
  }
  return { wrong, rows };
}

/** Four of five for what they decide, by what has decided least so far; the others as they were drawn. */
export async function chooseCases(
  set: PolicySet,
  ip: string,
  count: number,
  rng: Rng,
  distribution: Distribution,
): Promise<{ readonly target: ExplainTarget; readonly chosen: readonly Candidate[] }> {
  const target = targetOf(set);
  const callers = callersFor(set, rng);
  const drawn: Candidate[] = [];
  for (let at = 0; at < count * DRAWN; at++) {
    const one = drawCase(set, callers, rng);
    const explanation = await explainCase(target, one, ip);
    drawn.push({ one, explanation, worth: worthOf(explanation, distribution) });
  }
  const best = drawn.toSorted((a, b) => b.worth - a.worth).slice(0, Math.ceil(count * 0.8));
  const taken = new Set(best);
  const rest = drawn.filter((candidate) => !taken.has(candidate)).slice(0, count - best.length);
  const chosen = [...best, ...rest];
  for (const { explanation } of chosen) distribution.add(explanation);
  return { target, chosen };
}

function worthOf(explanation: Explanation, distribution: Distribution): number {
  const { decidedBy, verdict } = explanation;
  let worth = 0;
  for (const clause of decidingClauses(explanation))
    worth += 20 / (1 + (distribution.decided.get(clause) ?? 0));
  if (decidedBy?.step === 'ALLOW' && verdict === 'allow') worth += 1 + 12 * distribution.lackOfAllowed;
  if (decidedBy?.step === 'DENY') worth += 1 + 12 * distribution.lackOfDenied;
  return worth;
}
