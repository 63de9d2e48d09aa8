/**
 * Two workers beside one: what a request costs, and how new connections fall to the workers. All of them are pinned
 * to the one CPU that proxies have here, so this shows what sharing costs and not what a second CPU brings.
 */
import { load, startCheckedPeer, whileIdle } from '../bench-run.ts';
import type { BenchRun, PeerHere } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { rssBytes } from '../measure/proc.ts';
import { formatNumber, formatRatio, median, minimum } from '../measure/table.ts';
import { connectionsByWorker } from '../measure/worker-connections.ts';
import type { RunningPeer } from '../peers/running-peer.ts';
import type { PeerFigures, ScenarioResult } from '../results.ts';
import { FOREIGN_REMARK, foreignMark, foreignShares } from './foreign-cpu.ts';
import { endPeers, turns } from './peers-in-turn.ts';

const WORKERS = [1, 2] as const;
/** Enough that chance alone leaves 40 to 60 % for each of two about once in 100,000 runs. */
const NEW_CONNECTIONS = 500;
const SMOKE_CONNECTIONS = 60;

interface Round {
  readonly result: LoadResult;
  readonly rssMb: number;
}

interface Sidecar extends RunningPeer {
  readonly workers: number;
  readonly rounds: Round[];
  /** Share of new connections of each worker. */
  readonly shares: readonly number[];
}

const cpuUs = ({ result }: Round): number => (result.cpuSeconds / result.requests) * 1e6;
const percent = (share: number): string => `${Math.round(share * 100)} %`;

async function sharesOf(run: BenchRun, running: RunningPeer, workers: number): Promise<number[]> {
  const connections = run.options.isSmoke ? SMOKE_CONNECTIONS : NEW_CONNECTIONS;
  const counts = await whileIdle(run, running, connections, () => connectionsByWorker(running.adminPort));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total !== connections)
    throw new Error(`${running.name} knows ${total} of ${connections} open connections`);
  if (counts.length > workers) throw new Error(`${running.name} has ${counts.length} workers`);
  return Array.from({ length: workers }, (_, at) => (counts[at] ?? 0) / total);
}

async function start(run: BenchRun, here: PeerHere, workers: number): Promise<Sidecar> {
  const checked = await startCheckedPeer({ ...run, workers }, here);
  const running = { ...checked, name: `${here.peer.name}-${workers}` };
  try {
    const shares = await sharesOf(run, running, workers);
    run.note(`${running.name}: started and checked, new connections ${shares.map(percent).join(' / ')}`);
    return { ...running, workers, shares, rounds: [] };
  } catch (thrown) {
    await running.end();
    throw thrown;
  }
}

export async function runWorkers(run: BenchRun): Promise<ScenarioResult> {
  const sidecars: Sidecar[] = [];
  try {
    for (const here of run.here) {
      for (const workers of WORKERS) sidecars.push(await start(run, here, workers));
    }
    for (const { round, running } of turns(sidecars, run.options.rounds)) {
      const result = await load(run, running, { mode: 'closed' });
      const measured = { result, rssMb: rssBytes(running.pids()) / 2 ** 20 };
      running.rounds.push(measured);
      run.note(`round ${round} ${running.name}: ${formatNumber(cpuUs(measured))} us/request`);
    }
  } finally {
    await endPeers(sidecars);
  }
  const base = median(sidecars.find(({ workers }) => workers === 1)?.rounds.map(cpuUs) ?? []);
  return {
    title: `Workers: inbound mTLS, keep-alive, 1 KiB answers, ${run.options.connections} connections, all on one CPU`,
    rounds: run.options.rounds,
    headings: ['workers', 'version ', 'CPU us/req', 'min', '/one', 'req/s', 'RSS MB', 'new connections '],
    rows: sidecars.map(({ workers, version, rounds, shares }) => [
      String(workers),
      version,
      `${formatNumber(median(rounds.map(cpuUs)))}${foreignMark(rounds)}`,
      formatNumber(minimum(rounds.map(cpuUs))),
      formatRatio(median(rounds.map(cpuUs)), base),
      formatNumber(median(rounds.map(({ result }) => result.requests / result.seconds))),
      formatNumber(median(rounds.map(({ rssMb }) => rssMb))),
      shares.map(percent).join(' / '),
    ]),
    remarks: [
      'CPU: user and system time of the process per request, median and least of the rounds.',
      `New connections: share of each worker of ${run.options.isSmoke ? SMOKE_CONNECTIONS : NEW_CONNECTIONS} that were opened and held.`,
      FOREIGN_REMARK,
    ],
    peers: sidecars.map(({ name, version, workers, rounds, shares }): PeerFigures => ({
      name,
      version,
      workers,
      cpuUsPerRequest: rounds.map(cpuUs),
      requestsPerSecond: median(rounds.map(({ result }) => result.requests / result.seconds)),
      p50Us: median(rounds.map(({ result }) => result.p50Us)),
      p99Us: median(rounds.map(({ result }) => result.p99Us)),
      rssMb: median(rounds.map(({ rssMb }) => rssMb)),
      newConnectionShares: shares,
      foreignCpuShare: foreignShares(rounds),
    })),
  };
}
