/**
 * What a pair adds to the latency of a request at a rate that is far below its limit: 1,000 requests a second over 16
 * connections through both sidecars, beside the same load straight to the app, in turn.
 */
import { load } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { formatNumber, formatRatio, median } from '../measure/table.ts';
import type { LoadTarget } from '../peers/running-peer.ts';
import type { ScenarioResult } from '../results.ts';
import { endPeers, startPairs, turns } from './peers-in-turn.ts';

const RATE_PER_SECOND = 1000;
const CONNECTIONS = 16;
const DIRECT = 'direct';

interface Added {
  readonly p50Us: number[];
  readonly p99Us: number[];
}

export async function runLatency(run: BenchRun): Promise<ScenarioResult> {
  const pairs = await startPairs(run);
  const direct: LoadTarget = {
    name: DIRECT,
    port: run.appPort,
    host: 'httpbin.foo:8000',
    isMtls: false,
    proxies: () => [],
  };
  const targets = [direct, ...pairs];
  const rounds = new Map(targets.map(({ name }): [string, LoadResult[]] => [name, []]));
  try {
    for (const { round, running: target } of turns(targets, run.options.rounds)) {
      const result = await load(run, target, {
        mode: 'rate',
        ratePerSecond: RATE_PER_SECOND,
        connections: CONNECTIONS,
      });
      rounds.get(target.name)?.push(result);
      run.note(
        `round ${round} ${target.name}: p50 ${formatNumber(result.p50Us)} us, p99 ${formatNumber(result.p99Us)} us`,
      );
    }
  } finally {
    await endPeers(pairs);
  }
  const of = (name: string): readonly LoadResult[] => rounds.get(name) ?? [];
  /** Against the direct connection of the same round. */
  const added = (name: string): Added => {
    const base = of(DIRECT);
    return {
      p50Us: of(name).map(({ p50Us }, at) => p50Us - (base[at]?.p50Us ?? Number.NaN)),
      p99Us: of(name).map(({ p99Us }, at) => p99Us - (base[at]?.p99Us ?? Number.NaN)),
    };
  };
  /** On a busy machine the direct connection can be the slower one: then a ratio says nothing. */
  const overEnvoy = (name: string, figure: keyof Added): string => {
    const base = median(added('envoy')[figure]);
    return formatRatio(median(added(name)[figure]), base > 0 ? base : undefined);
  };
  const row = (name: string): readonly string[] => {
    const seen = of(name);
    if (seen.length === 0) return [name, 'not installed'];
    const more = added(name);
    const isPair = name !== DIRECT;
    return [
      name,
      pairs.find((pair) => pair.name === name)?.version ?? '',
      formatNumber(median(seen.map(({ p50Us }) => p50Us))),
      formatNumber(median(seen.map(({ p99Us }) => p99Us))),
      isPair ? formatNumber(median(more.p50Us)) : '',
      isPair ? overEnvoy(name, 'p50Us') : '',
      isPair ? formatNumber(median(more.p99Us)) : '',
      isPair ? overEnvoy(name, 'p99Us') : '',
      formatNumber(median(seen.map(({ lagP99Us }) => lagP99Us))),
    ];
  };
  return {
    title: `Latency through a pair, ${RATE_PER_SECOND} requests/s over ${CONNECTIONS} connections`,
    rounds: run.options.rounds,
    headings: [
      'pair',
      'version ',
      'p50 us',
      'p99 us',
      'added p50 us',
      '/envoy',
      'added p99 us',
      '/envoy',
      'load late p99 us',
    ],
    rows: [DIRECT, ...run.peerNames].map(row),
    remarks: [
      'Latency counts from the moment at which a request was to be sent, so that a stall is charged for all who wait.',
      'added: beyond the direct connection from client to app in the same round. Medians of the rounds.',
      'load late: how late the load itself came to a request; it is in all latencies alike.',
    ],
    peers: targets.map(({ name }) => ({
      name,
      version: pairs.find((pair) => pair.name === name)?.version ?? '',
      requestsPerSecond: median(of(name).map(({ requests, seconds }) => requests / seconds)),
      p50Us: median(of(name).map(({ p50Us }) => p50Us)),
      p99Us: median(of(name).map(({ p99Us }) => p99Us)),
      addedP50Us: added(name).p50Us,
      addedP99Us: added(name).p99Us,
      lagP99Us: of(name).map(({ lagP99Us }) => lagP99Us),
    })),
  };
}
