/** Bodies and answers of every framing, both ways, with the exact bytes on either side. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordingUpstreamOptions } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

interface Result {
  /** What the client got first, without the fields that every answer has. */
  readonly got: string;
  /** What the app saw of the first request. */
  readonly seen: string;
  readonly ending: string | null;
  /** The same request once more went over the same two connections. */
  readonly reused: boolean;
}

function answering(answer: string, closeAfter = false): RecordingUpstreamOptions {
  return {
    answer: ({ connection }) => {
      if (!closeAfter) return answer;
      connection.socket.end(Buffer.from(answer, 'latin1'));
      return null;
    },
  };
}

/** Sends a request twice on one connection; `got` is known to end where the first answer does. */
async function twice(request: string, answer: string, got: string): Promise<Result> {
  await using upstream = await startRecordingUpstream(answering(answer));
  await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
  using client = await proxy.connect();
  await client.write(request);
  const oneHead = got.indexOf('\r\n\r\n') === got.length - 4;
  const first = await client.readUntil(oneHead ? '\r\n\r\n' : got.slice(-10));
  const seen = upstream.text;
  await client.write(request);
  client.end();
  const { bytes, ending } = await client.readToEnd();
  assert.ok(bytes.length > 0, 'no second answer');
  const reused = upstream.connections.length === 1 && upstream.text === seen + seen;
  return { got: strip(first.toString('latin1')), seen, ending, reused };
}

/** Sends a request and takes all that comes until the end. */
async function once(request: string, answer: string, closeAfter: boolean): Promise<Result> {
  await using upstream = await startRecordingUpstream(answering(answer, closeAfter));
  await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
  using client = await proxy.connect();
  await client.write(request);
  if (!closeAfter) client.end();
  const { bytes, ending } = await client.readToEnd();
  return { got: strip(bytes.toString('latin1')), seen: upstream.text, ending, reused: false };
}

function strip(answer: string): string {
  return answer.replaceAll(/(date|server|x-envoy-upstream-service-time): [^\r]*\r\n/g, '');
}

const HOST = 'Host: h\r\n';

describe('framing of requests and answers', () => {
  checkLeaks();

  const kept: readonly (readonly [string, string, string, string, string])[] = [
    [
      'Content-Length both ways',
      `POST /a HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`,
      'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok',
      'POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc',
      'HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok',
    ],
    [
      'content-length: 0 stays',
      `POST /a HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`,
      'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'chunked both ways with trailers',
      `POST /a HTTP/1.1\r\n${HOST}Transfer-Encoding: Chunked\r\nTrailer: x-sum\r\n\r\n3;a=b\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Type: text/plain\r\n\r\n`,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nok\r\n00;a="b"\r\nX-Sum: 2\r\n\r\n',
      'POST /a HTTP/1.1\r\nhost: h\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n',
      'HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 2\r\n\r\n',
    ],
    [
      'an empty chunked body',
      `PUT /a HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'PUT /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'HEAD keeps the length that GET would have',
      `HEAD /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n',
      'HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n',
    ],
    [
      'HEAD of a chunked answer',
      `HEAD /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
      'HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 200 OK\r\n\r\n',
    ],
    [
      '204 has no body and no length',
      `DELETE /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n',
      'DELETE /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 204 No Content\r\n\r\n',
    ],
    [
      '304 keeps its stated length',
      `GET /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: "x"\r\n\r\n',
      'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 304 Not Modified\r\netag: "x"\r\ncontent-length: 7\r\n\r\n',
    ],
    [
      '103 and 100 are passed on',
      `GET /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 102 \r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'an odd reason and a status without one',
      `GET /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 299 Gar \xe9 nicht\r\nContent-Length: 0\r\n\r\n',
      'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 299 Gar \xe9 nicht\r\ncontent-length: 0\r\n\r\n',
    ],
    [
      'HTTP/1.0 with keep-alive is told so',
      `GET /a HTTP/1.0\r\n${HOST}Connection: Keep-Alive\r\n\r\n`,
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok',
    ],
    [
      'repeated answer fields stay apart',
      `GET /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n',
      'GET /a HTTP/1.1\r\nhost: h\r\n\r\n',
      'HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\ncontent-length: 0\r\n\r\n',
    ],
  ];
  for (const [name, request, answer, seen, got] of kept) {
    it(`${name}; both connections are kept`, async () => {
      const result = await twice(request, answer, got);
      assert.equal(result.seen, seen);
      assert.equal(result.got, got);
      assert.ok(result.reused, 'the second request did not take the same upstream connection');
    });
  }

  it('HTTP/1.0 without keep-alive ends with the answer, and a missing Host is filled', async () => {
    const result = await once(
      'GET /a HTTP/1.0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      true,
    );
    assert.match(result.seen, /^GET \/a HTTP\/1\.1\r\nhost: 127\.0\.0\.1:\d+\r\n\r\n$/);
    assert.equal(result.got, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
    assert.equal(result.ending, 'end');
  });

  it('HTTP/1.0 gets a chunked answer until the close, without interim heads', async () => {
    const result = await once(
      'GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: 1\r\n\r\n',
      false,
    );
    assert.equal(result.got, 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok');
  });

  it('an answer until the close becomes chunked for HTTP/1.1', async () => {
    const result = await once(
      `GET /a HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
      'HTTP/1.0 200 OK\r\n\r\nall of it',
      true,
    );
    assert.equal(
      result.got,
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n9\r\nall of it\r\n0\r\n\r\n',
    );
  });

  it('a half-close after the request is no abort', async () => {
    const result = await once(
      `GET /a HTTP/1.1\r\n${HOST}\r\n`,
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
      false,
    );
    assert.equal(result.got, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok');
  });

  it('100-continue: the app is asked, its 100 comes back, then the body goes', async () => {
    await using upstream = await startRecordingUpstream({
      script: (connection) => {
        const asked = connection
          .until((bytes) => bytes.includes('\r\n\r\n'), 'the head')
          .then(() => {
            connection.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
            return connection.until((bytes) => bytes.toString().endsWith('abc'), 'the body');
          });
        asked.then(
          () => connection.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
          () => connection.socket.destroy(),
        );
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    await client.write(`POST /a HTTP/1.1\r\n${HOST}Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n`);
    assert.equal((await client.readUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
    assert.equal(
      upstream.text,
      'POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n',
    );
    await client.write('abc');
    assert.equal((await client.readResponse()).status, 200);
  });

  it('100-continue: an app that refuses at once gets no body, and the connection ends', async () => {
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.once('data', () => socket.write('HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n'));
      },
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    await client.write(`POST /a HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`);
    const { bytes, ending } = await client.readToEnd();
    assert.match(bytes.toString(), /^HTTP\/1\.1 413 /);
    assert.equal(ending, 'end');
    assert.doesNotMatch(upstream.text, /abc/);
  });
});

describe('early answers', () => {
  checkLeaks();

  /** Answers at the head, before any body. */
  const EARLY: RecordingUpstreamOptions = {
    script: ({ socket }) => {
      socket.once('data', () => socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno'));
    },
  };

  it('the rest of a small request is dropped and the client keeps its connection', async () => {
    await using upstream = await startRecordingUpstream(EARLY);
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    await client.write(`POST /a HTTP/1.1\r\n${HOST}Content-Length: 30000\r\n\r\nabc`);
    assert.equal((await client.readResponse()).status, 403);
    await client.write('x'.repeat(29_997) + `POST /b HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`);
    assert.equal((await client.readResponse()).status, 403);
    assert.equal(proxy.sockets.length, 1);
    // A connection with half a request on it takes no other request.
    assert.equal(upstream.connections.length, 2);
    assert.match(upstream.connections[1]!.bytes.toString(), /^POST \/b /);
  });

  it('after a large request the answer is delivered and the connection ends', async () => {
    await using upstream = await startRecordingUpstream(EARLY);
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    await client.write(`POST /a HTTP/1.1\r\n${HOST}Content-Length: 90000000\r\n\r\nabc`);
    const response = await client.readResponse();
    assert.equal(response.status, 403);
    assert.equal(response.body.toString(), 'no');
    assert.equal((await client.readToEnd()).ending, 'end');
    await (await upstream.connection()).ended();
  });

  it('a denial of a large request says close, and the answer survives what the client still sends', async () => {
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
            body: 'RBAC: access denied',
            headers: [],
            details: 'denied',
            why: '',
          }),
        },
      ],
    });
    using client = await proxy.connect();
    await client.write(`POST /a HTTP/1.1\r\n${HOST}Content-Length: 90000000\r\n\r\n`);
    await client.write('x'.repeat(500_000));
    const response = await client.readResponse();
    assert.equal(response.status, 403);
    assert.equal(response.header('connection'), 'close');
    assert.equal(response.body.toString(), 'RBAC: access denied');
    assert.equal(upstream.connections.length, 0);
  });
});
