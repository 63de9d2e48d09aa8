/**
 * From app to app: plain HTTP from the client to its sidecar, mTLS to the server's sidecar, plain HTTP to the app;
 * keep-alive on all three ways. Both sidecars of a pair are the same peer and share one CPU.
 */
import { load } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { rssBytes } from '../measure/proc.ts';
import { formatNumber, formatRatio, median, minimum } from '../measure/table.ts';
import type { RunningPair } from '../peers/running-pair.ts';
import type { PeerFigures, ScenarioResult } from '../results.ts';
import { FOREIGN_REMARK, foreignMark, foreignShares } from './foreign-cpu.ts';
import { endPeers, startPairs, turns } from './peers-in-turn.ts';

interface Round {
  readonly result: LoadResult;
  readonly rssMb: number;
}

const cpuUs = ({ result }: Round): number => (result.cpuSeconds / result.requests) * 1e6;
const outboundUs = ({ result }: Round): number => ((result.cpuSecondsEach[0] ?? 0) / result.requests) * 1e6;
const inboundUs = ({ result }: Round): number => ((result.cpuSecondsEach[1] ?? 0) / result.requests) * 1e6;

async function measureRound(run: BenchRun, pair: RunningPair): Promise<Round> {
  const result = await load(run, pair, { mode: 'closed' });
  const rssMb = pair.proxies().reduce((sum, pids) => sum + rssBytes(pids), 0) / 2 ** 20;
  return { result, rssMb };
}

export async function runPair(run: BenchRun): Promise<ScenarioResult> {
  const running = await startPairs(run);
  const rounds = new Map(running.map(({ name }): [string, Round[]] => [name, []]));
  try {
    for (const { round, running: pair } of turns(running, run.options.rounds)) {
      const measured = await measureRound(run, pair);
      rounds.get(pair.name)?.push(measured);
      const shown = `${formatNumber(cpuUs(measured))} us/request (${formatNumber(outboundUs(measured))} outbound)`;
      run.note(`round ${round} ${pair.name}: ${shown}`);
    }
  } finally {
    await endPeers(running);
  }
  const of = (name: string): readonly Round[] => rounds.get(name) ?? [];
  const base = (name: string): number | undefined =>
    rounds.has(name) ? median(of(name).map(cpuUs)) : undefined;
  const row = (name: string): readonly string[] => {
    const pair = running.find((each) => each.name === name);
    if (pair === undefined) return [name, 'not installed'];
    const seen = of(name);
    const cpu = median(seen.map(cpuUs));
    return [
      name,
      pair.version,
      `${formatNumber(cpu)}${foreignMark(seen)}`,
      formatNumber(minimum(seen.map(cpuUs))),
      formatNumber(median(seen.map(outboundUs))),
      formatNumber(median(seen.map(inboundUs))),
      formatRatio(cpu, base('envoy')),
      formatRatio(cpu, base('nginx')),
      formatNumber(median(seen.map(({ result }) => result.requests / result.seconds))),
      `${Math.round(median(seen.map(({ result }) => result.cpuSeconds / result.seconds)) * 100)} %`,
      formatNumber(median(seen.map(({ result }) => result.p50Us))),
      formatNumber(median(seen.map(({ result }) => result.p99Us))),
      formatNumber(median(seen.map(({ rssMb }) => rssMb))),
      pair.peer.pairChecks ?? '',
      pair.peer.accessLog ? 'on' : 'off',
    ];
  };
  return {
    title: `Pair, client to sidecar to mTLS to sidecar to app, keep-alive, 1 KiB answers, ${run.options.connections} connections`,
    rounds: run.options.rounds,
    headings: [
      'pair',
      'version ',
      'CPU us/req',
      'min',
      'outbound',
      'inbound',
      '/envoy',
      '/nginx',
      'req/s',
      'busy',
      'p50 us',
      'p99 us',
      'RSS MB',
      'checks server by ',
      'access log ',
    ],
    rows: run.peerNames.map(row),
    remarks: [
      'CPU: user and system time of both sidecars per request, median and least of the rounds; each below its name.',
      'busy: of the one CPU that both share. Under about 95 % the load was the limit. RSS: of both.',
      FOREIGN_REMARK,
    ],
    peers: running.map(({ name, version }): PeerFigures => {
      const seen = of(name);
      return {
        name,
        version,
        cpuUsPerRequest: seen.map(cpuUs),
        outboundCpuUsPerRequest: seen.map(outboundUs),
        inboundCpuUsPerRequest: seen.map(inboundUs),
        requestsPerSecond: median(seen.map(({ result }) => result.requests / result.seconds)),
        p50Us: median(seen.map(({ result }) => result.p50Us)),
        p99Us: median(seen.map(({ result }) => result.p99Us)),
        rssMb: median(seen.map(({ rssMb }) => rssMb)),
        foreignCpuShare: foreignShares(seen),
      };
    }),
  };
}
