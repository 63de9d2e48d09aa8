/**
 * The results as a file: `{machine, rounds, peers: [{name, version, cpuUsPerRequest, …}]}`, and what machine it was.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { IS_PINNED } from './measure/child.ts';

/** One peer's figures; which of them there are depends on the scenario. */
export interface PeerFigures {
  readonly name: string;
  readonly version: string;
  /** One figure a round. */
  readonly cpuUsPerRequest?: readonly number[];
  readonly requestsPerSecond?: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  readonly rssMb?: number;
  readonly [figure: string]: string | number | readonly number[] | undefined;
}

export interface ScenarioResult {
  readonly title: string;
  readonly rounds: number;
  readonly headings: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Under the table: what its reader has to know. */
  readonly remarks: readonly string[];
  readonly peers: readonly PeerFigures[];
}

export function machine(): string {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const pinning = IS_PINNED ? 'pinned' : 'not pinned';
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${availableParallelism()} x ${cpu}, ${memory}, Linux ${release()}, Node ${process.version}, ${pinning}`;
}

/** Three decimals are more than any of this is worth. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
}

/** Returns the path, relative to the project. */
export function writeResults(name: string, rounds: number, peers: readonly PeerFigures[]): string {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify({ machine: machine(), rounds, peers }, rounded, 2)}\n`,
  );
  return `bench/results/${name}.json`;
}
