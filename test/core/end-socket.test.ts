import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { resetSocket } from '../../src/core/end-socket.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

checkLeaks();

interface Pair {
  readonly raw: net.Socket;
  readonly top: net.Socket;
  readonly peer: net.Socket;
}

/** A connection, with TLS or without, seen from the side that dialled. */
async function withPair(secured: boolean, use: (pair: Pair) => Promise<void>): Promise<void> {
  const ca = await TestCa.create('cluster.local');
  const own = await ca.issue();
  const peers = Promise.withResolvers<net.Socket>();
  const server = secured
    ? tls.createServer({ cert: own.chainPem, key: own.keyPem, allowHalfOpen: true }, peers.resolve)
    : net.createServer({ allowHalfOpen: true }, peers.resolve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const raw = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  await once(raw, 'connect');
  const top = secured ? tls.connect({ socket: raw, rejectUnauthorized: false }) : raw;
  if (top !== raw) await once(top, 'secureConnect');
  const peer = await peers.promise;
  for (const socket of [raw, top, peer]) socket.on('error', () => {});
  try {
    await use({ raw, top, peer });
  } finally {
    peer.destroy();
    raw.destroy();
    const closed = once(server, 'close');
    server.close();
    await closed;
  }
}

describe('resetSocket', () => {
  it('tells the peer that the connection broke, also when much is still unsent', async () => {
    for (const unsent of [0, 20_000_000]) {
      await withPair(false, async ({ peer, raw, top }) => {
        peer.pause();
        if (unsent > 0) top.write(Buffer.alloc(unsent));
        let ended = false;
        peer.on('end', () => {
          ended = true;
        });
        const gone = new Promise<void>((resolve) => {
          peer.on('close', () => resolve());
        });
        const closed = once(raw, 'close');
        resetSocket(raw, top);
        await withDeadline(closed, 2_000, 'the end of the socket');
        peer.resume();
        await withDeadline(gone, 2_000, 'the end at the peer');
        assert.equal(ended, false, 'a clean end');
      });
    }
  });

  for (const secured of [false, true]) {
    const name = secured ? 'with TLS' : 'without TLS';

    it(`closes the socket at whatever moment of its end it comes, ${name}`, async () => {
      const moments: readonly (() => Promise<unknown>)[] = [
        () => Promise.resolve(),
        () => new Promise<void>((resolve) => process.nextTick(resolve)),
        () => new Promise((resolve) => setImmediate(resolve)),
        () => new Promise((resolve) => setTimeout(resolve, 5)),
      ];
      for (const moment of moments) {
        for (const unsent of [0, 10, 20_000_000]) {
          await withPair(secured, async ({ peer, raw, top }) => {
            peer.pause();
            const closed = once(raw, 'close');
            if (unsent > 0) top.write(Buffer.alloc(unsent));
            top.end();
            await moment();
            resetSocket(raw, top);
            await withDeadline(closed, 2_000, 'the end of the socket');
          });
        }
      }
    });
  }
});
