/** ext_authz over gRPC: what the provider is asked, and what each of its answers does. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { HeaderValueOptionSchema } from '../../src/wire/gen/envoy/config/core/v3/base_pb.ts';
import type {
  HeaderValueOption,
  HeaderValueOption_HeaderAppendAction,
} from '../../src/wire/gen/envoy/config/core/v3/base_pb.ts';
import type { OkHttpResponseSchema } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { PEER } from '../http/proxy-fixture.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { answerCall, ask, grpcFrame, startGrpcProvider, startGuarded } from './ext-authz-fixture.ts';
import type { Call, CheckScript } from './ext-authz-fixture.ts';

checkLeaks();

const ALLOW: CheckScript = () => ({ status: { code: 0 } });

type Ok = MessageInitShape<typeof OkHttpResponseSchema>;

function option(
  key: string,
  value: string,
  more: { readonly append?: boolean; readonly appendAction?: HeaderValueOption_HeaderAppendAction } = {},
): HeaderValueOption {
  return create(HeaderValueOptionSchema, { header: { key, value }, ...more });
}

interface Changed {
  readonly name: string;
  readonly request: string;
  readonly ok: Ok;
  readonly sees: Readonly<Record<string, readonly string[]>>;
}

describe('a gRPC authorization provider', () => {
  it('is asked about what a rule matches, and about nothing else', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy, '/open')).status, 200);
    assert.equal(provider.calls.length, 0);
    assert.equal(guarded.counters.http.disabled, 1);
    assert.equal((await ask(guarded.proxy, '/asked')).status, 200);
    assert.equal(provider.calls.length, 1);
    const { ok, denied, error, disabled, invalid } = guarded.counters.http;
    assert.deepEqual([ok, denied, error, disabled, invalid], [1, 0, 0, 1, 0]);
    assert.equal(guarded.counters.cluster.ok, 1);
    const { extAuthzShadowAllowed, extAuthzShadowDenied } = guarded.counters.rbac.http;
    assert.deepEqual([extAuthzShadowAllowed, extAuthzShadowDenied], [1, 1]);
  });

  it('is told of the request and of both identities', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port, proxy: { peer: PEER } });
    await ask(
      guarded.proxy,
      '/a/../b?c=d',
      'x-role: a\r\nx-role: b\r\nx-raw: \u00e9\u00ff\r\nx-utf: \u00c3\u00a9\r\n__proto__: p\r\nx-envoy-auth-partial-body: true\r\n',
    );
    const { check, metadata } = await provider.call();
    const { attributes } = check;
    assert.equal(attributes?.source?.principal, PEER.spiffeId);
    assert.equal(attributes.destination?.principal, 'spiffe://cluster.local/ns/foo/sa/httpbin');
    const at = attributes.destination.address?.address.value;
    assert.deepEqual([at?.address, at?.portSpecifier.value], ['10.0.0.2', 8080]);
    assert.equal(attributes.source.address?.address.value?.address, '127.0.0.1');
    assert.ok(Math.abs(Number(attributes.request?.time?.seconds) - Date.now() / 1_000) < 60);
    const http = attributes.request?.http;
    assert.equal(http?.method, 'GET');
    assert.equal(http.path, '/b?c=d');
    assert.equal(http.host, 'httpbin');
    assert.equal(http.scheme, 'https');
    assert.equal(http.protocol, 'HTTP/1.1');
    assert.equal(http.headers['x-role'], 'a,b');
    assert.equal(http.headers['x-raw'], '!!');
    assert.equal(http.headers['x-utf'], 'é');
    assert.equal(http.headers[':path'], '/b?c=d');
    assert.equal(http.headers['x-forwarded-proto'], 'https');
    assert.equal(http.headers['x-envoy-auth-partial-body'], undefined);
    assert.equal(Object.getOwnPropertyDescriptor(http.headers, '__proto__')?.value ?? 'p', 'p');
    assert.equal(metadata[':authority'], 'opa.opa-system.svc.cluster.local');
    assert.equal(metadata[':path'], '/envoy.service.auth.v3.Authorization/Check');
    assert.equal(metadata['grpc-timeout'], '600000m');
  });

  it('sees a path that looks like an authority as the path that it is', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port });
    await ask(guarded.proxy, '//admin/secret');
    const http = (await provider.call()).check.attributes?.request?.http;
    assert.deepEqual([http?.path, http?.host], ['//admin/secret', 'httpbin']);
    assert.match(guarded.app.text, /^GET \/\/admin\/secret HTTP/);
  });

  it('is asked with a deadline of at most eight digits, and the client cannot set it', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({
      port: provider.port,
      provider: { timeoutMs: 9_000_000_000_000 },
    });
    const answer = await ask(guarded.proxy, '/', 'grpc-timeout: 99999999H\r\n');
    assert.equal(answer.status, 200);
    assert.equal((await provider.call()).metadata['grpc-timeout'], '99999999S');
  });

  for (const { name, request, ok, sees } of [
    {
      name: 'sets fields, over what the client sent',
      request: 'x-role: a\r\nx-role: b\r\n',
      ok: { headers: [option('X-Role', 'admin'), option('x-new', 'n', { append: false })] },
      sees: { 'x-role': ['admin'], 'x-new': ['n'] },
    },
    {
      name: 'ignores append_action, as Envoy 1.40 does for requests',
      request: 'x-a: 1\r\n',
      ok: { headers: [option('x-a', '2', { appendAction: 1 }), option('x-b', '2', { appendAction: 3 })] },
      sees: { 'x-a': ['2'], 'x-b': ['2'] },
    },
    {
      name: 'appends to what is there, after what it sets',
      request: 'x-t: 1\r\nx-t: 2\r\n',
      ok: {
        headers: [
          option('x-t', 'a', { append: true }),
          option('x-none', 'b', { append: true }),
          option('x-h', '1', { append: true }),
          option('x-h', '2'),
        ],
      },
      sees: { 'x-t': ['1,a', '2'], 'x-none': [], 'x-h': ['2,1'] },
    },
    {
      name: 'removes fields, but not what a request cannot be without',
      request: 'x-gone: 1\r\nX-Gone: 2\r\ncookie: c\r\n',
      ok: { headersToRemove: ['X-Gone', 'cookie', 'host', ':path', ':method'] },
      sees: { 'x-gone': [], cookie: [], host: ['httpbin'] },
    },
    {
      name: 'writes Unicode as the bytes of UTF-8',
      request: '',
      ok: { headers: [option('x-u', 'é')] },
      sees: { 'x-u': ['\u00c3\u00a9'] },
    },
    {
      name: 'writes raw bytes as they are',
      request: '',
      ok: { headers: [{ header: { key: 'x-u', rawValue: Buffer.from([0xe9]) } }] },
      sees: { 'x-u': ['\u00e9'] },
    },
  ] satisfies Changed[]) {
    it(name, async () => {
      await using provider = await startGrpcProvider(() => ({
        httpResponse: { case: 'okResponse', value: ok },
      }));
      await using guarded = await startGuarded({ port: provider.port });
      assert.equal((await ask(guarded.proxy, '/p', request)).status, 200);
      for (const [field, values] of Object.entries(sees)) {
        const got = [...guarded.app.text.matchAll(new RegExp(`^${field}: (.*)$`, 'gm'))].map(([, v]) => v);
        assert.deepEqual(got, values, field);
      }
    });
  }

  for (const { to, value } of [
    { to: 'GET /other?x HTTP/1.1', value: { headers: [option(':path', '/other?x')] } },
    {
      to: 'GET /p?z=1&a=1&b=2&a=3&c&b=4&%41=x,/other HTTP/1.1',
      value: { headers: [option(':path', '/other', { append: true })] },
    },
    {
      to: 'GET /p?z=1&a=set&c&%41=x&n%20=1 HTTP/1.1',
      value: {
        queryParametersToSet: [
          { key: 'a', value: 'set' },
          { key: 'n%20', value: '1' },
        ],
        queryParametersToRemove: ['b', 'none'],
      },
    },
  ] satisfies { to: string; value: Ok }[]) {
    it(`changes the target: ${to}`, async () => {
      await using provider = await startGrpcProvider(() => ({ httpResponse: { case: 'okResponse', value } }));
      await using guarded = await startGuarded({ port: provider.port });
      assert.equal((await ask(guarded.proxy, '/p?z=1&a=1&b=2&a=3&c&b=4&%41=x')).status, 200);
      assert.ok(guarded.app.text.startsWith(`${to}\r\n`), guarded.app.text);
    });
  }

  it('changes Host', async () => {
    await using provider = await startGrpcProvider(() => ({
      httpResponse: { case: 'okResponse', value: { headers: [option('Host', 'other')] } },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 200);
    assert.deepEqual(guarded.app.text.match(/^host: .*$/gm), ['host: other']);
  });

  for (const [name, value] of [
    ['x-bad', 'a\nb'],
    ['x-bad', 'a\r\nx-injected: 1'],
    ['x bad', 'v'],
    ['', 'v'],
    ['content-length', '5'],
    ['transfer-encoding', 'chunked'],
    [':method', 'DELETE'],
    [':path', 'no-slash'],
    [':path', '/a b'],
    ['host', 'a/b'],
  ] as const) {
    it(`is refused ${JSON.stringify(name)}: ${JSON.stringify(value)}, and nothing of it is applied`, async () => {
      await using provider = await startGrpcProvider(() => ({
        httpResponse: {
          case: 'okResponse',
          value: { headers: [option('x-first', '1'), option(name, value)] },
        },
      }));
      await using guarded = await startGuarded({ port: provider.port, provider: { failOpen: true } });
      const answer = await ask(guarded.proxy);
      assert.deepEqual([answer.status, answer.body], [500, '']);
      assert.equal(guarded.app.requests.length, 0);
      assert.equal(guarded.counters.http.invalid, 1);
      assert.equal((await guarded.proxy.entry()).responseCodeDetails, 'ext_authz_invalid');
    });
  }

  it('is refused a second Host', async () => {
    await using provider = await startGrpcProvider(() => ({
      httpResponse: { case: 'okResponse', value: { headers: [option('host', 'other', { append: true })] } },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 500);
    assert.equal(guarded.app.requests.length, 0);
  });

  it('is refused more fields than a request may have', async () => {
    const headers = Array.from({ length: 101 }, (_, i) => option(`x-${i}`, '1'));
    await using provider = await startGrpcProvider(() => ({
      httpResponse: { case: 'okResponse', value: { headers } },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 500);
    assert.equal(guarded.app.requests.length, 0);
  });

  it('changes the answer of what it allowed', async () => {
    await using provider = await startGrpcProvider(() => ({
      httpResponse: {
        case: 'okResponse',
        value: {
          responseHeadersToAdd: [
            option('x-old', '1'),
            option('x-old2', '2', { append: false }),
            option('x-old3', '3', { appendAction: 1 }),
            option('x-old4', '4', { appendAction: 3 }),
            option('x-none', '5', { appendAction: 3 }),
            option('server', 'mine'),
            option('content-length', '99'),
          ],
        },
      },
    }));
    await using guarded = await startGuarded({
      port: provider.port,
      app: {
        answer: () =>
          'HTTP/1.1 200 OK\r\nx-old: a\r\nx-old2: a\r\nx-old3: a\r\nx-old4: a\r\ncontent-length: 2\r\n\r\nok',
      },
    });
    const { text, body } = await ask(guarded.proxy);
    assert.equal(body, 'ok');
    assert.deepEqual(
      text.match(/^x-.*$/gm)?.filter((line) => !line.startsWith('x-envoy')),
      ['x-old: a', 'x-old3: a', 'x-old4: 4', 'x-old: 1', 'x-old2: 2'],
    );
    assert.deepEqual(text.match(/^server.*$/gm), ['server: istio-envoy']);
  });

  it('denies with its own status, fields and body', async () => {
    await using provider = await startGrpcProvider(() => ({
      status: { code: 7 },
      httpResponse: {
        case: 'deniedResponse',
        value: {
          status: { code: 401 },
          headers: [
            option('WWW-Authenticate', 'Bearer'),
            option('content-type', 'application/json'),
            option('x-a', '1'),
            option('x-a', '2'),
            option('content-length', '99'),
            option('server', 's'),
            option('date', 'd'),
            option('location', '/x'),
          ],
          body: 'no é',
        },
      },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    const answer = await ask(guarded.proxy);
    assert.equal(answer.status, 401);
    assert.equal(
      answer.text,
      'www-authenticate: Bearer\ncontent-type: application/json\nx-a: 1\nx-a: 2\ndate: d\nlocation: /x\nserver: istio-envoy\ncontent-length: 5',
    );
    assert.equal(Buffer.from(answer.body, 'latin1').toString(), 'no é');
    assert.equal(guarded.app.requests.length, 0);
    const entry = await guarded.proxy.entry();
    assert.equal(entry.responseCodeDetails, 'ext_authz_denied');
    assert.equal(entry.responseFlags, 'UAEX');
    const line = guarded.proxy.logs.find(({ code }) => code === 'ext_authz_denied');
    assert.equal(Reflect.get(line!.fields, 'why'), `CUSTOM foo/ask rule 0, provider opa: it answered 401`);
  });

  for (const [stated, seen] of [
    [0, 403],
    [200, 200],
    [204, 204],
    [599, 599],
    [100, 403],
    [101, 403],
    [999, 403],
  ] as const) {
    it(`denies with status ${stated} as ${seen}`, async () => {
      await using provider = await startGrpcProvider(() => ({
        status: { code: 7 },
        httpResponse: { case: 'deniedResponse', value: { status: { code: stated }, body: 'x' } },
      }));
      await using guarded = await startGuarded({ port: provider.port });
      const answer = await ask(guarded.proxy);
      assert.equal(answer.status, seen);
      assert.equal(guarded.app.requests.length, 0);
    });
  }

  it('denies with 403 where its status says no and nothing else does', async () => {
    const answers: ReturnType<CheckScript>[] = [
      { status: { code: 16 } },
      {
        status: { code: 7 },
        httpResponse: { case: 'okResponse', value: { headers: [option('x-ok', '1')] } },
      },
      { status: { code: 7 }, httpResponse: { case: 'deniedResponse', value: {} } },
    ];
    await using provider = await startGrpcProvider(() => answers.shift()!);
    await using guarded = await startGuarded({ port: provider.port });
    for (let i = 0; i < 3; i++) {
      const answer = await ask(guarded.proxy);
      assert.deepEqual([answer.status, answer.body], [403, '']);
    }
    assert.equal(guarded.app.requests.length, 0);
    assert.equal(guarded.counters.http.denied, 3);
  });

  it('allows where its status says so, whatever else is there', async () => {
    await using provider = await startGrpcProvider(() => ({
      httpResponse: { case: 'deniedResponse', value: { status: { code: 401 } } },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 200);
  });

  it('denies a gRPC call as trailers', async () => {
    await using provider = await startGrpcProvider(() => ({
      status: { code: 7 },
      httpResponse: { case: 'deniedResponse', value: { body: 'not é' } },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    const answer = await ask(
      guarded.proxy,
      '/',
      'content-type: application/grpc\r\ncontent-length: 0\r\n',
      'POST',
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.header('grpc-status'), '7');
    assert.equal(answer.header('grpc-message'), 'not %C3%A9');
  });
});

describe('the body of a request, for a gRPC provider', () => {
  const body = { maxRequestBytes: 8, allowPartialMessage: true, packAsBytes: false };

  for (const { sent, wants, text, bytes, partial, size } of [
    { sent: 'abc', wants: body, text: 'abc', bytes: '', partial: 'false', size: 3n },
    { sent: 'abcdefgh', wants: body, text: 'abcdefgh', bytes: '', partial: 'false', size: 8n },
    { sent: 'abcdefghi', wants: body, text: 'abcdefgh', bytes: '', partial: 'true', size: 9n },
    { sent: 'a\u00ff\u00c3', wants: body, text: 'a!!', bytes: '', partial: 'false', size: 3n },
    {
      sent: 'a\u00ff',
      wants: { ...body, packAsBytes: true },
      text: '',
      bytes: 'a\u00ff',
      partial: 'false',
      size: 2n,
    },
    { sent: '', wants: body, text: '', bytes: '', partial: undefined, size: 0n },
    { sent: 'abc', wants: null, text: '', bytes: '', partial: undefined, size: 0n },
  ]) {
    it(`is shown ${JSON.stringify(text + bytes)} of ${JSON.stringify(sent)}`, async () => {
      await using provider = await startGrpcProvider(ALLOW);
      await using guarded = await startGuarded({ port: provider.port, provider: { body: wants } });
      const answer = await ask(guarded.proxy, '/', `content-length: ${sent.length}\r\n`, 'POST', sent);
      assert.equal(answer.status, 200);
      const http = (await provider.call()).check.attributes?.request?.http;
      assert.equal(http?.body, text);
      assert.equal(Buffer.from(http.rawBody).toString('latin1'), bytes);
      assert.equal(http.headers['x-envoy-auth-partial-body'], partial);
      assert.equal(http.headers['content-length'], String(sent.length));
      assert.equal(http.size, size);
      assert.ok(guarded.app.text.endsWith(`\r\n\r\n${sent}`));
    });
  }

  it('is 413 where it is too long, and failOpen changes nothing of that', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({
      port: provider.port,
      provider: { body: { ...body, allowPartialMessage: false }, failOpen: true },
    });
    const answer = await ask(guarded.proxy, '/', 'content-length: 9\r\n', 'POST', 'abcdefghi');
    assert.deepEqual([answer.status, answer.body], [413, 'Payload Too Large']);
    assert.equal((await guarded.proxy.entry()).responseCodeDetails, 'request_payload_too_large');
    assert.equal(provider.calls.length, 0);
    assert.equal(guarded.app.requests.length, 0);
    const whole = await ask(guarded.proxy, '/', 'content-length: 8\r\n', 'POST', 'abcdefgh');
    assert.equal(whole.status, 200);
  });

  for (const allowPartialMessage of [false, true]) {
    it(`is held no further than it is shown, however long, allowPartialMessage ${allowPartialMessage}`, async () => {
      await using provider = await startGrpcProvider(ALLOW);
      await using guarded = await startGuarded({
        port: provider.port,
        provider: { body: { ...body, allowPartialMessage } },
        app: { script: () => {} },
      });
      using client = await guarded.proxy.connect();
      await client.write('POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n');
      const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
      // Without an end: what the sockets do not hold stays with the client.
      for (let i = 0; i < 64; i++) client.socket.write(chunk);
      if (allowPartialMessage) {
        const http = (await provider.call()).check.attributes?.request?.http;
        assert.deepEqual(
          [http?.body, http?.size, http?.headers['x-envoy-auth-partial-body']],
          ['xxxxxxxx', -1n, 'true'],
        );
        await (await guarded.app.connection()).until(({ length }) => length > 1_000_000, 'the body');
      } else {
        assert.equal((await client.readResponse('POST')).status, 413);
        assert.equal(provider.calls.length, 0);
        assert.equal(guarded.app.connections.length, 0);
      }
    });
  }

  it('that was announced with Expect is asked for', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port, provider: { body } });
    using client = await guarded.proxy.connect();
    await client.write('POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n');
    await client.readUntil('100 Continue\r\n\r\n');
    await client.write('abc');
    assert.equal((await client.readResponse('POST')).status, 200);
    assert.equal((await provider.call()).check.attributes?.request?.http?.body, 'abc');
  });

  it('is held up to limits.maxExtAuthzBodyBytes, if that is less', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({
      port: provider.port,
      provider: { body },
      limits: { maxExtAuthzBodyBytes: 2 },
    });
    await ask(guarded.proxy, '/', 'content-length: 3\r\n', 'POST', 'abc');
    assert.equal((await provider.call()).check.attributes?.request?.http?.body, 'ab');
  });

  it('is chunked without a length', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port, provider: { body } });
    await ask(guarded.proxy, '/', 'transfer-encoding: chunked\r\n', 'POST', '3\r\nabc\r\n0\r\n\r\n');
    const http = (await provider.call()).check.attributes?.request?.http;
    assert.equal(http?.body, 'abc');
    assert.equal(http.headers['transfer-encoding'], undefined);
    assert.equal(http.headers['content-length'], undefined);
  });
});

/** What is no decision of the provider, whoever said it. */
const ERRORS: Readonly<Record<string, (call: Call) => void>> = {
  ...Object.fromEntries(
    ['1', '2', '4', '7', '12', '13', '14', '16', 'x'].map((status) => [
      `grpc-status ${status}`,
      ({ stream }: Call) => {
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': status, 'grpc-message': 'm' },
          { endStream: true },
        );
      },
    ]),
  ),
  'an allowing message with grpc-status 13': ({ stream }) =>
    answerCall(stream, { status: { code: 0 } }, '13'),
  'HTTP 503': ({ stream }) => stream.respond({ ':status': 503 }, { endStream: true }),
  'HTTP 200 without grpc-status': ({ stream }) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.end(grpcFrame(Buffer.alloc(0)));
  },
  'an allowing message after grpc-status 0, and none behind it': ({ stream }) => {
    stream.respond({ ':status': 200, 'grpc-status': '0' });
    stream.end(grpcFrame(Buffer.alloc(0)));
  },
  'an allowing message after grpc-status 0, and a reset behind it': ({ stream }) => {
    stream.respond({ ':status': 200, 'grpc-status': '0' });
    stream.write(grpcFrame(Buffer.alloc(0)), () => stream.close(2));
  },
  'HTTP 403 with grpc-status 0': ({ stream }) => {
    stream.respond({ ':status': 403, 'grpc-status': '0' });
    stream.end(grpcFrame(Buffer.alloc(0)));
  },
  'no message': ({ stream }) => {
    stream.respond({ ':status': 200, 'grpc-status': '0' }, { endStream: true });
  },
  ...Object.fromEntries(
    Object.entries({
      'half a prefix': Buffer.from([0, 0]),
      'half a message': Buffer.from([0, 0, 0, 0, 9, 1]),
      'two messages': Buffer.concat([grpcFrame(Buffer.alloc(0)), grpcFrame(Buffer.alloc(0))]),
      'a compressed message': Buffer.from([1, 0, 0, 0, 0]),
      'a message that is none': grpcFrame(Buffer.from('garbage that is no protobuf \u00ff')),
    }).map(([name, bytes]) => [
      name,
      ({ stream }: Call) => {
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
        stream.end(bytes);
      },
    ]),
  ),
  'a reset': ({ stream }) => stream.close(2),
  'a reset after the head': ({ stream }) => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
    stream.close(8);
  },
  'the end of the connection': ({ stream }) => stream.session?.destroy(),
  error_response: ({ stream }) =>
    answerCall(stream, { status: { code: 13 }, httpResponse: { case: 'errorResponse', value: {} } }),
};

describe('what is no decision', () => {
  for (const [name, script] of Object.entries(ERRORS)) {
    it(`is an error: ${name}`, async () => {
      await using provider = await startGrpcProvider((call) => {
        script(call);
        return null;
      });
      await using closed = await startGuarded({ port: provider.port, provider: { statusOnError: 503 } });
      const refused = await ask(closed.proxy);
      assert.deepEqual([refused.status, refused.body], [503, '']);
      assert.equal(closed.app.requests.length, 0);
      const entry = await closed.proxy.entry();
      assert.deepEqual([entry.responseCodeDetails, entry.responseFlags], ['ext_authz_error', 'UAEX']);
      assert.deepEqual([closed.counters.http.error, closed.counters.http.denied], [1, 0]);

      await using open = await startGuarded({ port: provider.port, provider: { failOpen: true } });
      const passed = await ask(open.proxy, '/', 'x-envoy-auth-failure-mode-allowed: false\r\n');
      assert.equal(passed.status, 200);
      assert.deepEqual(open.app.text.match(/^x-envoy-auth.*$/gm), [
        'x-envoy-auth-failure-mode-allowed: true',
      ]);
      assert.deepEqual([open.counters.http.error, open.counters.http.failureModeAllowed], [1, 1]);
    });
  }

  it('may say what the client is to see', async () => {
    await using provider = await startGrpcProvider(() => ({
      status: { code: 13 },
      httpResponse: {
        case: 'errorResponse',
        value: { status: { code: 503 }, body: 'busy', headers: [option('retry-after', '3')] },
      },
    }));
    await using guarded = await startGuarded({ port: provider.port });
    const answer = await ask(guarded.proxy);
    assert.deepEqual([answer.status, answer.body, answer.header('retry-after')], [503, 'busy', '3']);
    assert.equal((await guarded.proxy.entry()).responseCodeDetails, 'ext_authz_error');
  });

  it('is never marked by the client itself', async () => {
    await using provider = await startGrpcProvider(ALLOW);
    await using guarded = await startGuarded({ port: provider.port, provider: { failOpen: true } });
    await ask(guarded.proxy, '/', 'x-envoy-auth-failure-mode-allowed: true\r\n');
    await ask(guarded.proxy, '/open', 'x-envoy-auth-failure-mode-allowed: true\r\n');
    assert.equal(guarded.app.requests.length, 2);
    assert.doesNotMatch(guarded.app.text, /failure-mode/);
  });
});
