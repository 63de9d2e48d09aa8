import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { RECORDED } from './client-hello-writer.ts';
import { ListenerFixture } from './listener-fixture.ts';

checkLeaks();

/** Everything that an accepted socket still holds, up to `count` bytes. */
async function readBack(socket: Socket, count: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let received = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    received += chunk.length;
    if (received >= count) resolve();
  });
  socket.resume();
  await withDeadline(promise, 5_000, `${count} bytes`, () => `${received} bytes`);
  return Buffer.concat(chunks);
}

function recorded(name: string): Buffer {
  const bytes = RECORDED[name];
  assert.ok(bytes !== undefined);
  return bytes;
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

describe('the listener', () => {
  const flights: readonly [what: string, bytes: Buffer, kind: string][] = [
    ['a ClientHello', Buffer.concat([recorded('node-mlkem'), Buffer.from('rest')]), 'tls'],
    [
      'an HTTP/1 request',
      Buffer.from('POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody'),
      'http1',
    ],
    ['an HTTP/2 preface', Buffer.from(`${PREFACE}\0\0\0\x04\0\0\0\0\0`, 'latin1'), 'http2'],
    ['other bytes', Buffer.from('\0\0\0\x08\x04\xd2\x16/ and more', 'latin1'), 'opaque'],
  ];
  for (const [what, bytes, kind] of flights) {
    it(`hands ${what} over as ${kind}, paused, with every byte still in it`, async () => {
      await using fixture = await ListenerFixture.open();
      using client = await connectRaw({ port: fixture.port });
      await client.write(bytes);
      const { socket, sniffed, connection, route, remote, local } = await fixture.accepted.next();
      assert.equal(sniffed.kind, kind);
      assert.equal(socket.isPaused(), true);
      assert.equal(socket.listenerCount('error') >= 1, true);
      assert.equal(socket.listenerCount('data'), 0);
      assert.deepEqual(route, {
        kind: 'inbound',
        destination: { ip: '127.0.0.1', port: 8080 },
        appTarget: { host: '127.0.0.1', port: 8080 },
        direct: true,
      });
      assert.deepEqual(remote, { ip: '127.0.0.1', port: client.tcp.localPort });
      assert.deepEqual(local, { ip: '127.0.0.1', port: fixture.port });
      assert.equal(fixture.live.get(connection.id), connection);
      assert.deepEqual(await readBack(socket, bytes.length), bytes);
    });
  }

  for (const name of ['curl', 'openssl-tls13-only']) {
    it(`knows the ClientHello of ${name} sent one byte a segment, and returns all of it`, async () => {
      await using fixture = await ListenerFixture.open();
      using client = await connectRaw({ port: fixture.port });
      const bytes = recorded(name);
      await client.writeInCuts(
        bytes,
        Array.from({ length: bytes.length - 1 }, (_, at) => at + 1),
      );
      const { socket, sniffed } = await fixture.accepted.next();
      assert.equal(sniffed.kind, 'tls');
      assert.deepEqual(await readBack(socket, bytes.length), bytes);
    });
  }

  it('hands over to a TLS server as it is, and forgets the connection when the TLS side closes', async () => {
    const ca = await TestCa.create('cluster.local');
    const { chainPem, keyPem } = await ca.issue();
    const server = tls.createServer({ cert: chainPem, key: keyPem });
    server.on('secureConnection', (secured) => secured.end('secret'));
    await using fixture = await ListenerFixture.open({
      onAccepted: ({ socket }) => server.emit('connection', socket),
    });
    using client = await connectRaw({
      port: fixture.port,
      tls: { servername: 'httpbin.foo', rejectUnauthorized: false },
    });
    const { sniffed } = await fixture.accepted.next();
    assert.equal(sniffed.kind === 'tls' && sniffed.sni, 'httpbin.foo');
    assert.equal((await client.readToEnd()).bytes.toString(), 'secret');
    client.close();
    await withDeadline(fixture.live.whenEmpty(), 5_000, 'the connection to leave the table');
  });

  it('loses nothing of a large body while nobody reads, and reads no more than a little ahead', async () => {
    await using fixture = await ListenerFixture.open();
    using client = await connectRaw({ port: fixture.port });
    const bytes = Buffer.alloc(8_000_000);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at);
    bytes.write('GET / HTTP/1.1\r\n', 'latin1');
    const written = client.write(bytes);
    const { socket } = await fixture.accepted.next();
    await new Promise((resolve) => {
      setImmediate(() => setImmediate(resolve));
    });
    assert.ok(socket.bytesRead < 1_000_000, `${socket.bytesRead} bytes were read ahead`);
    assert.ok((await readBack(socket, bytes.length)).equals(bytes));
    await written;
  });

  it('takes silence for TCP after protocolDetectionTimeout, so that a server may speak first', async () => {
    await using fixture = await ListenerFixture.open({
      protocolDetectionTimeoutMs: 20,
      sniffTimeoutMs: 5_000,
    });
    using client = await connectRaw({ port: fixture.port });
    const { socket, sniffed } = await fixture.accepted.next();
    assert.equal(sniffed.kind, 'opaque');
    socket.write('220 ready\r\n');
    assert.equal((await client.readUntil('\n')).toString(), '220 ready\r\n');
    await client.write('late');
    assert.equal((await readBack(socket, 4)).toString(), 'late');
  });

  it('never takes silence for TCP when protocolDetectionTimeout is 0', async () => {
    await using fixture = await ListenerFixture.open({ sniffTimeoutMs: 20 });
    using client = await connectRaw({ port: fixture.port });
    const refused = await fixture.refused.next();
    assert.equal(refused.code, 'sniff_timeout');
    assert.equal(refused.receivedBytes, 0);
    assert.match(refused.hint, /protocolDetectionTimeout/);
    await client.readToEnd();
  });

  for (const protocolDetectionTimeoutMs of [0, 1_000]) {
    for (const begun of [recorded('curl').subarray(0, 100), 'P', 'PRI * HTTP/2', 'ANYTHING /x']) {
      const shown = JSON.stringify(begun.toString('latin1').slice(0, 12));
      it(`closes what begins with ${shown} and stops, with protocolDetectionTimeout ${protocolDetectionTimeoutMs}`, async () => {
        await using fixture = await ListenerFixture.open({ protocolDetectionTimeoutMs, sniffTimeoutMs: 200 });
        using client = await connectRaw({ port: fixture.port });
        await client.write(begun);
        const refused = await fixture.refused.next();
        assert.equal(refused.code, 'sniff_timeout');
        assert.equal(refused.receivedBytes, begun.length);
        assert.equal(fixture.accepted.length, 0);
        await client.readToEnd();
      });
    }
  }

  it('decides at once where the chains need no sniffing', async () => {
    await using fixture = await ListenerFixture.open({ need: 'none' });
    using client = await connectRaw({ port: fixture.port });
    const { socket, sniffed } = await fixture.accepted.next();
    assert.equal(sniffed.kind, 'opaque');
    assert.equal(socket.isPaused(), true);
    const bytes = recorded('curl');
    await client.write(bytes);
    assert.deepEqual(await readBack(socket, bytes.length), bytes);
  });

  it('looks for TLS only where HTTP does not matter', async () => {
    await using fixture = await ListenerFixture.open({ need: 'tls' });
    using client = await connectRaw({ port: fixture.port });
    await client.write('GET ');
    const { sniffed } = await fixture.accepted.next();
    assert.equal(sniffed.kind, 'opaque');
  });

  it('refuses one connection over the limit and takes the next after one has left', async () => {
    await using fixture = await ListenerFixture.open({ need: 'none', maxConnections: 2 });
    using first = await connectRaw({ port: fixture.port });
    const { connection } = await fixture.accepted.next();
    using second = await connectRaw({ port: fixture.port });
    await fixture.accepted.next();
    using third = await connectRaw({ port: fixture.port });
    const refused = await fixture.refused.next();
    assert.equal(refused.code, 'too_many_connections');
    assert.equal(refused.remote.port, third.tcp.localPort);
    await third.readToEnd();
    assert.equal(fixture.live.size, 2);

    connection.owner.close('draining');
    await first.readToEnd();
    await once(first.tcp.end(), 'close');
    using fourth = await connectRaw({ port: fixture.port });
    assert.equal((await fixture.accepted.next()).remote.port, fourth.tcp.localPort);
    assert.equal(second.ending, null);
  });

  it('closes a connection to its own port and says how to mean it', async () => {
    await using fixture = await ListenerFixture.open({ direct: null });
    using client = await connectRaw({ port: fixture.port });
    const refused = await fixture.refused.next();
    assert.equal(refused.code, 'not_redirected');
    assert.match(refused.hint, /intercept\.direct/);
    await client.readToEnd();
    assert.equal(fixture.live.size, 0);
  });

  it('calls a connection redirected on this host outbound and asks what it needs', async () => {
    const destination = { ip: '192.0.2.1', port: 443 };
    await using fixture = await ListenerFixture.open({
      need: 'none',
      originalDestination: { unavailableReason: null, of: () => destination },
    });
    using client = await connectRaw({ port: fixture.port });
    const { route, connection } = await fixture.accepted.next();
    assert.deepEqual(route, { kind: 'outbound', destination, listener: '' });
    assert.equal(connection.direction, 'outbound');
    assert.equal(client.ending, null);
  });

  it('closes what begins as TLS and is malformed', async () => {
    await using fixture = await ListenerFixture.open();
    using client = await connectRaw({ port: fixture.port });
    await client.write(Buffer.from([0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]));
    const refused = await fixture.refused.next();
    assert.equal(refused.code, 'bad_client_hello');
    assert.equal(refused.detail, 'the ClientHello is too large');
    await client.readToEnd();
  });

  it('tells of a peer that closes or resets before its protocol is known, a mere knock included', async () => {
    await using fixture = await ListenerFixture.open();
    for (const [begun, end] of [
      ['', 'fin'],
      ['GE', 'fin'],
      ['', 'rst'],
      ['GE', 'rst'],
    ] as const) {
      using client = await connectRaw({ port: fixture.port });
      if (begun !== '') await client.write(begun);
      if (end === 'fin') client.end();
      else client.reset();
      const refused = await fixture.refused.next();
      assert.equal(refused.code, 'closed_while_sniffing');
      assert.ok(refused.receivedBytes <= begun.length);
      if (end === 'fin') assert.equal(refused.receivedBytes, begun.length);
    }
    await withDeadline(fixture.live.whenEmpty(), 5_000, 'an empty table');
  });

  it('hands over the request of a client that half-closes at once', async () => {
    await using fixture = await ListenerFixture.open();
    using client = await connectRaw({ port: fixture.port });
    await client.write('GET / HTTP/1.0\r\n\r\n');
    client.end();
    const { socket } = await fixture.accepted.next();
    const ended = once(socket, 'end');
    assert.equal((await readBack(socket, 18)).toString(), 'GET / HTTP/1.0\r\n\r\n');
    await withDeadline(ended, 5_000, 'the half-close');
    socket.end('answer');
    assert.equal((await client.readToEnd()).bytes.toString(), 'answer');
  });

  for (const where of ['needsSniff', 'onAccepted'] as const) {
    it(`destroys only the connection on which ${where} throws`, async () => {
      let throws = true;
      const maybeThrow = (): void => {
        if (throws) throw new Error('a mistake');
      };
      await using fixture = await ListenerFixture.open(
        where === 'needsSniff'
          ? { needsSniff: () => (maybeThrow(), 'tls+http') }
          : { onAccepted: maybeThrow },
      );
      using unlucky = await connectRaw({ port: fixture.port });
      await unlucky.write('GET / HTTP/1.1\r\n');
      const refused = await fixture.refused.next();
      assert.equal(refused.code, 'bug');
      assert.equal(refused.detail, 'a mistake');
      await unlucky.readToEnd();
      throws = false;
      using lucky = await connectRaw({ port: fixture.port });
      await lucky.write('GET / HTTP/1.1\r\n');
      assert.equal((await fixture.accepted.next()).sniffed.kind, 'http1');
    });
  }

  it('ends a sniffed connection that is judged, and on a graceful end only one that is silent', async () => {
    await using fixture = await ListenerFixture.open();
    const need = (count: number): Promise<void> =>
      withDeadline(
        (async () => {
          while (fixture.listeners.counters.arrived < count) {
            await new Promise((resolve) => {
              setImmediate(resolve);
            });
          }
        })(),
        5_000,
        `${count} arrivals`,
      );
    using silent = await connectRaw({ port: fixture.port });
    await need(1);
    fixture.live.closeAllGracefully();
    assert.equal((await fixture.refused.next()).code, 'draining');
    await silent.readToEnd();

    using other = await connectRaw({ port: fixture.port });
    await need(2);
    await fixture.live.rejudge(() => 'tls_untrusted_certificate', 5);
    assert.equal((await fixture.refused.next()).code, 'tls_untrusted_certificate');
    await other.readToEnd();
  });

  it('stops accepting and leaves open connections alone', async () => {
    await using fixture = await ListenerFixture.open({ need: 'none', inboundPort: 0 });
    const { intercept, inbound } = fixture.listeners.ports;
    assert.ok(inbound !== null && inbound !== intercept);
    using client = await connectRaw({ port: intercept });
    const { socket } = await fixture.accepted.next();
    fixture.listeners.close();
    await assert.rejects(connectRaw({ port: intercept }), { code: 'ECONNREFUSED' });
    await assert.rejects(connectRaw({ port: inbound }), { code: 'ECONNREFUSED' });
    socket.write('still here');
    assert.equal((await client.readBytes(10)).toString(), 'still here');
  });

  it('opens both listeners or none, and names the address that is taken', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    assert.ok(address !== null && typeof address === 'object');
    await assert.rejects(ListenerFixture.open({ inboundPort: address.port }), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`^Cannot listen on "127\\.0\\.0\\.1:${address.port}": .*EADDRINUSE`),
      );
      return true;
    });
    taken.close();
  });

  it('forgets 500 connections that were opened and aborted at any point', async () => {
    await using fixture = await ListenerFixture.open({ maxConnections: 1_000 });
    const hello = recorded('curl');
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const client = await connectRaw({ port: fixture.port });
          await client.write(hello.subarray(0, (index * 11) % (hello.length + 1)));
          client.reset();
        }),
      );
    }
    while (fixture.accepted.length > 0) (await fixture.accepted.next()).socket.resume();
    await withDeadline(
      (async () => {
        while (fixture.listeners.counters.arrived < 500 || fixture.live.size > 0) {
          while (fixture.accepted.length > 0) (await fixture.accepted.next()).socket.resume();
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
      })(),
      5_000,
      'an empty table',
    );
    assert.deepEqual({ ...fixture.live.counts }, { sniffing: 0, handshaking: 0, http: 0, tcp: 0 });
  });
});
