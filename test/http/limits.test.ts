/** Every limit of the request path, hit from outside. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { fillBacklog } from './full-backlog.ts';
import { startProxy } from './proxy-fixture.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n';

function headOf(fields: number): string {
  return `GET / HTTP/1.1\r\nhost: h\r\n${'a: b\r\n'.repeat(fields - 1)}\r\n`;
}

describe('limits of heads', () => {
  checkLeaks();

  it('maxHeadBytes: exactly that many pass, one more is 431, and the app sees nothing of it', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      limits: { maxHeadBytes: 1_000 },
    });
    using client = await proxy.connect();
    const frame = 'GET /a HTTP/1.1\r\nhost: h\r\nx: \r\n\r\n';
    const head = (bytes: number): string => frame.replace('x: ', `x: ${'y'.repeat(bytes - frame.length)}`);
    assert.equal((await client.request(head(1_000))).status, 200);
    const refused = await client.request(head(1_001));
    assert.equal(refused.status, 431);
    assert.equal(refused.header('connection'), 'close');
    assert.equal((await client.readToEnd()).ending, 'end');
    assert.equal(upstream.requests.length, 1);
    assert.equal((await proxy.entry(1)).responseCodeDetails, 'head_too_large');
    assert.equal(proxy.entries[1]!.responseFlags, 'DPE');
    assert.equal(proxy.http.codecRefused['head_too_large'], 1);
  });

  it('maxHeaders: exactly that many pass, one more is 431', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    assert.equal((await client.request(headOf(100))).status, 200);
    assert.equal((await client.request(headOf(101))).status, 431);
    assert.equal(upstream.requests.length, 1);
  });

  it('headTimeoutMs: a head that drips in does not move its deadline; then 408', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, limits: { headTimeoutMs: 150 } });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    const begin = performance.now();
    await client.write('GET /slow HTTP/1.1\r\nx: ');
    const drip = setInterval(() => {
      client.socket.write('y');
    }, 20);
    try {
      const response = await client.readResponse();
      assert.equal(response.status, 408);
      assert.equal(response.header('connection'), 'close');
      assert.ok(performance.now() - begin >= 140);
    } finally {
      clearInterval(drip);
    }
    assert.equal((await proxy.entry(1)).responseCodeDetails, 'head_timeout');
    assert.equal(upstream.requests.length, 1);
  });

  it('headTimeoutMs counts from the end of the answer for a head that came ahead', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, limits: { headTimeoutMs: 100 } });
    using client = await proxy.connect();
    await client.write(`${GET}GET /half HTTP/1.1\r\n`);
    assert.equal((await client.readResponse()).status, 200);
    assert.equal((await client.readResponse()).status, 408);
  });
});

describe('limits of bodies', () => {
  checkLeaks();

  it('bodyStallTimeoutMs: a request body that stalls is 408, and the app sees it cut', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 100 },
    });
    using client = await proxy.connect();
    await client.write('POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nabc');
    const response = await client.readResponse();
    assert.equal(response.status, 408);
    assert.equal(response.header('connection'), 'close');
    await (await upstream.connection()).ended();
    assert.equal(upstream.requests.length, 0);
    const entry = await proxy.entry();
    assert.deepEqual([entry.responseCode, entry.responseCodeDetails], [408, 'body_stalled']);
  });

  it('bodyStallTimeoutMs: each byte of the body moves the deadline', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 200 },
    });
    using client = await proxy.connect();
    await client.write('POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n\r\n');
    for (let i = 0; i < 6; i++) {
      await new Promise((resume) => setTimeout(resume, 60));
      await client.write('x');
    }
    assert.equal((await client.readResponse()).status, 200);
  });

  it('bodyStallTimeoutMs: an app that never answers is 504', async () => {
    await using upstream = await startRecordingUpstream({ answer: () => null });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 100 },
    });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 504);
    const entry = await proxy.entry();
    assert.deepEqual([entry.responseFlags, entry.responseCodeDetails], ['UT', 'upstream_stalled']);
    await (await upstream.connection()).ended();
    // The client did nothing wrong and keeps its connection.
    assert.equal((await client.request(GET)).status, 504);
  });

  it('bodyStallTimeoutMs: an app that does not read is 504, not 408', async () => {
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.pause();
      },
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 300 },
    });
    using client = await proxy.connect(20_000);
    client.socket.write('POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 50000000\r\n\r\n');
    client.socket.write(Buffer.alloc(30_000_000));
    const response = await client.readResponse();
    assert.equal(response.status, 504);
    assert.equal(response.header('connection'), 'close');
  });

  it('bodyStallTimeoutMs: an answer that stalls in its body is cut', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc',
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 100 },
    });
    using client = await proxy.connect();
    await client.write(GET);
    const { bytes } = await client.readToEnd();
    assert.match(bytes.toString(), /content-length: 10\r\n\r\nabc$/);
    const entry = await proxy.entry();
    assert.deepEqual(
      [entry.responseCode, entry.responseFlags, entry.responseCodeDetails],
      [200, 'UT', 'upstream_reset_after_response_started{upstream_stalled}'],
    );
  });

  it('bodyStallTimeoutMs: a client that does not take its answer is reset, and the app is let go', async () => {
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.on('error', () => undefined);
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n');
          socket.write(Buffer.alloc(50_000_000));
        });
      },
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { bodyStallTimeoutMs: 150 },
    });
    using client = await proxy.connect();
    client.pause();
    await client.write(GET);
    await proxy.until(() => proxy.closed === 1, 'the end of the slow reader');
    const entry = await proxy.entry();
    assert.deepEqual([entry.responseCode, entry.responseCodeDetails], [200, 'body_stalled']);
    await (await upstream.connection()).ended();
  });

  it('a client that pipelines and never reads is stopped: requests are not carried out without end', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => `HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n${'x'.repeat(20_000)}`,
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    client.pause();
    client.socket.write(GET.repeat(5_000));
    await proxy.until(() => upstream.requests.length > 10, 'the first requests');
    let before = -1;
    while (before !== upstream.requests.length) {
      before = upstream.requests.length;
      await new Promise((resume) => setTimeout(resume, 200));
    }
    // What the kernels hold is some megabytes; without the bound all 5,000 would be carried out.
    assert.ok(upstream.requests.length < 1_500, `${upstream.requests.length} requests were carried out`);
    assert.ok(
      proxy.sockets[0]!.writableLength < 300_000,
      `${proxy.sockets[0]!.writableLength} bytes are held`,
    );
  });

  it('a client that pipelines denied requests and never reads holds no growing queue', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        {
          name: 'deny',
          onRequest: () => ({
            kind: 'deny',
            code: 'filter_denied',
            status: 403,
            body: 'x'.repeat(1_000),
            headers: [],
            details: 'denied',
            why: '',
          }),
        },
      ],
    });
    using client = await proxy.connect();
    client.pause();
    for (let i = 0; i < 20; i++) client.socket.write(GET.repeat(2_000));
    await proxy.until(() => proxy.http.rqTotal > 100, 'the first requests');
    let before = -1;
    while (before !== proxy.http.rqTotal) {
      before = proxy.http.rqTotal;
      await new Promise((resume) => setTimeout(resume, 200));
    }
    assert.ok(proxy.http.rqTotal < 20_000, `${proxy.http.rqTotal} requests were answered`);
    assert.ok(proxy.sockets[0]!.writableLength < 200_000);
  });
});

describe('limits of connections', () => {
  checkLeaks();

  it('maxPipelined: so many are read ahead, then reading stops', async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { maxPipelined: 4 },
      filters: [{ name: 'hold', onRequest: () => held.then(() => ({ kind: 'continue' })) }],
    });
    using client = await proxy.connect();
    const before = process.memoryUsage().arrayBuffers;
    // A fifth request is malformed: were it read, it would be refused after the four.
    client.socket.write(GET.repeat(4) + GET.repeat(500_000));
    await proxy.until(() => proxy.sockets[0]?.isPaused() === true, 'reading to stop');
    assert.ok(proxy.sockets[0]!.bytesRead < 2_000_000);
    assert.ok(process.memoryUsage().arrayBuffers - before < 100_000_000);
    assert.equal(proxy.http.rqTotal, 1);
    release();
    for (let i = 0; i < 10; i++) assert.equal((await client.readResponse()).status, 200);
  });

  it('idleTimeoutMs: an idle client connection is ended with FIN', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, limits: { idleTimeoutMs: 100 } });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    assert.equal((await client.readToEnd()).ending, 'end');
    assert.equal(proxy.entries.length, 1, 'an idle close is no request');
  });

  it('idleTimeoutMs: an idle upstream connection is closed', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, limits: { idleTimeoutMs: 100 } });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    await (await upstream.connection()).ended();
    await proxy.until(() => proxy.pool.size === 0, 'an empty pool');
  });

  it('an announced keep-alive of the app shortens the wait', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\nkeep-alive: timeout=1\r\ncontent-length: 0\r\n\r\n',
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    await (await upstream.connection()).ended();
    assert.equal((await client.request(GET)).status, 200);
    assert.equal(upstream.connections.length, 2);
  });

  it('maxIdlePerEndpoint: beyond it the oldest idle connection goes', async () => {
    await using upstream = await startRecordingUpstream({ answer: () => null });
    await using proxy = await startProxy({ upstreamPort: upstream.port, limits: { maxIdlePerEndpoint: 2 } });
    const clients = await Promise.all([proxy.connect(), proxy.connect(), proxy.connect()]);
    await Promise.all(clients.map((client) => client.write(GET)));
    await upstream.request(2);
    assert.equal(proxy.pool.size, 3);
    for (const { socket } of upstream.connections)
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    await Promise.all(clients.map((client) => client.readResponse()));
    await proxy.until(() => proxy.pool.size === 2, 'two idle connections');
    assert.equal(proxy.pool.idleCount, 2);
    for (const client of clients) client.close();
  });

  it('connectTimeoutMs: an app that does not accept is 503 UF, and the attempt is given up', async () => {
    await using full = await fillBacklog();
    await using proxy = await startProxy({ upstreamPort: full.port, limits: { connectTimeoutMs: 150 } });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 503);
    assert.match(response.body.toString(), /reset reason: connection timeout$/);
    const entry = await proxy.entry();
    assert.deepEqual(
      [entry.responseFlags, entry.responseCodeDetails],
      ['UF', 'upstream_reset_before_response_started{connection_timeout}'],
    );
    assert.equal(entry.upstreamTransportFailureReason, '');
    assert.match(JSON.stringify(proxy.logs[0]!.fields), /did not accept in 150 ms/);
    assert.deepEqual([proxy.cluster.cxConnectTimeout, proxy.cluster.cxConnectFail], [1, 1]);
  });

  it('a client that goes while the app is dialled takes the attempt with it', async () => {
    await using full = await fillBacklog();
    await using proxy = await startProxy({ upstreamPort: full.port });
    using client = await proxy.connect();
    await client.write(GET);
    await proxy.until(() => proxy.http.rqTotal === 1, 'the request');
    client.reset();
    const entry = await proxy.entry();
    assert.deepEqual(
      [entry.responseCode, entry.responseFlags, entry.responseCodeDetails],
      [0, 'DC', 'downstream_remote_disconnect'],
    );
  });
});
