/**
 * Bulk over TCP: mTLS from the client, plaintext to the app, on a port that carries no HTTP, both ways.
 */
import { load } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import { formatNumber, formatRatio, median } from '../measure/table.ts';
import type { ScenarioResult } from '../results.ts';
import { endPeers, startPeers, turns } from './peers-in-turn.ts';

const STREAMS = 4;
const DIRECTIONS = ['download', 'upload'] as const;

type Figures = Record<(typeof DIRECTIONS)[number], number[]>;

export async function runBulkScenario(run: BenchRun): Promise<ScenarioResult> {
  const running = await startPeers(run);
  const figures = new Map(
    running.map((each): [string, Figures] => [each.peer.name, { download: [], upload: [] }]),
  );
  try {
    for (const { round, running: each } of turns(running, run.options.rounds)) {
      for (const mode of DIRECTIONS) {
        const { requests: bytes, cpuSeconds } = await load(run, each, { mode, connections: STREAMS });
        figures.get(each.peer.name)?.[mode].push(bytes / 1e6 / cpuSeconds);
        run.note(
          `round ${round} ${each.peer.name} ${mode}: ${formatNumber(bytes / 1e6 / cpuSeconds)} MB/CPU second`,
        );
      }
    }
  } finally {
    await endPeers(running);
  }
  const envoy = figures.get('envoy');
  return {
    title: `Bulk over TCP, mTLS to plaintext, ${STREAMS} streams, MB per CPU second of the proxy`,
    rounds: run.options.rounds,
    headings: ['peer', 'version ', 'to the client', '/envoy', 'to the app', '/envoy'],
    rows: run.peerNames.map((name) => {
      const peer = running.find((each) => each.peer.name === name);
      const seen = figures.get(name);
      if (peer === undefined || seen === undefined) return [name, 'not installed'];
      const [down, up] = [median(seen.download), median(seen.upload)];
      return [
        name,
        peer.version,
        formatNumber(down),
        formatRatio(down, envoy && median(envoy.download)),
        formatNumber(up),
        formatRatio(up, envoy && median(envoy.upload)),
      ];
    }),
    remarks: ['More is better. Every byte is checked at the other end. Medians of the rounds.'],
    peers: running.map(({ peer, version }) => ({
      name: peer.name,
      version,
      downloadMbPerCpuSecond: figures.get(peer.name)?.download ?? [],
      uploadMbPerCpuSecond: figures.get(peer.name)?.upload ?? [],
    })),
  };
}
