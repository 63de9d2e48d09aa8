/** Streams bytes through the chain, up or down, and looks at the process's memory on the way. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { once } from 'node:events';
import { startProxy } from './proxy-fixture.ts';

export interface StreamResult {
  readonly bytes: number;
  /** The most that the process grew over its size after the first sixteenth. */
  readonly grownBytes: number;
  readonly elapsedMs: number;
}

const BLOCK = Buffer.alloc(65_536, 'x');

function pump(socket: Socket, size: number): void {
  let left = size;
  const write = (): void => {
    while (left > 0) {
      left -= BLOCK.length;
      if (!socket.write(BLOCK)) {
        socket.once('drain', write);
        return;
      }
    }
  };
  write();
}

/** `size` is a multiple of 64 KiB. */
export async function streamThrough(way: 'up' | 'down', size: number): Promise<StreamResult> {
  let received = 0;
  let base = 0;
  let grown = 0;
  const note = (chunk: Buffer): void => {
    received += chunk.length;
    const rss = process.memoryUsage.rss();
    if (base === 0) base = received > size / 16 ? rss : 0;
    else if (rss - base > grown) grown = rss - base;
  };
  const sockets: Socket[] = [];
  const app = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (way === 'down') {
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
        pump(socket, size);
      });
      return;
    }
    socket.on('data', (chunk: Buffer) => {
      note(chunk);
      if (received >= size) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    });
  });
  app.listen(0, '127.0.0.1');
  await once(app, 'listening');
  const proxy = await startProxy({ upstreamPort: (app.address() as AddressInfo).port });
  const begin = performance.now();
  const client = connect({ port: proxy.port, host: '127.0.0.1' });
  try {
    if (way === 'up') {
      client.on('data', () => undefined);
      client.write(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: ${size}\r\n\r\n`);
      pump(client, size);
    } else {
      client.on('data', note);
      client.write('GET / HTTP/1.1\r\nhost: h\r\n\r\n');
    }
    await proxy.until(() => proxy.entries.length === 1, 'the end of the stream', 600_000);
    const entry = proxy.entries[0]!;
    const bytes = way === 'up' ? entry.bytesReceived : entry.bytesSent;
    return { bytes, grownBytes: grown, elapsedMs: performance.now() - begin };
  } finally {
    client.destroy();
    await proxy.close();
    const closed = once(app, 'close');
    app.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  }
}
