/** An app that misbehaves: what the client gets, whether the request is sent again, what is logged and counted. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../support/free-port.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordedRequest } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('malformed answers are 502 UPE and are not forwarded', () => {
  checkLeaks();

  const malformed: readonly (readonly [string, string])[] = [
    ['CL and TE', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two CL', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef'],
    ['an odd coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['TE in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['no status line', 'hello\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
    ['bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['a folded field', 'HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n'],
    ['NUL in a value', 'HTTP/1.1 200 OK\r\nA: \0\r\nContent-Length: 0\r\n\r\n'],
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw'],
    ['204 with a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc'],
    ['1xx with a body', 'HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\n'],
    ['endless interim answers', 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(40)],
    ['a head without end', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(70_000)}`],
    ['too many fields', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(101)}\r\n`],
  ];
  for (const [name, answer] of malformed) {
    it(name, async () => {
      await using upstream = await startRecordingUpstream({ answer: () => answer });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      const response = await client.request(GET);
      assert.equal(response.status, 502);
      const entry = await proxy.entry();
      assert.deepEqual(
        [entry.responseFlags, entry.responseCodeDetails],
        ['UPE', 'upstream_reset_before_response_started{protocol_error}'],
      );
      assert.equal(upstream.requests.length, 1, 'it is not sent again');
      await (await upstream.connection()).ended();
      assert.equal(proxy.pool.size, 0);
      // The client did nothing wrong.
      assert.equal((await client.request(GET)).status, 502);
    });
  }

  it('a malformed chunk in an answer that has begun cuts it', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokX\r\n0\r\n\r\n',
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write(GET);
    const { bytes } = await client.readToEnd();
    assert.match(bytes.toString(), /\r\n\r\n2\r\nok\r\n$/);
    assert.equal((await proxy.entry()).responseFlags, 'UPE');
  });
});

describe('answers that break off reach the client as broken off', () => {
  checkLeaks();

  const cut: readonly (readonly [string, string, RegExp, string])[] = [
    ['Content-Length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', /\r\n\r\nabc$/, GET],
    ['chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', /3\r\nabc\r\n$/, GET],
    ['inside a chunk', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc', /3\r\nabc\r\n$/, GET],
  ];
  for (const [name, answer, expected, request] of cut) {
    it(name, async () => {
      await using upstream = await startRecordingUpstream({
        answer: ({ connection }) => {
          connection.socket.end(answer);
          return null;
        },
      });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      await client.write(request);
      const { bytes } = await client.readToEnd();
      assert.match(bytes.toString(), expected);
      const entry = await proxy.entry();
      assert.deepEqual(
        [entry.responseCode, entry.responseFlags, entry.responseCodeDetails],
        [200, 'UC', 'upstream_reset_after_response_started{upstream_truncated}'],
      );
    });
  }

  it('an HTTP/1.0 client, who reads until the close, gets a reset', async () => {
    await using upstream = await startRecordingUpstream({
      answer: ({ connection }) => {
        connection.socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', () =>
          connection.socket.resetAndDestroy(),
        );
        return null;
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write('GET / HTTP/1.0\r\n\r\n');
    assert.equal((await client.readToEnd()).ending, 'reset');
  });

  it('HEAD, 304 and an answer until the close are whole at FIN', async () => {
    await using upstream = await startRecordingUpstream({
      answer: ({ connection }) => {
        connection.socket.end('HTTP/1.1 200 OK\r\n\r\nabc');
        return null;
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).body.toString(), 'abc');
    assert.equal((await client.request(GET.replace('GET', 'HEAD'), 'HEAD')).status, 200);
  });

  it('an answer until the close to a slow reader is whole, FIN or not', async () => {
    const size = 5_000_000;
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\n\r\n');
          socket.end(Buffer.alloc(size, 'x'));
        });
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    client.pause();
    await client.write(GET);
    await proxy.until(() => proxy.sockets[0]?.writableNeedDrain === true, 'a full socket');
    await new Promise((resume) => setTimeout(resume, 100));
    const response = await client.readResponse();
    assert.equal(response.body.length, size);
    assert.equal((await proxy.entry()).responseFlags, '-');
  });
});

/** Answers the first request of the first connection, then ends it at the next one in the given way. */
function dying(kill: (request: RecordedRequest) => void): (request: RecordedRequest) => string | null {
  return (request) => {
    const { connection } = request;
    if (connection.id > 0 || !connection.bytes.subarray(1).includes('/second')) return OK;
    kill(request);
    return null;
  };
}

const reset = ({ connection }: RecordedRequest): void => {
  connection.socket.resetAndDestroy();
};

const second = (method: string, extra = ''): string =>
  `${method} /second HTTP/1.1\r\nhost: h\r\n${extra}\r\n`;

describe('a reused connection that died', () => {
  checkLeaks();

  for (const method of ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']) {
    it(`${method} without a body is sent again, once`, async () => {
      await using upstream = await startRecordingUpstream({ answer: dying(reset) });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      assert.equal((await client.request(GET)).status, 200);
      assert.equal((await client.request(second(method), method)).status, 200);
      assert.equal(proxy.retries, 1);
      assert.equal(proxy.retriesAnswered, 1);
      assert.equal(proxy.cluster.rqRxReset, 1);
      assert.deepEqual(
        upstream.requests.map(({ target, connection }) => `${connection.id} ${target}`),
        ['0 /a', '0 /second', '1 /second'],
      );
      assert.equal((await proxy.entry(1)).responseFlags, '-');
    });
  }

  for (const method of ['POST', 'PATCH', 'LOCK']) {
    it(`${method} is not sent again once a byte of it went out`, async () => {
      await using upstream = await startRecordingUpstream({ answer: dying(reset) });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      assert.equal((await client.request(GET)).status, 200);
      const response = await client.request(second(method));
      assert.equal(response.status, 503);
      assert.equal(proxy.retries, 0);
      const entry = await proxy.entry(1);
      assert.deepEqual(
        [entry.responseFlags, entry.responseCodeDetails],
        ['UC', 'upstream_reset_before_response_started{connection_termination}'],
      );
    });
  }

  it('never twice: a fresh connection that dies too is 503', async () => {
    await using upstream = await startRecordingUpstream({
      answer: (request) => {
        if (request.target !== '/second') return OK;
        reset(request);
        return null;
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    assert.equal((await client.request(second('GET'))).status, 503);
    assert.equal(upstream.requests.length, 3);
  });

  it('never on a fresh connection', async () => {
    await using upstream = await startRecordingUpstream({
      answer: (request) => {
        reset(request);
        return null;
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 503);
    assert.equal(upstream.requests.length, 1);
  });

  for (const [name, part] of [
    ['a byte of an answer', 'H'],
    ['an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n'],
  ] as const) {
    it(`never after ${name}`, async () => {
      await using upstream = await startRecordingUpstream({
        answer: dying(({ connection }) => {
          connection.socket.write(part, () => connection.socket.end());
        }),
      });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      assert.equal((await client.request(GET)).status, 200);
      assert.equal((await client.request(second('GET'))).status, 503);
      assert.equal(proxy.retries, 0);
    });
  }

  it('a PUT whose body has begun is not sent again', async () => {
    await using upstream = await startRecordingUpstream({ answer: dying(reset) });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    const response = await client.request(`${second('PUT', 'content-length: 3\r\n')}abc`);
    assert.equal(response.status, 503);
    assert.equal(proxy.retries, 0);
  });

  it('a PUT whose body comes only after the retry began arrives whole', async () => {
    const { promise: killed, resolve } = Promise.withResolvers<void>();
    await using upstream = await startRecordingUpstream({
      script: (connection) => {
        const { socket } = connection;
        socket.on('data', () => {
          const text = connection.bytes.toString();
          if (text.endsWith('/a HTTP/1.1\r\nhost: h\r\n\r\n')) socket.write(OK);
          else if (connection.id === 0) {
            socket.resetAndDestroy();
            resolve();
          } else if (text.endsWith('abcdef')) socket.write(OK);
        });
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 200);
    await client.write(second('PUT', 'content-length: 6\r\n'));
    await killed;
    await client.write('abc');
    await client.write('def');
    assert.equal((await client.readResponse()).status, 200);
    assert.equal(proxy.retries, 1);
    assert.equal(
      upstream.connections[1]!.bytes.toString(),
      'PUT /second HTTP/1.1\r\nhost: h\r\ncontent-length: 6\r\n\r\nabcdef',
    );
  });
});

describe('48: bytes that nobody asked for', () => {
  checkLeaks();

  it('an idle connection that speaks is discarded; what it said answers nobody', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).body.toString(), 'ok');
    upstream.connections[0]!.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison');
    await proxy.until(() => proxy.unsolicited === 1, 'the discard');
    await upstream.connections[0]!.ended();
    assert.equal((await client.request(GET)).body.toString(), 'ok');
    assert.equal(upstream.connections.length, 2);
    assert.equal(proxy.cluster.unsolicited, 1);
  });

  for (const [name, answer] of [
    ['after a whole answer', `${OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison`],
    ['after an answer without a body', `HTTP/1.1 204 No Content\r\n\r\n${OK}`],
    ['after the last chunk', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nX'],
    ['a body longer than its Content-Length', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokmore'],
    ['a body after HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison'],
  ] as const) {
    it(`${name}: the answer goes out, the rest is discarded with the connection`, async () => {
      await using upstream = await startRecordingUpstream({ answer: () => answer });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      const method = name.includes('HEAD') ? 'HEAD' : 'GET';
      for (let i = 0; i < 2; i++) {
        const response = await client.request(GET.replace('GET', method), method);
        assert.doesNotMatch(response.body.toString(), /poison|more|X/);
      }
      assert.equal((await client.readQuiet(20)).length, 0);
      assert.equal(upstream.connections.length, 2);
      assert.equal(proxy.unsolicited, 2);
    });
  }

  it('an app that speaks first on a new connection is not taken for an answer', async () => {
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.write('220 smtp ready\r\n');
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    assert.equal((await client.request(GET)).status, 502);
  });
});

describe('an app that is not there', () => {
  checkLeaks();

  it('is 503 UF with the reason in the log and not in the answer', async () => {
    const port = await freePort();
    await using proxy = await startProxy({ upstreamPort: port });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 503);
    assert.doesNotMatch(response.body.toString(), /ECONN|127/);
    const entry = await proxy.entry();
    assert.equal(entry.responseFlags, 'UF');
    assert.equal(entry.upstreamTransportFailureReason, 'delayed_connect_error:_Connection_refused');
    assert.equal(proxy.cluster.cxConnectFail, 1);
    assert.equal(proxy.http.rq5xx, 1);
    assert.equal(proxy.logs[0]!.code, 'upstream_connect_failed');
    // The client keeps its connection.
    assert.equal((await client.request(GET)).status, 503);
  });
});
