/**
 * Whether others used the proxies' CPU while they were measured: such figures are marked, for they compare with nothing.
 */
import type { LoadResult } from '../load/job.ts';

/** Above this share of the pinned CPU used by others, a figure is marked. */
const FOREIGN_LIMIT = 0.05;

interface Measured {
  readonly result: LoadResult;
}

/** Of each round. */
export function foreignShares(rounds: readonly Measured[]): number[] {
  return rounds.map(({ result }) => result.foreignCpuSeconds / result.seconds);
}

export function foreignMark(rounds: readonly Measured[]): string {
  return Math.max(0, ...foreignShares(rounds)) > FOREIGN_LIMIT ? ' !' : '';
}

export const FOREIGN_REMARK: string = `!: others used over ${FOREIGN_LIMIT * 100} % of the proxy's CPU in a round; run again on a quiet machine.`;
