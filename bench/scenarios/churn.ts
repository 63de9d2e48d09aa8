/**
 * Many short connections through a pair: every one is answered, and afterwards both sidecars hold the sockets that
 * they held before, and no more memory with every part of the run.
 */
import { load } from '../bench-run.ts';
import type { BenchRun, PeerHere } from '../bench-run.ts';
import { delay } from '../load/delay.ts';
import { rssBytes } from '../measure/proc.ts';
import { socketStates } from '../measure/sockets.ts';
import { formatNumber } from '../measure/table.ts';
import { startCheckedPair } from '../peers/running-pair.ts';
import type { RunningPair } from '../peers/running-pair.ts';
import type { RunningPeer } from '../peers/running-peer.ts';
import type { PeerFigures, ScenarioResult } from '../results.ts';

/** Memory is looked at after each of these. */
const PARTS = 5;
/** Connections that the sidecars keep for reuse close after this, so that what is left then was lost. */
const IDLE_MS = 1500;
const DRAIN_MS = 20_000;
const LOOK_AGAIN_MS = 100;
const SIDES = ['outbound', 'inbound'] as const;
type Side = (typeof SIDES)[number];

interface Held {
  readonly rssMb: number[];
  readonly sockets: string;
}

interface Churn {
  readonly version: string;
  readonly connections: number;
  readonly cpuUs: number;
  readonly perSecond: number;
  readonly sides: Readonly<Record<Side, Held>>;
}

const rssMb = (running: RunningPeer): number => rssBytes(running.pids()) / 2 ** 20;

function shown(states: ReadonlyMap<string, number>): string {
  return [...states]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}

const isAtRest = (states: ReadonlyMap<string, number>): boolean =>
  [...states.keys()].every((state) => state === 'LISTEN' || state === 'UNIX');

/**
 * What a sidecar holds when all that it keeps for a while is gone: listeners, and what belongs to the program. A
 * socket that is just being closed is unconnected for a moment; hence `wanted`, what there was before, if it was seen.
 */
async function socketsAtRest(pair: RunningPair, side: Side, wanted: string | null): Promise<string> {
  const until = performance.now() + DRAIN_MS;
  for (let last = ''; ;) {
    const states = socketStates(pair[side].pids());
    const now = shown(states);
    if (isAtRest(states) && now === (wanted ?? last)) return now;
    if (performance.now() > until) {
      const than = wanted === null ? '' : ` (before: ${wanted})`;
      throw new Error(
        `${pair.name} ${side} still holds ${now}${than} after ${DRAIN_MS} ms without a request`,
      );
    }
    last = now;
    await delay(LOOK_AGAIN_MS);
  }
}

async function measure(run: BenchRun, { peer, installed }: PeerHere): Promise<Churn> {
  const pair = await startCheckedPair(peer, installed, { ...run, idleMs: IDLE_MS });
  try {
    const before = { outbound: '', inbound: '' };
    for (const side of SIDES) before[side] = await socketsAtRest(pair, side, null);
    const memory = { outbound: [rssMb(pair.outbound)], inbound: [rssMb(pair.inbound)] };
    const perPart = Math.ceil(run.options.shortConnections / PARTS);
    let [requests, cpuSeconds, seconds] = [0, 0, 0];
    for (let part = 1; part <= PARTS; part += 1) {
      const result = await load(run, pair, { mode: 'short', total: perPart, durationMs: 0 });
      requests += result.requests;
      cpuSeconds += result.cpuSeconds;
      seconds += result.seconds;
      for (const side of SIDES) memory[side].push(rssMb(pair[side]));
      const now = SIDES.map((side) => `${side} ${formatNumber(memory[side].at(-1) ?? 0)} MB`);
      run.note(`${pair.name}: ${formatNumber(requests)} connections, ${now.join(', ')}`);
    }
    if (requests !== perPart * PARTS)
      throw new Error(`${pair.name} answered ${requests} of ${perPart * PARTS} connections`);
    for (const side of SIDES) await socketsAtRest(pair, side, before[side]);
    return {
      version: installed.version,
      connections: requests,
      cpuUs: (cpuSeconds / requests) * 1e6,
      perSecond: requests / seconds,
      sides: {
        outbound: { rssMb: memory.outbound, sockets: before.outbound },
        inbound: { rssMb: memory.inbound, sockets: before.inbound },
      },
    };
  } finally {
    await pair.end();
  }
}

export async function runChurn(run: BenchRun): Promise<ScenarioResult> {
  const measured = new Map<string, Churn>();
  for (const here of run.here) measured.set(here.peer.name, await measure(run, here));
  return {
    title: `Short connections through a pair, one request each, ${run.options.connections} at once`,
    rounds: 1,
    headings: [
      'sidecar ',
      'version ',
      'connections',
      'failed',
      'RSS MB before',
      ...Array.from({ length: PARTS }, (_, at) => `${at + 1}/${PARTS}`),
      'sockets left ',
    ],
    rows: run.peerNames.flatMap((name) => {
      const seen = measured.get(name);
      if (seen === undefined) return [[name, 'not installed']];
      return SIDES.map((side) => {
        const { rssMb: memory, sockets } = seen.sides[side];
        const first = [`${name} ${side}`, seen.version, formatNumber(seen.connections), '0'];
        return first.concat(memory.map(formatNumber), sockets);
      });
    }),
    remarks: [
      'Half of the connections are closed by the client, half by its sidecar. One that fails or never ends fails the run.',
      `Sockets left: once connections that are kept for reuse have closed (here after ${IDLE_MS} ms); others than before the load fail the run.`,
      ...[...measured].map(
        ([name, { cpuUs, perSecond }]) =>
          `${name}: ${formatNumber(cpuUs)} CPU us of both sidecars and ${formatNumber(perSecond)} connections/s.`,
      ),
    ],
    peers: [...measured].map(([name, seen]): PeerFigures => ({
      name,
      version: seen.version,
      connections: seen.connections,
      failed: 0,
      cpuUsPerConnection: seen.cpuUs,
      connectionsPerSecond: seen.perSecond,
      outboundRssMb: seen.sides.outbound.rssMb,
      inboundRssMb: seen.sides.inbound.rssMb,
      outboundSocketsLeft: seen.sides.outbound.sockets,
      inboundSocketsLeft: seen.sides.inbound.sockets,
    })),
  };
}
