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
import type { AppProtocol, Peer } from './peers/peer.ts';
import { machine, writeResults } from './results.ts';
import type { ScenarioResult } from './results.ts';
import { runBulkScenario } from './scenarios/bulk.ts';
import { runChurn } from './scenarios/churn.ts';
import { runExtAuthz } from './scenarios/ext-authz.ts';
import { runHandshakeScenario } from './scenarios/handshakes.ts';
import { runInbound } from './scenarios/inbound.ts';
import { runJwt } from './scenarios/jwt.ts';
import { runLatency } from './scenarios/latency.ts';
import { runMemory } from './scenarios/memory.ts';
import { runPair } from './scenarios/pair.ts';
import { runPolicies } from './scenarios/policies.ts';
import { runStart } from './scenarios/start.ts';
import { runWorkers } from './scenarios/workers.ts';

interface Scenario {
  readonly app: AppProtocol;
  readonly run: (run: BenchRun) => Promise<ScenarioResult>;
  /** Its peers; the rows of its table. */
  readonly takes: (peer: Peer) => boolean;
}

const carries =
  (app: AppProtocol) =>
  (peer: Peer): boolean =>
    peer.carries.includes(app);
/** Sidecars of a mesh: they take Istio's documents, or what Istio makes of them. */
const isSidecar = (peer: Peer): boolean => peer.pairChecks === 'SPIFFE ID';
const isPostern = ({ name }: Peer): boolean => name === 'postern';

const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  inbound: { app: 'http', run: runInbound, takes: carries('http') },
  memory: { app: 'http', run: runMemory, takes: carries('http') },
  handshakes: { app: 'http', run: runHandshakeScenario, takes: carries('http') },
  start: { app: 'http', run: runStart, takes: carries('http') },
  bulk: { app: 'tcp', run: runBulkScenario, takes: carries('tcp') },
  pair: { app: 'http', run: runPair, takes: (peer) => peer.pairChecks !== null },
  latency: { app: 'http', run: runLatency, takes: isSidecar },
  churn: { app: 'http', run: runChurn, takes: isPostern },
  workers: { app: 'http', run: runWorkers, takes: isPostern },
  jwt: { app: 'http', run: runJwt, takes: isSidecar },
  'ext-authz': { app: 'http', run: runExtAuthz, takes: isSidecar },
  policies: { app: 'http', run: runPolicies, takes: isSidecar },
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

type Common = Pick<BenchRun, 'options' | 'folder' | 'certificates' | 'here'>;

/** The peers that a scenario takes with an app that speaks its protocol; null if none of them is here. */
async function prepareRun(scenario: Scenario, common: Common): Promise<BenchRun | null> {
  const names = new Set(PEERS.filter(scenario.takes).map((peer) => peer.name));
  const here = common.here.filter(({ peer }) => names.has(peer.name));
  if (here.length === 0) return null;
  return {
    ...common,
    protocol: scenario.app,
    appPort: await startApp(common.folder, scenario.app),
    peerNames: common.options.peers.filter((name) => names.has(name)),
    here,
    note,
  };
}

/** Null: figures that mean nothing do not take the place of any that do. */
function resultsName({ name, isSmoke, scenarios }: Options, scenario: ScenarioName): string | null {
  if (name === null) return isSmoke ? null : scenario;
  return scenarios.length === 1 ? name : `${name}-${scenario}`;
}

async function runScenarios(options: Options, folder: string): Promise<void> {
  const common = { options, folder, certificates: await makeCertificates(folder), here: findPeers(options) };
  print(machine());
  for (const name of options.scenarios) {
    const scenario = SCENARIOS[name];
    const run = await prepareRun(scenario, common);
    if (run === null) {
      const takes = PEERS.filter(scenario.takes).map((peer) => peer.name);
      const why = `${name} measures ${takes.join(', ')}: none of them is here or was named`;
      if (options.scenarios.length === 1) throw new UsageError(why);
      note(`Left out: ${why}`);
      continue;
    }
    const result = await scenario.run(run);
    print(`\n${result.title}\n\n${formatTable(result.headings, result.rows)}\n`);
    for (const remark of result.remarks) print(remark);
    const fileName = resultsName(options, name);
    if (fileName !== null) print(writeResults(fileName, result.rounds, result.peers));
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
