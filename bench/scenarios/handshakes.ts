/**
 * What a handshake costs: a new connection for each request, without and with a session of the one before.
 */
import { endPeers, startPeers, turns } from './peers-in-turn.ts';
import { load } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { formatNumber, formatRatio, median } from '../measure/table.ts';
import type { ScenarioResult } from '../results.ts';

const AT_ONCE = 8;
/** The first of each loop is a full one. */
const RESUMED_SHARE = 0.95;

interface Figures {
  readonly full: number[];
  readonly resumed: number[];
}

const perCpuSecond = (result: LoadResult): number => result.requests / result.cpuSeconds;

export async function runHandshakeScenario(run: BenchRun): Promise<ScenarioResult> {
  const running = await startPeers(run);
  const figures = new Map(
    running.map((each): [string, Figures] => [each.peer.name, { full: [], resumed: [] }]),
  );
  try {
    for (const { round, running: each } of turns(running, run.options.rounds)) {
      const full = await load(run, each, { mode: 'full', connections: AT_ONCE });
      const resumed = await load(run, each, { mode: 'resumed', connections: AT_ONCE });
      const seen = figures.get(each.peer.name);
      if (full.resumed > 0) throw new Error(`${each.peer.name} resumed a session that was not offered`);
      seen?.full.push(perCpuSecond(full));
      const didResume = resumed.resumed / resumed.requests >= RESUMED_SHARE;
      seen?.resumed.push(didResume ? perCpuSecond(resumed) : Number.NaN);
      const share = didResume
        ? ''
        : ` (only ${Math.round((100 * resumed.resumed) / resumed.requests)} % did resume)`;
      const shown = `${formatNumber(perCpuSecond(full))} full, ${formatNumber(perCpuSecond(resumed))} resumed${share}`;
      run.note(`round ${round} ${each.peer.name}: ${shown}`);
    }
  } finally {
    await endPeers(running);
  }
  const nginxFull = median(figures.get('nginx')?.full ?? []);
  const nginxResumed = median(figures.get('nginx')?.resumed ?? []);
  return {
    title: 'Handshakes per CPU second of the proxy, TLS 1.3, one request each',
    rounds: run.options.rounds,
    headings: ['peer', 'version ', 'full/s', 'ms each', 'cost /nginx', 'resumed/s', 'ms each', 'cost /nginx'],
    rows: run.peerNames.map((name) => {
      const peer = running.find((each) => each.peer.name === name);
      const seen = figures.get(name);
      if (peer === undefined || seen === undefined) return [name, 'not installed'];
      const [full, resumed] = [median(seen.full), median(seen.resumed)];
      return [
        name,
        peer.version,
        formatNumber(full),
        formatNumber(1000 / full),
        formatRatio(nginxFull, full),
        formatNumber(resumed),
        formatNumber(1000 / resumed),
        formatRatio(nginxResumed, resumed),
      ];
    }),
    remarks: [
      'Connection, handshake, one checked request and the close are all counted. Medians of the rounds.',
    ],
    peers: running.map((each) => ({
      name: each.peer.name,
      version: each.version,
      fullHandshakesPerCpuSecond: figures.get(each.peer.name)?.full ?? [],
      resumedHandshakesPerCpuSecond: figures.get(each.peer.name)?.resumed ?? [],
    })),
  };
}
