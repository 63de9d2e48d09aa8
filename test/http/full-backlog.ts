/**
 * A port of loopback that takes no connection: its listener's thread sleeps and its queue is full, so that the
 * kernel drops every further SYN, as a host behind a broken firewall does. Linux.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';

export interface FullBacklog extends AsyncDisposable {
  readonly port: number;
}

const SLEEPER = `
const { parentPort, workerData } = require('node:worker_threads');
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
  parentPort.postMessage(server.address().port);
  setImmediate(() => {
    Atomics.wait(new Int32Array(workerData), 0, 0);
    process.exit(0);
  });
});
`;

/** How long a connection must hang before the queue counts as full. */
const HANG_MS = 200;

export async function fillBacklog(): Promise<FullBacklog> {
  const shared = new SharedArrayBuffer(4);
  const worker = new Worker(SLEEPER, { eval: true, workerData: shared });
  const [port] = (await once(worker, 'message')) as [number];
  const sockets: Socket[] = [];
  let full = false;
  while (!full) {
    if (sockets.length > 64) throw new Error('the queue takes every connection');
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    sockets.push(socket);
    full = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), HANG_MS);
      socket.once('connect', () => {
        clearTimeout(timer);
        resolve(false);
      });
    });
  }
  return {
    port,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy();
      Atomics.store(new Int32Array(shared), 0, 1);
      const exited = once(worker, 'exit');
      Atomics.notify(new Int32Array(shared), 0);
      await exited;
    },
  };
}
