/**
 * `npm run bench`: Postern beside its peers. Exit 0: measured; 1: a peer or an answer was not as it must be; 2: misuse.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { detach } from '../src/core/detach.ts';
import { startApp } from './bench-run.ts';
import type { BenchRun, PeerHere } from './bench-run.ts';
import { makeCertificates } from './certificates.ts';
import { endAllChildren, IS_PINNED, killAllChildren } from './measure/child.ts';
import { formatTable } from './measure/table.ts';
import { HELP, parseOptions, UsageError } from './options.ts';
import type { Options, ScenarioName } from './options.ts';
import { PEERS } from './peers/catalogue.ts';
import { machine, writeResults } from './results.ts';
import type { ScenarioResult } from './results.ts';
import { runHandshakeScenario } from './scenarios/handshakes.ts';
import { runInbound } from './scenarios/inbound.ts';
import { runMemory } from './scenarios/memory.ts';
import { runStart } from './scenarios/start.ts';

const SCENARIOS: Readonly<Record<ScenarioName, (run: BenchRun) => Promise<ScenarioResult>>> = {
  inbound: runInbound,
  memory: runMemory,
  handshakes: runHandshakeScenario,
  start: runStart,
};

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function findPeers(options: Options): { here: PeerHere[]; missing: string[] } {
  const here: PeerHere[] = [];
  const missing: string[] = [];
  for (const peer of PEERS.filter(({ name }) => options.peers.includes(name))) {
    const installed = peer.find();
    if (installed === null) missing.push(peer.name);
    else here.push({ peer, installed });
  }
  if (options.arePeersNamed && missing.length > 0) {
    throw new UsageError(`Not installed: ${missing.join(', ')}; leave --peers out to measure what there is`);
  }
  if (here.length === 0) throw new UsageError('No peer is installed: run npm ci first');
  return { here, missing };
}

async function runScenarios(options: Options, folder: string): Promise<void> {
  const { here, missing } = findPeers(options);
  const certificates = makeCertificates(folder);
  const run: BenchRun = {
    options,
    folder,
    certificates,
    appPort: await startApp(folder),
    here,
    missing,
    note,
  };
  print(machine());
  for (const name of options.scenarios) {
    const result = await SCENARIOS[name](run);
    print(`\n${result.title}\n\n${formatTable(result.headings, result.rows)}\n`);
    for (const remark of result.remarks) print(remark);
    const fileName =
      options.name === null ? name : options.scenarios.length > 1 ? `${options.name}-${name}` : options.name;
    print(writeResults(fileName, options.rounds, result.peers));
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) {
    print(HELP);
    return 0;
  }
  if (process.platform !== 'linux')
    throw new UsageError('The benchmark reads CPU time from /proc: run it on Linux');
  if (!IS_PINNED) note('Not pinned: this needs taskset and two CPUs; ratios are only indicative');
  if (options.isSmoke) note('Smoke: it only shows that everything works, the figures mean nothing');
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  process.on('exit', () => {
    killAllChildren();
    rmSync(folder, { recursive: true, force: true });
  });
  try {
    await runScenarios(options, folder);
    return 0;
  } finally {
    await endAllChildren();
  }
}

let wasInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second time without waiting: whatever is left is killed on the way out.
    if (wasInterrupted) process.exit(1);
    wasInterrupted = true;
    detach(endAllChildren(), () => undefined);
  });
}
try {
  process.exitCode = await main();
} catch (thrown) {
  note(wasInterrupted ? 'Interrupted' : (thrown as Error).message);
  process.exitCode = thrown instanceof UsageError ? 2 : 1;
}
process.exit();
