import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogLine } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { WorkerCrash } from '../support/worker-crash.ts';
import { AppLoad } from './app-load.ts';
import { ProcessMesh, type WorkloadName } from './process-mesh.ts';

const READY_WITHIN_MS = 10_000;
/** As many as make it unlikely (2 in 4,096) that one worker has none of them. */
const KEPT = 12;

interface Shown {
  readonly worker: number;
  readonly remote: { readonly port: number };
}

const hasCode =
  (code: string) =>
  (line: LogLine): boolean =>
    line['code'] === code;

/** Client ports of a sidecar's connections that one worker has. */
async function portsOf(admin: number, worker: number): Promise<ReadonlySet<number>> {
  const dump = await fetch(`http://127.0.0.1:${admin}/config_dump`, { headers: { connection: 'close' } });
  const { connections } = (await dump.json()) as { connections: { first: readonly Shown[] } };
  return new Set(connections.first.filter((one) => one.worker === worker).map(({ remote }) => remote.port));
}

interface Crashed {
  readonly load: AppLoad;
  /** Ports of the clients of the worker shortly before it ended. */
  readonly ofWorker: ReadonlySet<number>;
  readonly keptBefore: readonly number[];
  readonly connectionsLost: number;
  /** When it was known to have ended. */
  readonly endedAtMs: number;
}

/** Ends a worker of one sidecar under load, waits until another one serves in its place, and goes on for a while. */
async function crashWorker(workload: WorkloadName): Promise<Crashed> {
  using folder = new TempFolder();
  const crash = new WorkerCrash(folder);
  const part = `proxy-${workload}` as const;
  await using mesh = await ProcessMesh.start({
    settings: 'concurrency: 2',
    command: { part, line: crash.command },
  });
  const { admin = 0 } = await mesh.ports(part);
  const proxy = mesh.process(part);
  await using load = new AppLoad(mesh, KEPT);
  await load.more(10 * KEPT);
  const keptBefore = load.keptPorts;
  const ofWorker = await portsOf(admin, 1);
  const crashedAtMs = performance.now();
  crash.endNow(1);
  const ended = await proxy.waitForLog(hasCode('worker_ended'));
  const endedAtMs = performance.now();
  crash.letLive(1);
  await proxy.waitForLog(hasCode('worker_restarted'));
  assert.ok(performance.now() - crashedAtMs < READY_WITHIN_MS);
  assert.ok(await mesh.isReady(part));
  assert.ok(!proxy.logs.some(hasCode('not_ready')), 'the other worker served all the time');
  await load.more(20 * KEPT);
  await load.stop();
  return { load, ofWorker, keptBefore, connectionsLost: Number(ended['connectionsLost']), endedAtMs };
}

describe('a worker that ends under load', () => {
  it('of the sidecar of the client takes the connections of its own clients with it, and nothing else', async (t) => {
    const { connectionsLost, endedAtMs, keptBefore, load, ofWorker } = await crashWorker('sleep');
    const lost = keptBefore.filter((port) => ofWorker.has(port));
    t.diagnostic(`${lost.length} of ${KEPT} connections were of that worker, ${load.answered} requests`);
    assert.ok(lost.length > 0 && lost.length < KEPT);
    assert.ok(connectionsLost >= lost.length);
    const kept = load.failures.filter(({ on }) => on === 'kept');
    assert.deepEqual(new Set(kept.map(({ port }) => port)), new Set(lost), JSON.stringify(load.failures));
    assert.equal(kept.length, lost.length, 'each broke once');
    const fresh = load.failures.filter(({ on }) => on === 'fresh');
    assert.ok(
      fresh.every(({ sinceMs }) => sinceMs < endedAtMs),
      `new connections work: ${JSON.stringify(fresh)}`,
    );
  });

  it('of the sidecar of the server costs at most one request for each connection that it had', async (t) => {
    const { connectionsLost, endedAtMs, load } = await crashWorker('httpbin');
    t.diagnostic(
      `${connectionsLost} connections lost, ${load.failures.length} of ${load.answered} requests failed`,
    );
    assert.ok(connectionsLost > 0);
    assert.ok(load.failures.length <= connectionsLost, JSON.stringify(load.failures));
    for (const { failedAtMs, why } of load.failures) {
      assert.match(why, /^503 /);
      assert.ok(failedAtMs < endedAtMs + 1_000, 'what came later found the other worker');
    }
  });
});
