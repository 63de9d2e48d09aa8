/** ext_authz over HTTP: the check that the provider gets, and what each of its answers does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordingUpstream } from '../support/recording-upstream.ts';
import { ask, startGuarded } from './ext-authz-fixture.ts';
import type { Guarded, GuardedOptions } from './ext-authz-fixture.ts';

checkLeaks();

interface Pair extends AsyncDisposable {
  readonly authz: RecordingUpstream;
  readonly guarded: Guarded;
}

/** `answer`: what the provider answers; it is asked over one connection after the other. */
async function startPair(
  answer: string | null,
  provider: GuardedOptions['provider'] = {},
  more: Partial<GuardedOptions> = {},
): Promise<Pair> {
  const authz = await startRecordingUpstream({ answer: () => answer });
  const guarded = await startGuarded({ port: authz.port, provider: { kind: 'http', ...provider }, ...more });
  return {
    authz,
    guarded,
    [Symbol.asyncDispose]: async () => {
      await guarded[Symbol.asyncDispose]();
      await authz.close();
    },
  };
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

const REQUEST = [
  'authorization: Basic x',
  'x-in: 1',
  'x-in: 2',
  'cookie: a=1',
  'cookie: b=2',
  'x-prefix: p',
  'x-in2: client',
  'x-other: o',
  'x-up: spoof',
  'x-envoy-auth-partial-body: spoof',
  '',
].join('\r\n');

describe('the check that an HTTP provider gets', () => {
  it('is the method, the path and authorization alone, if nothing else is asked for', async () => {
    await using pair = await startPair(OK);
    assert.equal((await ask(pair.guarded.proxy, '/a/../b?q', REQUEST)).status, 200);
    assert.equal(
      pair.authz.text,
      'GET /b?q HTTP/1.1\r\nhost: httpbin\r\nauthorization: Basic x\r\ncontent-length: 0\r\n\r\n',
    );
  });

  it('has the fields of the list, repeated ones joined, and fixed ones over them', async () => {
    await using pair = await startPair(OK, {
      pathPrefix: '/check',
      includeRequestHeadersInCheck: ['x-in', 'cookie', 'x-pre*', '*-in2'],
      includeAdditionalHeadersInCheck: [
        'x-add',
        '1',
        'x-in2',
        'over',
        'content-length',
        '7',
        'connection',
        'close',
      ],
    });
    await ask(pair.guarded.proxy, '/b', REQUEST);
    assert.equal(
      pair.authz.text,
      'GET /check/b HTTP/1.1\r\nhost: httpbin\r\nauthorization: Basic x\r\nx-in: 1,2\r\ncookie: a=1,b=2\r\n' +
        'x-prefix: p\r\nx-in2: over\r\nx-add: 1\r\ncontent-length: 0\r\n\r\n',
    );
  });

  it('keeps a path that looks like an authority what it is', async () => {
    await using pair = await startPair(OK);
    await ask(pair.guarded.proxy, '//admin/secret');
    assert.match(pair.authz.text, /^GET \/\/admin\/secret HTTP\/1\.1\r\nhost: httpbin\r\n/);
  });

  it('goes out for OPTIONS * as well', async () => {
    await using pair = await startPair('HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n');
    assert.equal((await ask(pair.guarded.proxy, '*', '', 'OPTIONS')).status, 403);
    assert.equal(pair.guarded.app.requests.length, 0);
  });

  for (const { sent, shown, partial } of [
    { sent: 'abc', shown: 'abc', partial: 'false' },
    { sent: 'abcdefghi', shown: 'abcdefgh', partial: 'true' },
  ]) {
    it(`shows ${shown} of a body ${sent}`, async () => {
      await using pair = await startPair(OK, {
        body: { maxRequestBytes: 8, allowPartialMessage: true, packAsBytes: false },
      });
      const length = `content-length: ${sent.length}\r\n`;
      assert.equal((await ask(pair.guarded.proxy, '/', length, 'POST', sent)).status, 200);
      assert.equal(
        pair.authz.text,
        `POST / HTTP/1.1\r\nhost: httpbin\r\nx-envoy-auth-partial-body: ${partial}\r\n` +
          `content-length: ${shown.length}\r\n\r\n${shown}`,
      );
      assert.ok(pair.guarded.app.text.endsWith(`\r\n\r\n${sent}`));
    });
  }

  it('is not made for a body that is too long: 413, also with failOpen', async () => {
    await using pair = await startPair(OK, {
      failOpen: true,
      body: { maxRequestBytes: 2, allowPartialMessage: false, packAsBytes: false },
    });
    const answer = await ask(pair.guarded.proxy, '/', 'content-length: 3\r\n', 'POST', 'abc');
    assert.deepEqual([answer.status, answer.body], [413, 'Payload Too Large']);
    assert.equal(pair.authz.requests.length, 0);
    assert.equal(pair.guarded.app.requests.length, 0);
  });

  it('goes over a connection that was kept', async () => {
    await using pair = await startPair(OK);
    for (let i = 0; i < 5; i++) await ask(pair.guarded.proxy);
    assert.equal(pair.authz.connections.length, 1);
    assert.equal(pair.guarded.app.requests.length, 5);
  });

  it('is made again where the kept connection was closed in that moment, POST too', async () => {
    let kept = true;
    const authz = await startRecordingUpstream({
      answer: (request) => {
        if (authz.requests.length === 2 && kept) {
          kept = false;
          request.connection.socket.destroy();
          return null;
        }
        return OK;
      },
    });
    const guarded = await startGuarded({ port: authz.port, provider: { kind: 'http' } });
    for (let i = 0; i < 3; i++)
      assert.equal((await ask(guarded.proxy, '/', 'content-length: 0\r\n', 'POST')).status, 200);
    assert.equal(authz.requests.length, 4);
    await guarded[Symbol.asyncDispose]();
    await authz.close();
  });
});

describe('the answer of an HTTP provider', () => {
  it('200 sets the fields of its list on the request, adds those of the other list to the answer, and removes', async () => {
    await using pair = await startPair(
      'HTTP/1.1 200 OK\r\nx-up: 1\r\nx-multi: 1\r\nx-multi: 2\r\nx-down: d1\r\nx-down: d2\r\nx-deny: 1\r\n' +
        'x-envoy-auth-headers-to-remove: X-Other, cookie,,host\r\nx-envoy-auth-headers-to-remove: x-in2\r\n' +
        'set-cookie: s=1\r\ncontent-length: 3\r\n\r\nabc',
      { headersToUpstreamOnAllow: ['x-up', 'x-multi'], headersToDownstreamOnAllow: ['x-down'] },
    );
    const answer = await ask(pair.guarded.proxy, '/', REQUEST);
    assert.deepEqual(answer.text.match(/^(?:x-d|set-).*$/gm), ['x-down: d1', 'x-down: d2']);
    const { text } = pair.guarded.app;
    assert.deepEqual(
      text.match(/^(?:x-up|x-multi|x-deny|x-other|cookie|x-in2|host|set-cookie|x-envoy).*$/gm),
      ['host: httpbin', 'x-up: 1', 'x-multi: 2'],
    );
  });

  it('200 changes nothing without lists', async () => {
    await using pair = await startPair(
      'HTTP/1.1 200 OK\r\nx-up: 1\r\nset-cookie: a=b\r\nauthorization: none\r\ncontent-length: 0\r\n\r\n',
    );
    const answer = await ask(pair.guarded.proxy, '/', REQUEST);
    assert.equal(answer.header('set-cookie'), undefined);
    assert.match(pair.guarded.app.text, /^x-up: spoof\r$/m);
    assert.match(pair.guarded.app.text, /^authorization: Basic x\r$/m);
  });

  const DENIAL =
    'x-deny: 1\r\nx-deny: 2\r\nx-up: u\r\nwww-authenticate: Bearer\r\nlocation: /l\r\nset-cookie: s=1\r\n' +
    'set-cookie: t=1\r\ncontent-type: application/json\r\nserver: authz\r\ndate: d\r\nhost: h\r\n' +
    'connection: x-hop\r\nx-hop: 1\r\nx-envoy-upstream-service-time: 9\r\n' +
    'x-envoy-auth-headers-to-remove: a\r\ncontent-length: 2\r\n\r\n{}';

  it('another status denies with all of it', async () => {
    await using pair = await startPair(`HTTP/1.1 401 Nope\r\n${DENIAL}`);
    const answer = await ask(pair.guarded.proxy);
    assert.deepEqual([answer.status, answer.body], [401, '{}']);
    assert.equal(
      answer.text,
      'x-deny: 1\nx-deny: 2\nx-up: u\nwww-authenticate: Bearer\nlocation: /l\nset-cookie: s=1\nset-cookie: t=1\n' +
        'content-type: application/json\ndate: d\nserver: istio-envoy\ncontent-length: 2',
    );
    assert.equal(pair.guarded.app.requests.length, 0);
    const entry = await pair.guarded.proxy.entry();
    assert.deepEqual([entry.responseCodeDetails, entry.responseFlags], ['ext_authz_denied', 'UAEX']);
    assert.equal(pair.guarded.counters.http.denied, 1);
  });

  it('another status denies with the fields of the list, where there is one', async () => {
    await using pair = await startPair(`HTTP/1.1 401 Nope\r\n${DENIAL}`, {
      headersToDownstreamOnDeny: ['x-deny'],
    });
    const answer = await ask(pair.guarded.proxy);
    assert.equal(answer.body, '{}');
    assert.deepEqual(
      answer.text.split('\n').filter((line) => !line.startsWith('date')),
      [
        'content-type: text/plain',
        'x-deny: 1',
        'x-deny: 2',
        'www-authenticate: Bearer',
        'location: /l',
        'server: istio-envoy',
        'content-length: 2',
      ],
    );
  });

  for (const status of [201, 204, 206, 301, 302, 304, 400, 401, 403, 404, 413, 418, 429, 499]) {
    it(`${status} denies with ${status}`, async () => {
      const bodyless = status === 204 || status === 304;
      await using pair = await startPair(
        `HTTP/1.1 ${status} X\r\nx-deny: 1\r\n${bodyless ? '\r\n' : 'content-length: 1\r\n\r\nx'}`,
      );
      const answer = await ask(pair.guarded.proxy);
      assert.deepEqual([answer.status, answer.body], [status, bodyless ? '' : 'x']);
      assert.equal(pair.guarded.app.requests.length, 0);
    });
  }

  it('an interim status is no answer', async () => {
    await using pair = await startPair(`HTTP/1.1 103 Early Hints\r\n\r\n${OK}`);
    assert.equal((await ask(pair.guarded.proxy)).status, 200);
  });

  for (const [status, provider] of [
    [200, { headersToUpstreamOnAllow: ['x-u'], headersToDownstreamOnAllow: ['x-u'] }],
    [403, {}],
  ] as const) {
    it(`${status} has the bytes of its fields passed on as they are`, async () => {
      await using pair = await startPair(
        `HTTP/1.1 ${status} X\r\nx-u: \u00e9\u00c3\u00a9\r\ncontent-length: 0\r\n\r\n`,
        provider,
      );
      const answer = await ask(pair.guarded.proxy);
      assert.deepEqual([answer.status, answer.header('x-u')], [status, '\u00e9\u00c3\u00a9']);
      if (status === 200) assert.match(pair.guarded.app.text, /^x-u: \u00e9\u00c3\u00a9$/m);
    });
  }

  it('a body of any bytes reaches the client of a denial', async () => {
    const bytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    await using pair = await startPair(
      `HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n100\r\n${bytes}\r\n0\r\n\r\n`,
    );
    assert.equal((await ask(pair.guarded.proxy)).body, bytes);
  });

  for (const [name, answer] of Object.entries({
    '500': 'HTTP/1.1 500 X\r\nx-up: 1\r\ncontent-length: 1\r\n\r\nx',
    '503': 'HTTP/1.1 503 X\r\nx-up: 1\r\ncontent-length: 1\r\n\r\nx',
    '599': 'HTTP/1.1 599 X\r\nx-up: 1\r\ncontent-length: 0\r\n\r\n',
    garbage: 'garbage\r\n\r\n',
    'two Content-Lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-length: 1\r\n\r\n',
    'a cut body': 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nabc',
    'a switch of protocols': 'HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n',
  })) {
    it(`is an error: ${name}`, async () => {
      const authz = await startRecordingUpstream({
        answer: ({ connection }) => {
          connection.socket.end(answer);
          return null;
        },
      });
      const closed = await startGuarded({
        port: authz.port,
        provider: { kind: 'http', statusOnError: 503, headersToUpstreamOnAllow: ['x-up'] },
      });
      const refused = await ask(closed.proxy);
      assert.deepEqual([refused.status, refused.body, closed.app.requests.length], [503, '', 0]);
      const entry = await closed.proxy.entry();
      assert.deepEqual([entry.responseCodeDetails, entry.responseFlags], ['ext_authz_error', 'UAEX']);
      await closed[Symbol.asyncDispose]();

      const open = await startGuarded({
        port: authz.port,
        provider: { kind: 'http', failOpen: true, headersToUpstreamOnAllow: ['x-up'] },
      });
      assert.equal((await ask(open.proxy)).status, 200);
      assert.deepEqual(open.app.text.match(/^x-envoy-auth.*$/gm), [
        'x-envoy-auth-failure-mode-allowed: true',
      ]);
      assert.doesNotMatch(open.app.text, /x-up/);
      assert.equal(open.counters.http.failureModeAllowed, 1);
      await open[Symbol.asyncDispose]();
      await authz.close();
    });
  }

  it('is bounded', async () => {
    const long = 'x'.repeat(4_194_305);
    await using pair = await startPair(`HTTP/1.1 403 No\r\ncontent-length: ${long.length}\r\n\r\n${long}`, {
      statusOnError: 500,
    });
    assert.equal((await ask(pair.guarded.proxy)).status, 500);
  });

  it('denies a gRPC call with the status that it has, once', async () => {
    await using pair = await startPair(
      'HTTP/1.1 403 No\r\ngrpc-status: 5\r\ngrpc-message: m\r\ncontent-length: 1\r\n\r\nx',
    );
    const fields = 'content-type: application/grpc\r\ncontent-length: 0\r\n';
    const { text } = await ask(pair.guarded.proxy, '/', fields, 'POST');
    assert.deepEqual(text.match(/^grpc-.*$/gm)?.toSorted(), ['grpc-message: x', 'grpc-status: 5']);
  });

  it('denies a gRPC call as trailers', async () => {
    await using pair = await startPair(
      'HTTP/1.1 401 No\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nno',
    );
    const fields = 'content-type: application/grpc\r\ncontent-length: 0\r\n';
    const answer = await ask(pair.guarded.proxy, '/', fields, 'POST');
    assert.deepEqual(
      [answer.status, answer.header('grpc-status'), answer.header('grpc-message')],
      [200, '16', 'no'],
    );
    assert.equal(answer.text.match(/^content-type/gm)?.length, 1);
  });
});
