/**
 * Memory: at rest, at 1,000 requests a second, and what an idle mTLS connection adds. A fresh process for each half,
 * so that garbage of the one does not hide the other.
 */
import { readFileSync } from 'node:fs';
import { load, startCheckedPeer, whileIdle } from '../bench-run.ts';
import type { BenchRun, PeerHere } from '../bench-run.ts';
import type { LoadResult } from '../load/job.ts';
import { parseOpenFilesLimit, rssBytes } from '../measure/proc.ts';
import { formatNumber } from '../measure/table.ts';
import { UsageError } from '../options.ts';
import type { RunningPeer } from '../peers/running-peer.ts';
import type { PeerFigures, ScenarioResult } from '../results.ts';

const RATE_PER_SECOND = 1000;
/** Connections before the first look, so that pools and code that every connection shares are there already. */
const WARM_CONNECTIONS = 200;
const SPARE_FILES = 500;

interface Memory {
  readonly version: string;
  readonly restMb: number;
  readonly rate: LoadResult;
  readonly rateMb: number;
  readonly idleBytes: number;
}

/** Waits for what a process frees or allocates after the event. */
function settle(run: BenchRun): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, run.options.isSmoke ? 200 : 3000));
}

async function withPeer<T>(
  run: BenchRun,
  here: PeerHere,
  use: (running: RunningPeer) => Promise<T>,
): Promise<T> {
  const running = await startCheckedPeer(run, here);
  try {
    return await use(running);
  } finally {
    await running.end();
  }
}

async function measure(run: BenchRun, here: PeerHere): Promise<Memory> {
  const first = await withPeer(run, here, async (running) => {
    await settle(run);
    const restMb = rssBytes(running.pids()) / 2 ** 20;
    const durationMs = run.options.seconds * 2000;
    const rate = await load(run, running, { mode: 'rate', ratePerSecond: RATE_PER_SECOND, durationMs });
    return { restMb, rate, rateMb: rssBytes(running.pids()) / 2 ** 20 };
  });
  const idleBytes = await withPeer(run, here, async (running) => {
    const look = async (): Promise<number> => {
      await settle(run);
      return rssBytes(running.pids());
    };
    const { idleConnections } = run.options;
    const warm = Math.min(WARM_CONNECTIONS, Math.floor(idleConnections / 2));
    const before = await whileIdle(run, running, warm, look);
    const during = await whileIdle(run, running, idleConnections, look);
    return (during - before) / (idleConnections - warm);
  });
  return { version: here.installed.version, ...first, idleBytes };
}

/** Both ends of a connection are a file, in two processes that inherit this one's limit. */
function checkOpenFiles(connections: number): void {
  const limit = parseOpenFilesLimit(readFileSync('/proc/self/limits', 'utf8'));
  if (limit < connections + SPARE_FILES) {
    throw new UsageError(
      `Cannot hold ${connections} connections: ulimit -n is ${limit}; raise it to ${connections + SPARE_FILES} or give --idle`,
    );
  }
}

export async function runMemory(run: BenchRun): Promise<ScenarioResult> {
  checkOpenFiles(run.options.idleConnections);
  const measured = new Map<string, Memory>();
  for (const here of run.here) {
    const memory = await measure(run, here);
    measured.set(here.peer.name, memory);
    run.note(
      `${here.peer.name}: ${formatNumber(memory.restMb)} MB at rest, ${formatNumber(memory.idleBytes / 1000)} kB a connection`,
    );
  }
  return {
    title: `Memory: at rest, at ${RATE_PER_SECOND} requests/s, and over ${run.options.idleConnections} idle mTLS connections`,
    rounds: 1,
    headings: [
      'peer',
      'version ',
      'rest MB',
      'at 1,000/s MB',
      'CPU us/req',
      'p50 us',
      'p99 us',
      'kB per idle connection',
    ],
    rows: run.peerNames.map((name) => {
      const seen = measured.get(name);
      if (seen === undefined) return [name, 'not installed'];
      return [
        name,
        seen.version,
        formatNumber(seen.restMb),
        formatNumber(seen.rateMb),
        formatNumber((seen.rate.cpuSeconds / seen.rate.requests) * 1e6),

        formatNumber(seen.rate.p50Us),
        formatNumber(seen.rate.p99Us),
        formatNumber(seen.idleBytes / 1000),
      ];
    }),
    remarks: [
      'Resident memory of the largest process (nginx: its worker); at rest: after the checks, nothing open. Each idle connection had one answer before.',
      `Idle connections: growth from ${WARM_CONNECTIONS} of them, divided; kernel buffers are not in it.`,
    ],
    peers: [...measured].map(([name, seen]): PeerFigures => ({
      name,
      version: seen.version,
      cpuUsPerRequest: [(seen.rate.cpuSeconds / seen.rate.requests) * 1e6],
      requestsPerSecond: seen.rate.requests / seen.rate.seconds,
      p50Us: seen.rate.p50Us,
      p99Us: seen.rate.p99Us,
      rssMb: seen.rateMb,
      restRssMb: seen.restMb,
      bytesPerIdleConnection: seen.idleBytes,
    })),
  };
}
