/**
 * Sidecars with policies: started with the same documents, proved by the policies' own cases, measured in turn.
 */
import { load, startCheckedPeer } from '../bench-run.ts';
import type { BenchRun, PeerHere } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { rssBytes } from '../measure/proc.ts';
import { formatNumber, median } from '../measure/table.ts';
import type { RunningPeer } from '../peers/running-peer.ts';
import type { EnforcedPolicy } from '../policy/enforced-policy.ts';
import type { PeerFigures } from '../results.ts';
import { foreignShares } from './foreign-cpu.ts';
import { turns } from './peers-in-turn.ts';

export interface Round {
  readonly result: LoadResult;
  readonly rssMb: number;
}

export interface EnforcingPeer extends RunningPeer {
  readonly policy: EnforcedPolicy;
  readonly connections: number;
  readonly rounds: Round[];
}

export const cpuUs = ({ result }: Round): number => (result.cpuSeconds / result.requests) * 1e6;

/** `variant`: what tells it from others of the same peer; of letters, digits and dashes. */
export async function startEnforcing(
  run: BenchRun,
  here: PeerHere,
  variant: string,
  policy: EnforcedPolicy,
  connections: number = run.options.connections,
): Promise<EnforcingPeer> {
  const running = await startCheckedPeer({ ...run, policy }, here);
  const name = `${here.peer.name}-${variant}`;
  run.note(`${name} ${here.installed.version}: started and checked, ${policy.cases.length} cases`);
  return { ...running, name, policy, connections, rounds: [] };
}

/** Each once a round, whose figures are kept with it. */
export async function measureInTurn(run: BenchRun, peers: readonly EnforcingPeer[]): Promise<void> {
  for (const { round, running } of turns(peers, run.options.rounds)) {
    const { connections, policy } = running;
    const { requestFields } = policy;
    const result = await load(run, running, { mode: 'closed', connections, requestFields });
    const measured = { result, rssMb: rssBytes(running.pids()) / 2 ** 20 };
    running.rounds.push(measured);
    const perSecond = formatNumber(result.requests / result.seconds);
    run.note(
      `round ${round} ${running.name}: ${formatNumber(cpuUs(measured))} us/request, ${perSecond} requests/s`,
    );
  }
}

/** `more`: what tells it from others of the same peer. */
export function figuresOf(
  { peer, rounds, version }: EnforcingPeer,
  more: Readonly<Record<string, string | number>>,
): PeerFigures {
  return {
    name: peer.name,
    version,
    ...more,
    cpuUsPerRequest: rounds.map(cpuUs),
    requestsPerSecond: median(rounds.map(({ result }) => result.requests / result.seconds)),
    p50Us: median(rounds.map(({ result }) => result.p50Us)),
    p99Us: median(rounds.map(({ result }) => result.p99Us)),
    rssMb: median(rounds.map(({ rssMb }) => rssMb)),
    foreignCpuShare: foreignShares(rounds),
  };
}
