import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { DataHalves } from '../../src/control-data-halves.ts';
import type { SecretMaterial } from '../../src/core/secret.ts';
import type { DataHalfEvents } from '../../src/data-half.ts';
import { buildSnapshot } from '../../src/mesh/build-snapshot.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { loadDocumentText } from '../../src/config/documents.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import type { BoundPorts, FromData, ToData } from '../../src/messages.ts';
import { ControlCounters } from '../../src/observe/control-counters.ts';
import { Counters } from '../../src/observe/counters.ts';
import { SILENT_LOG } from '../../src/observe/log.ts';
import { Readiness } from '../../src/observe/readiness.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();

/** A data half that does as it is told and may be made to refuse or to die: what real ones do not do on demand. */
class ScriptedHalf {
  readonly got: ToData[] = [];
  readonly worker: number;
  readonly counters: Counters = new Counters();
  refuses: 'snapshot' | 'secret' | 'listen' | '' = '';
  isEnded = false;
  /** A listener of its documents that may have any port. */
  listener = '';
  readonly #events: DataHalfEvents;

  constructor(worker: number, events: DataHalfEvents) {
    this.worker = worker;
    this.#events = events;
  }

  /** Generation, secret version or ports in the order in which they were told. */
  told<K extends ToData['kind']>(kind: K): Extract<ToData, { kind: K }>[] {
    return this.got.filter((message): message is Extract<ToData, { kind: K }> => message.kind === kind);
  }

  send(message: ToData): void {
    this.got.push(message);
    const answer = this.#answer(message);
    if (answer !== null) queueMicrotask(() => this.#events.onMessage(answer));
  }

  end(): Promise<void> {
    this.isEnded = true;
    return Promise.resolve();
  }

  die(): void {
    this.isEnded = true;
    this.#events.onDied('a bug');
  }

  #answer(message: ToData): FromData | null {
    const refusal = `worker ${this.worker} will not`;
    switch (message.kind) {
      case 'snapshot': {
        const { generation } = message.snapshot;
        return this.refuses === 'snapshot'
          ? { kind: 'snapshot-refused', generation, message: refusal }
          : { kind: 'snapshot-applied', generation, ports: this.#ports(message.bound) };
      }
      case 'secret': {
        const { version } = message.secret;
        return this.refuses === 'secret'
          ? { kind: 'secret-refused', version, message: refusal }
          : { kind: 'secret-installed', version };
      }
      case 'listen':
        return this.refuses === 'listen'
          ? { kind: 'listen-failed', message: refusal }
          : { kind: 'listening', ports: this.#ports(message.bound) };
      case 'report': {
        const report = { counters: structuredClone(this.counters), connections: [], connectionCount: 3 };
        return { kind: 'report', id: message.id, report };
      }
      case 'drain':
        return { kind: 'drained' };
      case 'levels':
      case 'tls-files':
      case 'key-sets':
      case 'reopen-logs':
      case 'stop':
        return null;
      default:
        return message satisfies never;
    }
  }

  #ports(bound: BoundPorts | null): BoundPorts {
    const ports = bound ?? { intercept: 15_000 + this.worker, inbound: null, ingress: {}, egress: {} };
    if (this.listener === '') return ports;
    return { ...ports, egress: { [this.listener]: 20_000 + this.worker, ...bound?.egress } };
  }
}

interface Running {
  readonly halves: DataHalves;
  /** The newest of each number. */
  readonly of: (worker: number) => ScriptedHalf;
  readonly all: ScriptedHalf[];
  readonly counters: ControlCounters;
  readonly readiness: Readiness;
}

let running: Running[] = [];

afterEach(async () => {
  for (const { halves } of running) await halves.end();
  running = [];
});

/** Two data halves; `make` prepares each one as it is started. */
function open(make: (half: ScriptedHalf) => void = () => {}): Running {
  const all: ScriptedHalf[] = [];
  const counters = new ControlCounters();
  const readiness = new Readiness();
  const halves = new DataHalves({
    count: 2,
    start: (worker, events) => {
      const half = new ScriptedHalf(worker, events);
      make(half);
      all.push(half);
      return half;
    },
    reportIntervalMs: 0,
    counters,
    readiness,
    log: SILENT_LOG,
  });
  halves.open();
  const opened = {
    halves,
    all,
    counters,
    readiness,
    of: (worker: number): ScriptedHalf => all.findLast((half) => half.worker === worker)!,
  };
  running.push(opened);
  return opened;
}

function snapshotOf(generation: number): Snapshot {
  const { snapshot } = buildSnapshot({
    resources: loadDocumentText('', 'none.yaml').resources,
    workload: { namespace: 'foo', serviceAccount: 'a', name: 'a', labels: {} },
    limits: { ...DEFAULT_LIMITS, maxConnections: 9 },
    generation,
    accessLog: null,
    appHost: '127.0.0.1',
  });
  return snapshot;
}

function secretOf(version: number): SecretMaterial {
  const texts = { certificateChainPem: '', privateKeyPem: '', bundles: {}, ticketSecret: new Uint8Array(32) };
  return { version, trustVersion: 1, ...texts };
}

const first = { snapshot: snapshotOf(1), secret: secretOf(1), tlsFiles: { '/ca.pem': 'one' } };

const generations = (half: ScriptedHalf): number[] =>
  half.told('snapshot').map(({ snapshot }) => snapshot.generation);

/** Waits for what happens a few turns from now. */
async function until(done: () => boolean): Promise<void> {
  while (!done()) {
    await new Promise<void>((resume) => {
      setImmediate(resume);
    });
  }
}

describe('several data halves', () => {
  it('are told the same, the second one the ports of the first, and share the limit of connections', async () => {
    const { halves, of } = open();
    await halves.apply(first);
    const bound = await halves.listen([1, 2]);
    assert.equal(bound.intercept, 15_001);
    assert.deepEqual(
      [1, 2].map((worker) => of(worker).told('listen')),
      [
        [{ kind: 'listen', reservedPorts: [1, 2], bound: null }],
        [{ kind: 'listen', reservedPorts: [1, 2], bound }],
      ],
    );
    for (const worker of [1, 2]) {
      assert.deepEqual(
        of(worker).got.map(({ kind }) => kind),
        ['tls-files', 'snapshot', 'listen'],
      );
      assert.equal(of(worker).told('snapshot')[0]?.snapshot.limits.maxConnections, 4);
    }
  });

  it('all go back to the old snapshot, secret and files when one refuses the new', async () => {
    const { halves, of } = open();
    await halves.apply(first);
    await halves.listen([]);
    of(2).refuses = 'snapshot';
    const next = { snapshot: snapshotOf(2), secret: secretOf(2), tlsFiles: { '/ca.pem': 'two' } };
    await assert.rejects(halves.apply(next), /^Error: worker 2 will not$/);
    assert.deepEqual(generations(of(1)), [1, 2, 1]);
    assert.equal(of(1).told('snapshot').at(-1)?.secret?.version, 1);
    assert.deepEqual(generations(of(2)), [1, 2], 'nothing of it was in force there');
    for (const worker of [1, 2])
      assert.deepEqual(of(worker).told('tls-files').at(-1)?.files, { '/ca.pem': 'one' });
    of(2).refuses = '';
    of(1).refuses = 'snapshot';
    await assert.rejects(halves.apply(next), /^Error: worker 1 will not$/);
    assert.deepEqual(generations(of(2)), [1, 2], 'the second one never heard of it');
  });

  it('do not take a snapshot during which one ends, and its successor gets the old one', async () => {
    const { all, halves, of } = open();
    await halves.apply(first);
    await halves.listen([]);
    const dying = of(2);
    dying.refuses = 'snapshot';
    const send = dying.send.bind(dying);
    dying.send = (message) => {
      if (message.kind === 'snapshot') dying.die();
      else send(message);
    };
    const next = { snapshot: snapshotOf(2), secret: null, tlsFiles: null };
    await assert.rejects(halves.apply(next), /worker 2 ended while it took the "snapshot": a bug/);
    assert.deepEqual(generations(of(1)), [1, 2, 1]);
    await until(() => all.length === 3 && of(2).told('listen').length === 1);
    assert.deepEqual(generations(of(2)), [1]);
  });

  it('keep a secret that one of them took, and tell what kept another from it once', async () => {
    const { all, halves, of, counters } = open();
    await halves.apply(first);
    await halves.listen([]);
    of(2).refuses = 'secret';
    assert.deepEqual(await halves.installSecret(secretOf(2)), {
      installed: true,
      refusals: ['worker 2 will not'],
    });
    of(1).refuses = 'secret';
    const { installed, refusals } = await halves.installSecret(secretOf(3));
    assert.deepEqual([installed, refusals.length], [false, 2]);
    of(1).die();
    await until(() => all.length === 3 && counters.workersLive === 2);
    assert.equal(of(1).told('snapshot')[0]?.secret?.version, 2, 'the last one that was installed');
  });

  it('go on counting from what one that ended told last, and have no gauges of it', async () => {
    const { all, counters, halves, of } = open();
    await halves.apply(first);
    await halves.listen([]);
    for (const worker of [1, 2]) {
      const listener = of(worker).counters.listener('a_1');
      listener.cxTotal = 10 * worker;
      listener.cxActive = worker;
      listener.cxDestroy = 9 * worker;
    }
    const told = async (): Promise<unknown> => {
      const { cxTotal, cxActive, cxDestroy } = (await halves.report(new Counters())).counters.listeners[
        'a_1'
      ]!;
      return [cxTotal, cxActive, cxDestroy];
    };
    assert.deepEqual(await told(), [30, 3, 27]);
    of(1).die();
    assert.deepEqual(await told(), [30, 2, 28]);
    assert.equal(counters.workerConnectionsLost, 3);
    await until(() => all.length === 3 && counters.workersLive === 2);
    of(1).counters.listener('a_1').cxTotal = 5;
    assert.deepEqual(await told(), [35, 2, 28]);
    assert.equal(counters.workerRestarts, 1);
  });

  it('are not ready while none serves, and take new documents all the same', async () => {
    let refuses: ScriptedHalf['refuses'] = '';
    let listener = '';
    const { counters, halves, of, readiness } = open((half) => {
      half.refuses = refuses;
      half.listener = listener;
    });
    readiness.clear('not_started');
    await halves.apply(first);
    await halves.listen([]);
    assert.equal(readiness.isReady, true);
    refuses = 'listen';
    for (const worker of [1, 2]) of(worker).die();
    assert.match(JSON.stringify(readiness.state().reasons), /worker_failed.*no worker serves now/);
    await halves.apply({ snapshot: snapshotOf(2), secret: null, tlsFiles: null });
    refuses = '';
    listener = 'added';
    await until(() => counters.workersLive === 2);
    assert.equal(readiness.isReady, true);
    assert.deepEqual(generations(of(1)), [2]);
    const told = [1, 2].map((worker) => of(worker).told('listen')[0]?.bound?.egress['added']);
    const port = halves.bound?.egress['added'] ?? 0;
    assert.ok(port > 20_000);
    assert.equal(told.filter((got) => got === port).length, 1, 'one picks, the other follows');
  });

  it('end one that fails to listen at start, and say why', async () => {
    const { all, halves } = open((half) => {
      if (half.worker === 2) half.refuses = 'listen';
    });
    await halves.apply(first);
    await assert.rejects(halves.listen([]), /^Error: worker 2 will not$/);
    await halves.end();
    assert.ok(all.every(({ isEnded }) => isEnded));
    assert.equal(all.length, 2, 'none is started again before all have started');
  });
});
