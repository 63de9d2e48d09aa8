/**
 * What every scenario stands on: the folder with the certificates, the app, the peers that are installed, the load.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVER_URI } from './certificates.ts';
import type { Certificates } from './certificates.ts';
import { checkPeer } from './check-peer.ts';
import { checkPolicy } from './check-policy.ts';
import { checkStreamPeer } from './check-stream-peer.ts';
import type { LoadJob, LoadResult } from './load/job.ts';
import { Child, IS_PINNED, LOAD_CPU, PROXY_CPU } from './measure/child.ts';
import type { Options } from './options.ts';
import type { ProviderKind } from './policy/ext-authz-policy.ts';
import type { AppProtocol, Installed, Peer } from './peers/peer.ts';
import { startPeer } from './peers/running-peer.ts';
import type { LoadTarget, PeerPlace, RunningPeer } from './peers/running-peer.ts';

const START_MS = 10_000;
/** Beyond the time that a load is told to take; it has a stricter limit of its own. */
const LOAD_GRACE_MS = 180_000;

export interface PeerHere {
  readonly peer: Peer;
  readonly installed: Installed;
}

export interface BenchRun {
  readonly options: Options;
  readonly folder: string;
  readonly certificates: Certificates;
  readonly protocol: AppProtocol;
  readonly appPort: number;
  /** Those that carry the protocol: the rows of the table. */
  readonly peerNames: readonly string[];
  readonly here: readonly PeerHere[];
  /** One line of progress, on stderr. */
  note(text: string): void;
}

/** A small Node program of the benchmark on the load's CPU. */
function startProgram(folder: string, name: string, file: string, args: readonly string[]): Child {
  const command = { program: process.execPath, args: [join(import.meta.dirname, 'load', file), ...args] };
  return new Child(name, command, LOAD_CPU, join(folder, `${name}.stderr.log`));
}

/** The app; it ends with this process. */
export async function startApp(folder: string, protocol: AppProtocol): Promise<number> {
  const child = startProgram(folder, `${protocol}-app`, protocol === 'tcp' ? 'stream-app.ts' : 'app.ts', []);
  const ready = JSON.parse(await child.line(START_MS)) as { port: number };
  return ready.port;
}

/** The provider of policies that ask one; it ends with this process. */
export async function startProvider(folder: string, kind: ProviderKind): Promise<number> {
  const child = startProgram(folder, `${kind}-provider`, 'provider.ts', [kind]);
  const ready = JSON.parse(await child.line(START_MS)) as { port: number };
  return ready.port;
}

/** Starts a peer and proves that it does its work. */
export async function startCheckedPeer(run: PeerPlace, { peer, installed }: PeerHere): Promise<RunningPeer> {
  const running = await startPeer(peer, installed, run);
  try {
    const { certificates, policy, protocol } = run;
    if (protocol === 'tcp') await checkStreamPeer(running, certificates);
    else await checkPeer(running, certificates, certificates.roots, policy?.requestFields[0]);
    if (policy !== undefined && policy !== null) await checkPolicy(running, certificates, policy.cases);
    return running;
  } catch (thrown) {
    await running.end();
    throw thrown;
  }
}

export type LoadWish = Pick<LoadJob, 'mode'> & Partial<LoadJob>;

function loadJob(run: BenchRun, target: LoadTarget, wish: LoadWish): LoadJob {
  const { client, roots } = run.certificates;
  return {
    port: target.port,
    host: target.host,
    requestFields: [],
    connections: run.options.connections,
    ratePerSecond: 0,
    total: 0,
    warmupMs: run.options.isSmoke ? 200 : 1500,
    durationMs: run.options.seconds * 1000,
    tls: target.isMtls
      ? {
          certificateFile: client.certificate,
          keyFile: client.key,
          rootsFile: roots,
          serverUri: SERVER_URI,
        }
      : null,
    proxies: target.proxies(),
    proxyCpu: IS_PINNED ? PROXY_CPU : null,
    ...wish,
  };
}

function startLoad(run: BenchRun, target: LoadTarget, job: LoadJob): Child {
  return startProgram(run.folder, `load-${target.name}`, 'client.ts', [JSON.stringify(job)]);
}

async function readResult(
  run: BenchRun,
  target: LoadTarget,
  child: Child,
  job: LoadJob,
): Promise<LoadResult> {
  try {
    return JSON.parse(await child.line(job.warmupMs + job.durationMs + LOAD_GRACE_MS)) as LoadResult;
  } catch (thrown) {
    throw explainFailure(run, target, thrown);
  } finally {
    await child.end();
  }
}

/** The load's own words are the last line of its error file. */
function explainFailure(run: BenchRun, target: LoadTarget, thrown: unknown): Error {
  const said = readFileSync(join(run.folder, `load-${target.name}.stderr.log`), 'utf8').trim();
  const reason = said === '' ? (thrown as Error).message : (said.split('\n').at(-1) ?? '');
  return new Error(`Load on ${target.name} failed: ${reason}`, { cause: thrown });
}

/** One load in a process of its own; any wrong answer rejects. */
export async function load(run: BenchRun, target: LoadTarget, wish: LoadWish): Promise<LoadResult> {
  const job = loadJob(run, target, wish);
  const result = await readResult(run, target, startLoad(run, target, job), job);
  if (result.requests === 0) throw new Error(`Load on ${target.name} failed: no answer in the measured time`);
  return result;
}

/** Calls `look` while `connections` idle connections are open, each of which had one answer. */
export async function whileIdle<T>(
  run: BenchRun,
  target: LoadTarget,
  connections: number,
  look: () => Promise<T>,
): Promise<T> {
  const job = loadJob(run, target, { mode: 'idle', connections, warmupMs: 0, durationMs: LOAD_GRACE_MS });
  const child = startLoad(run, target, job);
  try {
    await child.line(LOAD_GRACE_MS);
    const seen = await look();
    child.closeInput();
    return seen;
  } catch (thrown) {
    throw explainFailure(run, target, thrown);
  } finally {
    await child.end();
  }
}
