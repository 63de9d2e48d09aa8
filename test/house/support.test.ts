/** The tests' own tools: a tool that lies makes every test that uses it pass for nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { freePort } from '../support/free-port.ts';
import { activeResources, assertNoLeak, checkLeaks, leaked } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { spawnPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

describe('leak check', () => {
  it('names a server and a timer that were left behind, and passes once they are gone', async () => {
    const before = activeResources();
    const server = createServer();
    const timer = setTimeout(() => undefined, 60_000);
    try {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      assert.equal(leaked(before), 'TCPServerWrap +1, Timeout +1');
      await assert.rejects(assertNoLeak(before, 20), /TCPServerWrap \+1, Timeout \+1/);
    } finally {
      server.close();
      clearTimeout(timer);
    }
    await assertNoLeak(before);
  });
});

describe('raw client and recording upstream', () => {
  checkLeaks();

  it('carry bytes in cuts, and the upstream keeps them exactly', async () => {
    await using upstream = await startRecordingUpstream();
    using client = await connectRaw({ port: upstream.port });
    const request = 'POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc';
    await client.writeInCuts(request, [1, 20, request.length - 1]);
    const response = await client.readResponse();
    assert.equal(response.status, 200);
    assert.equal(response.body.toString(), 'ok');
    assert.equal(upstream.text, request);
    const seen = await upstream.request(0);
    assert.deepEqual([seen.method, seen.target, seen.body.toString()], ['POST', '/a', 'abc']);
  });

  const smuggled = 'GET /admin HTTP/1.1\r\nHost: h\r\n\r\n';
  for (const [name, head, prefer] of [
    [
      'CL.TE',
      `Content-Length: ${smuggled.length + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'transfer-encoding',
    ],
    ['TE.CL', `Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 'content-length'],
    ['bare LF', 'Content-Length: 0\n\n', 'content-length'],
    ['odd coding', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n', 'transfer-encoding'],
    ['repeated length', 'Content-Length: 0\r\nContent-Length: 34\r\n\r\n', 'content-length'],
  ] as const) {
    it(`fall for ${name}: the hidden request shows up`, async () => {
      await using upstream = await startRecordingUpstream({ prefer });
      using client = await connectRaw({ port: upstream.port });
      await client.write(`POST / HTTP/1.1\r\nHost: h\r\n${head}${smuggled}`);
      assert.equal((await upstream.request(1)).target, '/admin');
    });
  }

  it('read chunked answers with trailers, interim answers and close-delimited bodies', async () => {
    const answers = [
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nx-t: 1\r\n\r\n',
      'HTTP/1.0 404 Not Found\r\n\r\nrest',
    ];
    await using upstream = await startRecordingUpstream({
      answer: ({ connection, target }) => {
        const answer = answers[Number(target.slice(1))] ?? '';
        if (target === '/1') connection.socket.end(answer);
        return target === '/1' ? null : answer;
      },
    });
    using client = await connectRaw({ port: upstream.port });
    const first = await client.request('GET /0 HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.deepEqual(
      [first.interim[0]?.status, first.framing, first.body.toString()],
      [100, 'chunked', 'abc'],
    );
    assert.deepEqual(first.trailers, [['x-t', '1']]);
    const second = await client.request('GET /1 HTTP/1.1\r\nHost: h\r\n\r\n');
    assert.deepEqual([second.status, second.framing, second.body.toString()], [404, 'close', 'rest']);
  });

  it('tell a reset from an end, on both sides', async () => {
    await using upstream = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.once('data', () => {
          socket.resetAndDestroy();
        });
      },
    });
    using client = await connectRaw({ port: upstream.port });
    await client.write('x');
    assert.equal((await client.readToEnd()).ending, 'reset');
    await using listening = await startRecordingUpstream();
    using leaver = await connectRaw({ port: listening.port });
    const connection = await listening.connection();
    leaver.reset();
    assert.equal(await connection.ended(), 'reset');
  });

  it('say what came instead when a wait runs out', async () => {
    await using upstream = await startRecordingUpstream({ answer: () => 'HTTP/1.1 200 OK\r\n' });
    using client = await connectRaw({ port: upstream.port, timeoutMs: 50 });
    await assert.rejects(
      client.request('GET / HTTP/1.1\r\nHost: h\r\n\r\n'),
      /waited 50 ms .* 17 bytes "HTTP\/1.1 200 OK/,
    );
  });

  it('reject a connection that is refused', async () => {
    await assert.rejects(connectRaw({ port: await freePort() }), { code: 'ECONNREFUSED' });
  });
});

describe('echo app', () => {
  checkLeaks();

  it('answers what it saw', async () => {
    await using app = await startEchoApp();
    using client = await connectRaw({ port: app.port });
    const response = await client.request(
      'PUT /p?q HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nhi',
    );
    const echo = JSON.parse(response.body.toString()) as Echo;
    assert.deepEqual(
      [echo.method, echo.target, echo.body, echoedHeader(echo, 'x-a')],
      ['PUT', '/p?q', 'hi', '1'],
    );
    assert.deepEqual(app.seen, [echo]);
  });
});

describe('spawned process', () => {
  checkLeaks();

  it('gives the ready line, log lines and the exit code', async () => {
    using folder = new TempFolder();
    const script = folder.write(
      'fake.mjs',
      `process.on('SIGTERM', () => process.exit(3));
       console.error('{"level":30,"msg":"hello"}');
       console.log('{"ready":true,"pid":1,"ports":{"admin":7}}');
       setInterval(() => {}, 1000);`,
    );
    await using fake = spawnPostern([], { command: [process.execPath, script] });
    assert.equal((await fake.ready()).ports.admin, 7);
    assert.equal((await fake.waitForLog((line) => line['msg'] === 'hello'))['level'], 30);
    assert.deepEqual(await fake.stop(), { code: 3, signal: null });
  });

  it('fails with its stderr when it ends before it is ready', async () => {
    await using fake = spawnPostern([], {
      command: [process.execPath, '--eval', 'console.error("no such file"); process.exit(1)'],
    });
    await assert.rejects(fake.ready(), /"code":1.*no such file/);
  });
});
