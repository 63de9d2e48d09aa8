/**
 * From the start of the process to ready, and to the first answer over mTLS.
 */
import type { BenchRun } from '../bench-run.ts';
import { checkPeer } from '../check-peer.ts';
import { formatNumber, median, minimum } from '../measure/table.ts';
import { startPeer } from '../peers/running-peer.ts';
import type { ScenarioResult } from '../results.ts';
import { turns } from './peers-in-turn.ts';

const STARTS = 5;

export async function runStart(run: BenchRun): Promise<ScenarioResult> {
  const starts = run.options.isSmoke ? 1 : STARTS;
  const times = new Map<string, number[]>();
  for (const { round, running: here } of turns(run.here, starts)) {
    const running = await startPeer(here.peer, here.installed, run);
    try {
      await checkPeer(running, run.certificates);
    } finally {
      await running.end();
    }
    times.set(here.peer.name, [...(times.get(here.peer.name) ?? []), running.readyMs]);
    run.note(`start ${round} ${here.peer.name}: ${formatNumber(running.readyMs)} ms`);
  }
  return {
    title: 'Start to ready',
    rounds: starts,
    headings: ['peer', 'version ', 'ready ms', 'min'],
    rows: run.peerNames.map((name) => {
      const seen = times.get(name);
      const version = run.here.find(({ peer }) => peer.name === name)?.installed.version;
      if (seen === undefined || version === undefined) return [name, 'not installed'];
      return [name, version, formatNumber(median(seen)), formatNumber(minimum(seen))];
    }),
    remarks: [
      'postern, undici, http-proxy: to the ready line; others: until the port takes a connection. Pinned to one CPU.',
    ],
    peers: run.here.map(({ peer, installed }) => ({
      name: peer.name,
      version: installed.version,
      readyMs: times.get(peer.name) ?? [],
    })),
  };
}
