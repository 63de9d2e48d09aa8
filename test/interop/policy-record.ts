/** What Envoy did with the cases of some sets, as plain values: what any engine can be judged by, without Envoy. */
import type { ExplainRequest } from '../../src/explain/explain-request.ts';
import { isCarried } from './policy-compare.ts';
import { Distribution } from './policy-distribution.ts';
import { questionOf } from './policy-explain.ts';
import { Rng } from './policy-rng.ts';
import { chooseCases } from './policy-run.ts';
import { documentsOf, type PolicySet, WORKLOAD } from './policy-set.ts';
import { JWKS } from './policy-tokens.ts';
import type { PolicyWorld, PreparedSet } from './policy-world.ts';

export interface PolicyRecord {
  readonly sets: readonly {
    readonly documents: string;
    readonly workload: typeof WORKLOAD;
    readonly cases: readonly RecordedCase[];
  }[];
}

export interface RecordedCase {
  readonly id: string;
  readonly question: Omit<ExplainRequest, 'extAuthz'>;
  /** It got to the app. */
  readonly carried: boolean;
  /** Which rule refused it; '' where that is not told. */
  readonly details: string;
}

export async function recordEnvoy(
  world: PolicyWorld,
  sets: readonly PolicySet[],
  casesPerSet: number,
  seed: number,
): Promise<PolicyRecord> {
  const rng = new Rng(seed);
  const distribution = new Distribution(0);
  const prepared: PreparedSet[] = [];
  for (const [slot, set] of sets.entries()) {
    const { chosen, target } = await chooseCases(
      set,
      world.app.address(slot),
      casesPerSet,
      rng,
      distribution,
    );
    prepared.push({ set, snapshot: target.snapshot, cases: chosen.map(({ one }) => one) });
  }
  const judged = await world.judgeByEnvoy(prepared);
  return {
    sets: prepared.map(({ cases, set }, slot) => ({
      documents: documentsOf(set, JWKS),
      workload: WORKLOAD,
      cases: cases.map((one, at): RecordedCase => {
        const side = judged.get(one)!;
        const carried = isCarried(one, side);
        return {
          id: `${slot}-${at} ${set.name}`,
          question: questionOf(one, world.app.address(slot)),
          carried,
          details: carried || !/^(?:rbac|jwt|ext)_/.test(side.details) ? '' : side.details,
        };
      }),
    })),
  };
}

/** Without the cases of these ids: those that differ by design. */
export function withoutCases({ sets }: PolicyRecord, ids: ReadonlySet<string>): PolicyRecord {
  return { sets: sets.map((set) => ({ ...set, cases: set.cases.filter(({ id }) => !ids.has(id)) })) };
}
