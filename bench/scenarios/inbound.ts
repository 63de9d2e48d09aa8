/**
 * The inbound road: mTLS in, plaintext to the app, keep-alive, 1 KiB answers, as fast as each peer gives them.
 * All peers run throughout and are measured in turn, each round beginning with another one.
 */
import { FOREIGN_REMARK, foreignMark, foreignShares } from './foreign-cpu.ts';
import { endPeers, startPeers, turns } from './peers-in-turn.ts';
import { load } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { rssBytes } from '../measure/proc.ts';
import { formatNumber, formatRatio, median, minimum } from '../measure/table.ts';
import type { PeerFigures, ScenarioResult } from '../results.ts';

interface Round {
  readonly result: LoadResult;
  readonly rssMb: number;
}

const cpuUs = ({ result }: Round): number => (result.cpuSeconds / result.requests) * 1e6;

export async function runInbound(run: BenchRun): Promise<ScenarioResult> {
  const running = await startPeers(run);
  const rounds = new Map<string, Round[]>();
  try {
    for (const { round, running: each } of turns(running, run.options.rounds)) {
      const result = await load(run, each, { mode: 'closed' });
      const measured = { result, rssMb: rssBytes(each.pids()) / 2 ** 20 };
      rounds.set(each.peer.name, [...(rounds.get(each.peer.name) ?? []), measured]);
      const perSecond = formatNumber(result.requests / result.seconds);
      run.note(
        `round ${round} ${each.peer.name}: ${formatNumber(cpuUs(measured))} us/request, ${perSecond} requests/s`,
      );
    }
  } finally {
    await endPeers(running);
  }
  const of = (name: string): readonly Round[] => rounds.get(name) ?? [];
  const base = (name: string): number | undefined =>
    rounds.has(name) ? median(of(name).map(cpuUs)) : undefined;
  const rows = run.peerNames.map((name) => {
    const peer = running.find((each) => each.peer.name === name);
    if (peer === undefined) return [name, 'not installed'];
    const seen = of(name);
    const cpu = median(seen.map(cpuUs));
    const busy = median(seen.map(({ result }) => result.cpuSeconds / result.seconds));
    return [
      name,
      peer.version,
      `${formatNumber(cpu)}${foreignMark(seen)}`,
      formatNumber(minimum(seen.map(cpuUs))),
      formatRatio(cpu, base('envoy')),
      formatRatio(cpu, base('http-proxy')),
      formatRatio(cpu, base('nginx')),
      formatNumber(median(seen.map(({ result }) => result.requests / result.seconds))),
      `${Math.round(busy * 100)} %`,
      formatNumber(median(seen.map(({ result }) => result.p50Us))),
      formatNumber(median(seen.map(({ result }) => result.p99Us))),
      formatNumber(median(seen.map(({ rssMb }) => rssMb))),
      peer.peer.checks,
      peer.peer.accessLog ? 'on' : 'off',
    ];
  });
  return {
    title: `Inbound mTLS, HTTP/1.1 keep-alive, 1 KiB answers, ${run.options.connections} connections`,
    rounds: run.options.rounds,
    headings: [
      'peer',
      'version ',
      'CPU us/req',
      'min',
      '/envoy',
      '/http-proxy',
      '/nginx',
      'req/s',
      'busy',
      'p50 us',
      'p99 us',
      'RSS MB',
      'checks ',
      'access log ',
    ],
    rows,
    remarks: [
      'CPU: user and system time of the proxy per request, median and least of the rounds; ratios of medians.',
      'busy: of its CPU. Under about 95 % the load was the limit: CPU/request stands, requests/s is a floor.',
      FOREIGN_REMARK,
    ],
    peers: running.map((each): PeerFigures => {
      const seen = of(each.peer.name);
      return {
        name: each.peer.name,
        version: each.version,
        cpuUsPerRequest: seen.map(cpuUs),
        requestsPerSecond: median(seen.map(({ result }) => result.requests / result.seconds)),
        p50Us: median(seen.map(({ result }) => result.p50Us)),
        p99Us: median(seen.map(({ result }) => result.p99Us)),
        rssMb: median(seen.map(({ rssMb }) => rssMb)),
        foreignCpuShare: foreignShares(seen),
      };
    }),
  };
}
