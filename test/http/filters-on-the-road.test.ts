/** Filters of the embedding program on real requests: bodies on demand, failures, changed answers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONTINUE } from '../../src/http/filter.ts';
import type { Filter } from '../../src/http/filter.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n';

/** Reads up to `maxBytes`, keeps what it got and goes on. */
function bodyReader(maxBytes: number, got: { text: string; truncated: boolean }[]): Filter {
  return {
    name: 'body',
    onRequest: async (request) => {
      const { bytes, truncated } = await request.readBody(maxBytes);
      got.push({ text: bytes.toString('latin1'), truncated });
      return CONTINUE;
    },
  };
}

function post(fields: string, body: string): string {
  return `POST /a HTTP/1.1\r\nhost: h\r\n${fields}\r\n${body}`;
}

describe('readBody', () => {
  checkLeaks();

  const cases: readonly (readonly [string, number, string, string, { text: string; truncated: boolean }])[] =
    [
      [
        'a body within the limit',
        10,
        post('content-length: 3\r\n', 'abc'),
        'content-length: 3\r\n\r\nabc',
        { text: 'abc', truncated: false },
      ],
      [
        'a body of exactly the limit',
        3,
        post('content-length: 3\r\n', 'abc'),
        'content-length: 3\r\n\r\nabc',
        { text: 'abc', truncated: false },
      ],
      [
        'a body one byte over the limit',
        2,
        post('content-length: 3\r\n', 'abc'),
        'content-length: 3\r\n\r\nabc',
        { text: 'ab', truncated: true },
      ],
      ['no body', 10, GET, 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n', { text: '', truncated: false }],
      [
        'limit 0',
        0,
        post('content-length: 3\r\n', 'abc'),
        'content-length: 3\r\n\r\nabc',
        { text: '', truncated: true },
      ],
      [
        'a chunked body with trailers',
        10,
        post('transfer-encoding: chunked\r\n', '1\r\na\r\n2\r\nbc\r\n0\r\nX: y\r\n\r\n'),
        '3\r\nabc\r\n0\r\nx: y\r\n\r\n',
        { text: 'abc', truncated: false },
      ],
      [
        'an empty chunked body',
        10,
        post('transfer-encoding: chunked\r\n', '0\r\n\r\n'),
        'transfer-encoding: chunked\r\n\r\n0\r\n\r\n',
        { text: '', truncated: false },
      ],
    ];
  for (const [name, maxBytes, request, seen, expected] of cases) {
    it(`${name} is held and then forwarded whole`, async () => {
      const got: { text: string; truncated: boolean }[] = [];
      await using upstream = await startRecordingUpstream();
      await using proxy = await startProxy({
        upstreamPort: upstream.port,
        builtIn: false,
        filters: [bodyReader(maxBytes, got)],
      });
      using client = await proxy.connect();
      for (let round = 0; round < 2; round++) assert.equal((await client.request(request)).status, 200);
      assert.deepEqual(got, [expected, expected]);
      assert.ok(upstream.text.endsWith(seen), upstream.text);
      assert.equal(upstream.requests.length, 2);
    });
  }

  it('a large body: the limit is held, the rest streams, every byte arrives', async () => {
    const got: { text: string; truncated: boolean }[] = [];
    const body = 'abcdefghij'.repeat(200_000);
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      filters: [bodyReader(1_000, got)],
    });
    using client = await proxy.connect(20_000);
    assert.equal((await client.request(post(`content-length: ${body.length}\r\n`, body))).status, 200);
    assert.equal(got[0]!.text, body.slice(0, 1_000));
    assert.equal(upstream.requests[0]!.body.toString('latin1'), body);
  });

  it('two filters that read one after the other see the same bytes', async () => {
    const got: { text: string; truncated: boolean }[] = [];
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      filters: [bodyReader(2, got), { ...bodyReader(100, got), name: 'second' }],
    });
    using client = await proxy.connect();
    assert.equal((await client.request(post('content-length: 5\r\n', 'abcde'))).status, 200);
    assert.deepEqual(
      got.map(({ text }) => text),
      ['ab', 'abcde'],
    );
    assert.ok(upstream.text.endsWith('\r\n\r\nabcde'));
  });

  it('a client that waits for 100 is told by us, and the app is not asked', async () => {
    const got: { text: string; truncated: boolean }[] = [];
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      filters: [bodyReader(10, got)],
    });
    using client = await proxy.connect();
    await client.write(post('expect: 100-continue\r\ncontent-length: 3\r\n', ''));
    assert.equal((await client.readUntil('\r\n\r\n')).toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
    await client.write('abc');
    assert.equal((await client.readResponse()).status, 200);
    assert.doesNotMatch(upstream.text, /expect/);
  });

  it('a client that goes while the body is read: the filter hears it, the app sees nothing', async () => {
    const { promise: heard, resolve } = Promise.withResolvers<string>();
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        {
          name: 'body',
          onRequest: async (request) => {
            await request.readBody(10).catch((error: Error) => {
              resolve(error.message);
              throw error;
            });
            return CONTINUE;
          },
        },
      ],
    });
    using client = await proxy.connect();
    await client.write(post('content-length: 5\r\n', 'ab'));
    await proxy.until(() => proxy.http.rqTotal === 1, 'the request');
    client.reset();
    assert.match(await heard, /^Cannot read the body/);
    assert.equal((await proxy.entry()).responseFlags, 'DC');
    assert.equal(upstream.connections.length, 0);
  });

  it('limits that are no size, and two reads at once, are refused', async () => {
    const errors: string[] = [];
    const note = (error: Error): void => {
      errors.push(error.message);
    };
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        {
          name: 'body',
          onRequest: async (request) => {
            for (const size of [Number.POSITIVE_INFINITY, Number.NaN, -1, 1.5]) {
              await request.readBody(size).catch(note);
            }
            const first = request.readBody(10);
            await request.readBody(10).catch(note);
            await first;
            return CONTINUE;
          },
        },
      ],
    });
    using client = await proxy.connect();
    await client.write(post('content-length: 3\r\n', 'ab'));
    await proxy.until(() => errors.length === 5, 'the refusals');
    await client.write('c');
    assert.equal((await client.readResponse()).status, 200);
    assert.match(errors[4]!, /twice at once/);
  });

  it('a million bytes in one-byte chunks cost about a million bytes', async () => {
    const size = 300_000;
    let held = 0;
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      filters: [
        {
          name: 'body',
          onRequest: async (request) => {
            const before = process.memoryUsage().heapUsed;
            await request.readBody(size);
            held = process.memoryUsage().heapUsed - before;
            return {
              kind: 'deny',
              code: 'filter_denied',
              status: 403,
              body: '',
              headers: [],
              details: '',
              why: '',
            };
          },
        },
      ],
    });
    using client = await proxy.connect(20_000);
    const response = await client.request(
      post('transfer-encoding: chunked\r\n', '1\r\nx\r\n'.repeat(size) + '0\r\n\r\n'),
    );
    assert.equal(response.status, 403);
    assert.ok(held < 60 * size, `${held} bytes of heap for a body of ${size}`);
  });
});

describe('filters that fail on the road', () => {
  checkLeaks();

  it('onRequest: 500, the app sees nothing, the connection goes on', async () => {
    let fail = true;
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        {
          name: 'sometimes',
          onRequest: () => {
            if (fail) throw new Error('secret reason');
            return CONTINUE;
          },
        },
      ],
    });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 500);
    assert.doesNotMatch(response.body.toString(), /secret/);
    assert.equal(upstream.connections.length, 0);
    assert.deepEqual(proxy.filterFailures, ['sometimes']);
    assert.equal(proxy.http.filterFailed, 1);
    fail = false;
    assert.equal((await client.request(GET)).status, 200);
  });

  it('onResponse that leaves a header split: 500 without a byte of it, the app is let go', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        { name: 'split', onResponse: (_request, head) => void head.fields.push('x', 'a\r\nset-cookie: b') },
      ],
    });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 500);
    assert.equal(response.header('set-cookie'), undefined);
    assert.equal(response.header('x'), undefined);
    await (await upstream.connection()).ended();
  });

  it('onResponse that breaks a denial: 500 without a byte of it', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [
        {
          name: 'split',
          onRequest: () => ({
            kind: 'deny',
            code: 'filter_denied',
            status: 403,
            body: 'no',
            headers: [],
            details: '',
            why: '',
          }),
          onResponse: (_request, head) => void head.fields.push('x', 'a\r\nset-cookie: b'),
        },
      ],
    });
    using client = await proxy.connect();
    const response = await client.request(GET);
    assert.equal(response.status, 500);
    assert.equal(response.header('set-cookie'), undefined);
  });

  it('onResponse sees HEAD and 304 answers and may change them', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n',
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      filters: [{ name: 'mark', onResponse: (_request, head) => void head.fields.push('x-mark', '1') }],
    });
    using client = await proxy.connect();
    const response = await client.request(GET.replace('GET', 'HEAD'), 'HEAD');
    assert.deepEqual(
      [response.status, response.header('content-length'), response.header('x-mark')],
      [200, '9', '1'],
    );
  });

  it('a filter that lies about the length of a body cuts the answer and lets the app go', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789',
    });
    for (const [lie, expected] of [
      [5, 0],
      [20, 10],
    ] as const) {
      await using proxy = await startProxy({
        upstreamPort: upstream.port,
        filters: [
          {
            name: 'lie',
            onResponse: (_request, head) => {
              head.bodyLength = lie;
            },
          },
        ],
      });
      using client = await proxy.connect();
      await client.write(GET);
      const { bytes } = await client.readToEnd();
      const text = bytes.toString();
      assert.equal(text.slice(text.indexOf('\r\n\r\n') + 4).length, expected);
      assert.notEqual((await proxy.entry()).responseFlags, '-');
    }
  });

  it('a gRPC call that is denied gets its code as trailers-only', async () => {
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
            body: 'RBAC: 100%\n',
            headers: [],
            details: '',
            why: '',
          }),
        },
      ],
    });
    using client = await proxy.connect();
    const response = await client.request(
      post('content-type: application/grpc+proto\r\ncontent-length: 0\r\n', ''),
    );
    assert.equal(response.status, 200);
    assert.deepEqual(
      [response.header('content-type'), response.header('grpc-status'), response.header('grpc-message')],
      ['application/grpc', '7', 'RBAC: 100%25%0A'],
    );
    const plain = await client.request(
      post('content-type: application/grpc-web\r\ncontent-length: 0\r\n', ''),
    );
    assert.equal(plain.status, 403);
  });
});
