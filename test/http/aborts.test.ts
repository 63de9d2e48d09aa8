/** Either side goes at every stage: the other is let go, everything is recorded once, nothing is left. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('a client that goes', () => {
  checkLeaks();

  const ways = [
    ['by reset', 'reset'],
    ['by FIN', 'end'],
  ] as const;

  for (const [name, way] of ways) {
    it(`${name} before a byte is no request`, async () => {
      await using upstream = await startRecordingUpstream();
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      await proxy.until(() => proxy.sockets.length === 1, 'the connection');
      client[way]();
      await proxy.until(() => proxy.closed === 1, 'its end');
      assert.equal(proxy.entries.length, 0);
    });

    it(`${name} inside a head is no request`, async () => {
      await using upstream = await startRecordingUpstream();
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      await client.write('GET /a HTTP/1.1\r\nhos');
      await proxy.until(() => (proxy.sockets[0]?.bytesRead ?? 0) > 0, 'the bytes');
      client[way]();
      await proxy.until(() => proxy.closed === 1, 'its end');
      assert.equal(upstream.connections.length, 0);
    });

    it(`${name} inside a body cuts the request at the app, without a word of an end`, async () => {
      await using upstream = await startRecordingUpstream();
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      await client.write('POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n');
      const connection = await upstream.connection();
      await connection.until((bytes) => bytes.includes('abc'), 'the first chunk');
      client[way]();
      await connection.ended();
      assert.equal(upstream.requests.length, 0);
      const entry = await proxy.entry();
      assert.deepEqual(
        [entry.responseCode, entry.responseFlags, entry.responseCodeDetails],
        [0, 'DC', 'downstream_remote_disconnect'],
      );
      assert.equal(proxy.http.rqRxReset, 1);
    });
  }

  it('by reset while the app thinks: the app is let go', async () => {
    await using upstream = await startRecordingUpstream({ answer: () => null });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(GET);
    await upstream.request();
    client.reset();
    await upstream.connections[0]!.ended();
    assert.equal((await proxy.entry()).responseFlags, 'DC');
    assert.equal(proxy.pool.size, 0);
  });

  it('by reset inside the answer: the app is let go', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc',
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(GET);
    await client.readUntil('abc');
    client.reset();
    await upstream.connections[0]!.ended();
    const entry = await proxy.entry();
    assert.deepEqual([entry.responseCode, entry.responseFlags], [200, 'DC']);
  });

  it('by reset with pipelined requests: those not begun never reach the app', async () => {
    await using upstream = await startRecordingUpstream({ answer: () => null });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(GET.repeat(5));
    await upstream.request();
    client.reset();
    await upstream.connections[0]!.ended();
    assert.equal(upstream.requests.length, 1);
    assert.equal(proxy.entries.length, 1);
  });

  it('by FIN inside a pipelined request still gets the answers that are owed', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(`${GET}POST /b HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc`);
    client.end();
    const { bytes } = await client.readToEnd();
    assert.equal(bytes.toString().match(/HTTP\/1\.1 200/g)?.length, 1);
    assert.doesNotMatch(upstream.text, /\/a[^]*abc[^]*HTTP[^]*HTTP/);
  });

  it('a malformed request behind good ones is refused after their answers', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(`${GET}${GET}GET /\0 HTTP/1.1\r\n\r\n${GET}`);
    const { bytes } = await client.readToEnd();
    assert.deepEqual(bytes.toString().match(/HTTP\/1\.1 \d+/g), [
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 400',
    ]);
    assert.equal(upstream.requests.length, 2);
  });

  it('a slow client of the last answer on a connection gets all of it', async () => {
    const size = 12_000_000;
    await using upstream = await startRecordingUpstream({
      answer: () => `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect(20_000);
    client.pause();
    await client.write(GET.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'));
    await proxy.until(() => proxy.sockets[0]?.writableNeedDrain === true, 'a full socket');
    // Longer than a lingering close lasts: the answer is not yet with the kernel.
    await new Promise((resume) => setTimeout(resume, 1_300));
    const response = await client.readResponse();
    assert.equal(response.body.length, size);
  });

  it('a client that ended and does not read its answer is given up after bodyStallTimeoutMs', async () => {
    const size = 8_000_000;
    await using upstream = await startRecordingUpstream({
      answer: () => `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 150 },
    });
    using client = await proxy.connect();
    client.pause();
    await client.write(GET);
    client.end();
    await proxy.until(() => proxy.closed === 1, 'the end');
    assert.equal(proxy.entries.length, 1);
  });
});

describe('back-pressure', () => {
  checkLeaks();

  it('a slow reader of the answer stalls the app, and a bounded number of bytes is held', async () => {
    const size = 32 * 1024 * 1024;
    let written = 0;
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
          const block = Buffer.alloc(65_536, 'x');
          const pump = (): void => {
            while (written < size) {
              written += block.length;
              if (!socket.write(block)) {
                socket.once('drain', pump);
                return;
              }
            }
          };
          pump();
        });
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect(30_000);
    client.pause();
    await client.write(GET);
    await settled(() => written);
    assert.ok(written < 25_000_000, `the app could write ${written} bytes`);
    assert.ok(proxy.sockets[0]!.writableLength < 300_000, 'more than a few chunks are held');
    let received = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    const entry = proxy.until(() => proxy.entries.length === 1, 'the end', 30_000);
    client.socket.resume();
    await entry;
    assert.equal(proxy.entries[0]!.bytesSent, size);
    assert.ok(received > 0);
    // The connections are still good: what was paused is resumed.
    assert.equal(proxy.pool.idleCount, 1);
  });

  it('an app that reads slowly stalls the client, and a bounded number of bytes is held', async () => {
    const size = 32 * 1024 * 1024;
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.pause();
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect(30_000);
    let written = 0;
    client.socket.write(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: ${size}\r\n\r\n`);
    const block = Buffer.alloc(65_536, 'x');
    const pump = (): void => {
      while (written < size) {
        written += block.length;
        if (!client.socket.write(block)) {
          client.socket.once('drain', pump);
          return;
        }
      }
    };
    pump();
    await settled(() => written);
    assert.ok(written < 25_000_000, `the client could write ${written} bytes`);
    const { socket } = await upstream.connection();
    let received = 0;
    socket.removeAllListeners('data');
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received >= size) socket.write(OK);
    });
    socket.resume();
    assert.equal((await client.readResponse()).status, 200);
    assert.equal(proxy.entries[0]!.bytesReceived, size);
  });

  it('an upstream connection whose answer was paused on its last byte serves the next request', async () => {
    const size = 400_000;
    await using upstream = await startRecordingUpstream({
      answer: () => `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n${'x'.repeat(size)}`,
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    for (let round = 0; round < 5; round++) {
      using client = await proxy.connect();
      client.pause();
      await client.write(GET);
      await proxy.until(() => proxy.http.rqTotal === round + 1, 'the request');
      await settled(() => proxy.sockets.at(-1)!.bytesWritten);
      assert.equal((await client.readResponse()).body.length, size);
    }
    assert.equal(upstream.connections.length, 1);
  });
});

describe('drain', () => {
  checkLeaks();

  it('an idle connection ends at once, a busy one after its answer, which says close', async () => {
    let answer: (() => void) | null = null;
    await using upstream = await startRecordingUpstream({
      answer: ({ connection }) => {
        answer = () => connection.socket.write(OK);
        return null;
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using idle = await proxy.connect();
    using busy = await proxy.connect();
    await proxy.until(() => proxy.connections.length === 2, 'two connections');
    await busy.write(GET);
    await upstream.request();
    for (const connection of proxy.connections) connection.drain();
    assert.equal((await idle.readToEnd()).ending, 'end');
    answer!();
    const response = await busy.readResponse();
    assert.equal(response.header('connection'), 'close');
    assert.equal((await busy.readToEnd()).ending, 'end');
  });
});

/** Waits until a figure stands still. */
async function settled(read: () => number): Promise<void> {
  let before = -1;
  while (before !== read()) {
    before = read();
    await new Promise((resume) => setTimeout(resume, 100));
  }
}
