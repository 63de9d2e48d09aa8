/** Bytes between two sockets: half-close both ways, the slower side, resets, the idle deadline. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import { Tunnel } from '../../src/upstream/tunnel.ts';
import type { TunnelResult } from '../../src/upstream/tunnel.ts';
import { TcpDialer } from '../../src/upstream/tcp-dialer.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordedConnection } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';

interface Rig extends AsyncDisposable {
  readonly client: RawClient;
  readonly app: RecordedConnection;
  readonly tunnel: Tunnel;
  readonly result: Promise<TunnelResult>;
}

/** A client, a tunnel in the middle, an app that only records. */
async function rig(idleTimeoutMs = 60_000): Promise<Rig> {
  const upstream = await startRecordingUpstream({ script: () => undefined });
  const { promise: result, resolve } = Promise.withResolvers<TunnelResult>();
  const { promise: made, resolve: resolveTunnel, reject } = Promise.withResolvers<Tunnel>();
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    let inMiddle: Tunnel | null = null;
    new TcpDialer(() => 5_000).dial(
      { host: '127.0.0.1', port: upstream.port, cluster: '' },
      (dialled) => {
        sockets.push(dialled);
        const tunnel = new Tunnel(
          { socket, raw: socket },
          { socket: dialled, raw: dialled },
          idleTimeoutMs,
          resolve,
        );
        inMiddle = tunnel;
        tunnel.start();
        resolveTunnel(tunnel);
      },
      reject,
      (view) => inMiddle?.receiveFromUpstream(view),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = await connectRaw({ port: (server.address() as AddressInfo).port, timeoutMs: 10_000 });
  const tunnel = await made;
  const app = await upstream.connection();
  return {
    client,
    app,
    tunnel,
    result: withDeadline(result, 10_000, 'the end of the tunnel'),
    async [Symbol.asyncDispose](): Promise<void> {
      client.close();
      for (const socket of sockets) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
      await upstream.close();
    },
  };
}

describe('a tunnel', () => {
  checkLeaks();

  it('carries bytes both ways and half-closes, whichever side ends first', async () => {
    for (const first of ['client', 'app'] as const) {
      await using parts = await rig();
      const { client, app, result } = parts;
      await client.write('hello');
      await app.until((bytes) => bytes.toString() === 'hello', 'the bytes');
      if (first === 'client') {
        client.end();
        assert.equal(await app.ended(), 'end');
        app.socket.end('answer after FIN');
        assert.equal((await client.readToEnd()).bytes.toString(), 'answer after FIN');
      } else {
        app.socket.end('bye');
        assert.equal((await client.readToEnd()).bytes.toString(), 'bye');
        await client.write(' world');
        client.end();
        assert.equal(await app.ended(), 'end');
        assert.equal(app.bytes.toString(), 'hello world');
      }
      const { end, bytesReceived } = await result;
      assert.equal(end, 'closed');
      assert.equal(bytesReceived, first === 'client' ? 5 : 11);
    }
  });

  it('two FINs do not take away what the slower side has not read yet', async () => {
    await using parts = await rig();
    const { client, app, result } = parts;
    const size = 12_000_000;
    app.socket.pause();
    app.socket.end();
    client.socket.write(Buffer.alloc(size, 'x'));
    client.end();
    assert.equal((await client.readToEnd()).ending, 'end');
    let received = 0;
    app.socket.removeAllListeners('data');
    app.socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    const ended = once(app.socket, 'end');
    app.socket.resume();
    await ended;
    assert.equal(received, size);
    assert.equal((await result).end, 'closed');
  });

  it('a reset of either side is a reset of the other', async () => {
    {
      await using parts = await rig();
      parts.client.reset();
      assert.equal(await parts.app.ended(), 'reset');
      assert.equal((await parts.result).end, 'downstream_reset');
    }
    {
      await using parts = await rig();
      parts.app.socket.resetAndDestroy();
      assert.equal((await parts.client.readToEnd()).ending, 'reset');
      assert.equal((await parts.result).end, 'upstream_reset');
    }
  });

  it('the idle deadline ends it, and every byte moves the deadline', async () => {
    await using parts = await rig(150);
    for (let i = 0; i < 4; i++) {
      await new Promise((resume) => setTimeout(resume, 60));
      await parts.client.write('x');
    }
    await parts.app.until((bytes) => bytes.length === 4, 'the bytes');
    assert.equal((await parts.result).end, 'idle_timeout');
  });

  it('destroy ends both sides at once', async () => {
    await using parts = await rig();
    parts.tunnel.destroy('policy');
    await parts.client.readToEnd();
    await parts.app.ended();
    const { end, detail } = await parts.result;
    assert.deepEqual([end, detail], ['ended', 'policy']);
  });
});
