/** The load itself: plain connections to a small server of the test. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import { answerBody } from '../../bench/load/answer.ts';
import { createOpener } from '../../bench/load/client-opener.ts';
import type { LoadJob } from '../../bench/load/job.ts';
import { runLoad } from '../../bench/load/run-load.ts';

const BODY = answerBody();
const ANSWER = Buffer.concat([
  Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${BODY.length}\r\n\r\n`, 'latin1'),
  BODY,
]);

interface Served {
  readonly job: LoadJob;
  readonly sockets: ReadonlySet<Socket>;
  readonly ends: { byClient: number; byServer: number };
}

/** Serves while `use` runs; `onRequest` answers, or does something else. */
async function serving(
  onRequest: (socket: Socket, head: string) => void,
  use: (served: Served) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const ends = { byClient: 0, byServer: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    socket.once('end', () => {
      if (!socket.writableEnded) ends.byClient += 1;
    });
    socket.on('data', (chunk: Buffer) => {
      const head = chunk.toString('latin1');
      onRequest(socket, head);
      if (head.includes('connection: close')) {
        ends.byServer += 1;
        socket.end();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const job: LoadJob = {
    mode: 'closed',
    port,
    host: 'httpbin.foo:8000',
    requestFields: [],
    connections: 4,
    ratePerSecond: 0,
    total: 0,
    warmupMs: 0,
    durationMs: 0,
    tls: null,
    proxies: [],
    proxyCpu: null,
  };
  try {
    await use({ job, sockets, ends });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  }
}

const hold = (): Promise<void> => Promise.resolve();

describe('bench load', () => {
  it('charges a stall of the server to every request that was to be sent meanwhile', async () => {
    const stallMs = 400;
    let stalledUntilMs = 0;
    let requests = 0;
    const answer = (socket: Socket): void => {
      requests += 1;
      if (requests === 60) stalledUntilMs = performance.now() + stallMs;
      const waitMs = stalledUntilMs - performance.now();
      if (waitMs > 0) setTimeout(() => socket.write(ANSWER), waitMs);
      else socket.write(ANSWER);
    };
    await serving(answer, async ({ job }) => {
      const rate: LoadJob = { ...job, mode: 'rate', ratePerSecond: 200, durationMs: 1000 };
      const result = await runLoad(rate, createOpener(rate), hold);
      // Of about 200 requests 80 fell into the stall. A load that waits for answers would have sent 4 of them.
      assert.ok(result.requests > 120, `${result.requests} requests`);
      assert.ok(result.p99Us > 0.8 * stallMs * 1000, `p99 is ${result.p99Us} us`);
      assert.ok(result.lagP99Us < result.p99Us, `late by ${result.lagP99Us} us`);
    });
  });

  it('makes as many short connections as it was told, half of them closed by either side', async () => {
    const hosts = new Set<string>();
    const answer = (socket: Socket, head: string): void => {
      hosts.add(/^host: (.*)\r$/m.exec(head)?.[1] ?? '');
      socket.write(ANSWER);
    };
    await serving(answer, async ({ job, ends, sockets }) => {
      const short: LoadJob = { ...job, mode: 'short', total: 101 };
      const result = await runLoad(short, createOpener(short), hold);
      assert.equal(result.requests, 101);
      assert.deepEqual([ends.byClient, ends.byServer, sockets.size], [51, 50, 0]);
      assert.deepEqual([...hosts], ['httpbin.foo:8000']);
    });
  });

  it('sends the fields that it was given in turn, whatever the connection', async () => {
    await serving(
      (socket) => socket.write(ANSWER),
      async ({ job }) => {
        const requestFields = ['x-turn: a\r\n', 'x-turn: b\r\n', 'x-turn: c\r\n'];
        const seen: string[] = [];
        const closed: LoadJob = { ...job, durationMs: 1, requestFields };
        const opener = createOpener(closed);
        const watched = {
          ...opener,
          nextRequest: () => {
            const request = opener.nextRequest();
            seen.push(/^x-turn: (.*)\r$/m.exec(request.toString())?.[1] ?? '');
            return request;
          },
        };
        await runLoad(closed, watched, hold);
        // One to see that it is accepted and one measured, on each of four connections.
        assert.equal(seen.slice(0, 8).join(''), 'abcabcab');
        assert.match(opener.lastRequest.toString(), /x-turn: a\r\nconnection: close\r\n/);
      },
    );
  });

  it('fails when one of the short connections is reset', async () => {
    let requests = 0;
    const answer = (socket: Socket): void => {
      requests += 1;
      if (requests === 20) socket.resetAndDestroy();
      else socket.write(ANSWER);
    };
    await serving(answer, async ({ job }) => {
      const short: LoadJob = { ...job, mode: 'short', total: 40 };
      await assert.rejects(runLoad(short, createOpener(short), hold), /of 40 failed/);
    });
  });
});
