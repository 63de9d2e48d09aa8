import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { rssBytes } from '../../bench/measure/proc.ts';
import { socketStates } from '../../bench/measure/sockets.ts';
import { ProcessMesh, type Part } from '../mesh-life/process-mesh.ts';
import { openShortConnections } from '../mesh-life/short-connections.ts';
import { longShare } from '../support/long-seconds.ts';
import { withDeadline } from '../support/with-deadline.ts';

const CONNECTIONS = 50_000;
const FULL_SECONDS = 90;
const FIFTHS = 5;
const AT_ONCE = 32;
/** Fewer say nothing of memory: the program is still being compiled and its heap still grows to its size. */
const ENOUGH_FOR_MEMORY = 20_000;
/** Connections that the sidecars keep to each other and to the app close after this; what is left then was lost. */
const IDLE_MS = 1_500;
const AT_REST_MS = 15_000;
const MOST_GROWTH = 1.1;

const SIDES: readonly Part[] = ['proxy-sleep', 'proxy-httpbin'];

async function startApp(): Promise<Server> {
  const app = createServer((_request, response) => response.end('ok'));
  app.listen(0, '127.0.0.1');
  await once(app, 'listening');
  return app;
}

/** Of TCP: the streams to the SDS server may be made anew at any time. */
function socketsOf(pid: number): string {
  const all = [...socketStates([pid])].filter(([state]) => state !== 'UNIX');
  const states = all.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return states.map(([state, count]) => `${count} ${state}`).join(', ');
}

/** Waits until a sidecar holds the sockets that it held before any load. */
async function untilAtRest(pid: number, wanted: string): Promise<void> {
  const loop = async (): Promise<void> => {
    while (socketsOf(pid) !== wanted) await delay(100);
  };
  await withDeadline(loop(), AT_REST_MS, `the sockets of before, ${wanted}`, () => socketsOf(pid));
}

const mb = (bytes: number): string => (bytes / 2 ** 20).toFixed(0);

describe('fifty thousand short connections through a pair', () => {
  it('are all answered, leave no socket, and cost no memory after the second fifth', async (t) => {
    const app = await startApp();
    try {
      await using mesh = await ProcessMesh.start({
        appPort: (app.address() as AddressInfo).port,
        settings: `limits: {idleTimeoutMs: ${IDLE_MS}}`,
      });
      const total = longShare(CONNECTIONS, FULL_SECONDS, 1_000);
      const pids = SIDES.map((part) => mesh.process(part).pid);
      const before = pids.map(socketsOf);
      for (const sockets of before) assert.match(sockets, /^\d+ LISTEN(?:, \d+ UNCONNECTED)?$/);
      const memory: number[][] = [pids.map((pid) => rssBytes([pid]))];
      for (let fifth = 1; fifth <= FIFTHS; fifth++) {
        await openShortConnections({
          host: mesh.host,
          port: mesh.egressPort,
          total: Math.ceil(total / FIFTHS),
          atOnce: AT_ONCE,
        });
        memory.push(pids.map((pid) => rssBytes([pid])));
      }
      for (const [side, pid] of pids.entries()) await untilAtRest(pid, before[side]!);
      for (const [side, part] of SIDES.entries()) {
        const seen = memory.map((row) => row[side]!);
        t.diagnostic(`${part}: ${total} connections, RSS MB ${seen.map(mb).join(', ')}; ${before[side]}`);
        if (total < ENOUGH_FOR_MEMORY) continue;
        assert.ok(seen[FIFTHS]! <= seen[2]! * MOST_GROWTH, `${part} grew: ${seen.map(mb).join(', ')} MB`);
      }
    } finally {
      app.closeAllConnections();
      app.close();
    }
  });
});
