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
import type { AppProtocol } from './peers/peer.ts';
import { machine, writeResults } from './results.ts';
import type { ScenarioResult } from './results.ts';
import { runBulkScenario } from './scenarios/bulk.ts';
import { runHandshakeScenario } from './scenarios/handshakes.ts';
import { runInbound } from './scenarios/inbound.ts';
import { runMemory } from './scenarios/memory.ts';
import { runStart } from './scenarios/start.ts';

const SCENARIOS: Readonly<Record<ScenarioName, (run: BenchRun) => Promise<ScenarioResult>>> = {
  inbound: runInbound,
  memory: runMemory,
  handshakes: runHandshakeScenario,
  start: runStart,
  bulk: runBulkScenario,
};

function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Which of the wanted peers are on this machine; a missing one is an error only if it was asked for by name. */
function findPeers(options: Options): PeerHere[] {
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
  return here;
}

/** The peers of one protocol with an app that speaks it. */
async function prepareRun(
  protocol: AppProtocol,
  common: Pick<BenchRun, 'options' | 'folder' | 'certificates' | 'here'>,
): Promise<BenchRun> {
  const carrying = PEERS.filter((peer) => peer.carries.includes(protocol));
  const names = new Set(carrying.map((peer) => peer.name));
  const here = common.here.filter(({ peer }) => names.has(peer.name));
  if (here.length === 0)
    throw new UsageError(`None of the peers carries ${protocol}: name others, or run npm ci`);
  return {
    ...common,
    protocol,
    appPort: await startApp(common.folder, protocol),
    peerNames: common.options.peers.filter((name) => names.has(name)),
    here,
    note,
  };
}

async function runScenarios(options: Options, folder: string): Promise<void> {
  const common = { options, folder, certificates: await makeCertificates(folder), here: findPeers(options) };
  print(machine());
  for (const name of options.scenarios) {
    const run = await prepareRun(name === 'bulk' ? 'tcp' : 'http', common);
    const result = await SCENARIOS[name](run);
    print(`\n${result.title}\n\n${formatTable(result.headings, result.rows)}\n`);
    for (const remark of result.remarks) print(remark);
    const fileName =
      options.name === null || options.scenarios.length === 1
        ? (options.name ?? name)
        : `${options.name}-${name}`;
    print(writeResults(fileName, result.rounds, result.peers));
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
