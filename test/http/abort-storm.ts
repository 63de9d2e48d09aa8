/** Opens connections and breaks each off at a random point of a random exchange. */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

const REQUESTS = [
  'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
  'POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 40\r\n\r\n0123456789012345678901234567890123456789',
  'POST /c HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nabcde\r\n0\r\nx: y\r\n\r\n',
  'GET /slow HTTP/1.1\r\nhost: h\r\n\r\n',
  'GET /big HTTP/1.1\r\nhost: h\r\n\r\nGET /a HTTP/1.1\r\nhost: h\r\n\r\n',
  'GET /die HTTP/1.1\r\nhost: h\r\n\r\n',
  'GET / HTTP/1.1\r\nbroken\r\n\r\n',
];

const BIG = `HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n${'x'.repeat(300_000)}`;
const AT_ONCE = 50;

export interface StormResult {
  readonly connections: number;
  readonly requests: number;
  readonly recorded: number;
}

/** Fails if a request is not recorded or a connection, up or down, is left; the caller checks timers and sockets. */
export async function abortStorm(connections: number, seed: number): Promise<StormResult> {
  let state = seed;
  const random = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  await using upstream = await startRecordingUpstream({
    answer: ({ target, connection }) => {
      // What it keeps would grow with every round.
      upstream.requests.length = 0;
      if (target === '/slow') return null;
      if (target === '/big') return BIG;
      if (target !== '/die') return 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
      connection.socket.resetAndDestroy();
      return null;
    },
  });
  await using proxy = await startProxy({
    upstreamPort: upstream.port,
    // A client that half-closed and left is known to be gone only when an answer, here our 504, meets no one.
    limits: { bodyStallTimeoutMs: 1_500 },
  });
  const one = (): Promise<void> => {
    const text = REQUESTS[random(REQUESTS.length)]!;
    const cut = random(text.length + 10);
    const way = random(4);
    const turns = random(6);
    return new Promise((resolve) => {
      const socket = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: way === 3 });
      socket.on('error', () => undefined);
      socket.once('close', () => resolve());
      if (random(2) === 0) socket.resume();
      socket.once('connect', () => {
        if (cut > 0) socket.write(text.slice(0, cut));
        later(turns, () => leave(socket, way));
      });
    });
  };
  for (let done = 0; done < connections; done += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, connections - done) }, one));
  }
  await proxy.until(() => proxy.closed === proxy.sockets.length, 'the end of all connections', 10_000);
  await proxy.until(() => proxy.pool.size === proxy.pool.idleCount, 'the end of all exchanges', 10_000);
  return {
    connections: proxy.sockets.length,
    requests: proxy.http.rqTotal,
    recorded: proxy.http.rqCompleted,
  };
}

function later(turns: number, run: () => void): void {
  if (turns === 0) run();
  else setImmediate(() => later(turns - 1, run));
}

function leave(socket: Socket, way: number): void {
  if (way === 0) socket.resetAndDestroy();
  else if (way === 1) socket.destroy();
  else {
    socket.end();
    // A half-closed client waits for a while, then goes.
    later(50, () => socket.destroy());
  }
}
