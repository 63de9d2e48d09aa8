/**
 * Requests whose upstream cannot be reached: tried again elsewhere, with Envoy 1.40's words, flags and fields where
 * it does not help (measured side by side with a real one: refused, stalled and untrusted upstreams).
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { MeshError } from '../../src/core/errors.ts';
import type { ErrorCodeName } from '../../src/core/errors.ts';
import type { ExchangeOpener } from '../../src/http/exchange.ts';
import type { HttpRoute } from '../../src/http/http-route.ts';
import { RETRY_MAX_MS, retryBackOffMs } from '../../src/http/retries.ts';
import { DialError } from '../../src/upstream/dial-error.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RawClient } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { makeWorld, plain } from '../upstream/upstream-fixture.ts';
import type { World } from '../upstream/upstream-fixture.ts';
import { startProxy } from './proxy-fixture.ts';

checkLeaks();

/** A port that nobody listens on. */
async function refusedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function outbound(opener: ExchangeOpener): Partial<HttpRoute> {
  return { opener, connectRetries: 2, sendsAttemptCount: true, serverName: 'envoy' };
}

/** Sends, and reads until it is `done`. */
async function talk(client: RawClient, request: string, done: (text: string) => boolean): Promise<string> {
  let text = '';
  client.socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  await client.write(request);
  const loop = async (): Promise<void> => {
    while (!done(text)) await once(client.socket, 'data');
  };
  await withDeadline(loop(), 3_000, 'the answer', () => text);
  return text;
}

/** A world whose every dial fails with `code`. */
function failingWorld(code: ErrorCodeName, transportReason: string): World {
  return makeWorld({
    dialer: {
      dial(target, _, onFailed) {
        const timer = setImmediate(() =>
          onFailed(
            new DialError(code, 'by the test', { upstreamHost: `10.0.0.9:${target.port}`, transportReason }),
          ),
        );
        return { abort: () => clearImmediate(timer) };
      },
    },
  });
}

const GET = 'GET /a HTTP/1.1\r\nhost: httpbin\r\n\r\n';
const POST = 'POST /a HTTP/1.1\r\nhost: httpbin\r\ncontent-length: 5\r\n\r\nhello';

describe('an upstream that refuses connections', () => {
  it('is left for another one, with any method, its body and the number of the attempt', async () => {
    await using app = await startRecordingUpstream();
    const world = makeWorld();
    const bad = plain(await refusedPort());
    const upstream = world.upstream([bad, plain(app.port)]);
    // The bad one first: the good one is busy.
    world.pools.poolOf(plain(app.port).target).active = 100;
    await using proxy = await startProxy({ upstreamPort: 1, route: outbound(upstream) });
    const client = await proxy.connect();
    const text = await talk(client, POST, (all) => all.endsWith('ok'));
    const request = await app.request();
    assert.match(
      request.connection.bytes.toString('latin1'),
      /x-envoy-attempt-count: 2\r\n[^]*\r\n\r\nhello$/,
    );
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n[^]*server: envoy\r\n/);
    const entry = await proxy.entry();
    assert.deepEqual([entry.responseCode, entry.responseFlags], [200, '-']);
    assert.deepEqual([proxy.retries, proxy.retriesAnswered], [1, 1]);
    assert.deepEqual([entry.bytesReceived, entry.upstreamHost], [5, `127.0.0.1:${app.port}`]);
    client.close();
    world.pools.close();
  });

  it('is given up after two retries, in the words of Envoy', async () => {
    const port = await refusedPort();
    const world = makeWorld();
    await using proxy = await startProxy({ upstreamPort: 1, route: outbound(world.upstream([plain(port)])) });
    const client = await proxy.connect();
    const text = await talk(client, GET, (all) => all.includes('reset reason'));
    assert.match(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
    assert.match(text, /\r\nserver: envoy\r\n/);
    assert.match(
      text,
      /\r\n\r\nupstream connect error or disconnect\/reset before headers\. retried and the latest reset reason: remote connection failure$/,
    );
    const entry = await proxy.entry();
    const reason = 'delayed_connect_error:_Connection_refused';
    assert.deepEqual(
      [
        entry.responseFlags,
        entry.responseCodeDetails,
        entry.upstreamTransportFailureReason,
        entry.upstreamHost,
      ],
      [
        'URX,UF',
        `upstream_reset_before_response_started{remote_connection_failure|${reason}}`,
        reason,
        `127.0.0.1:${port}`,
      ],
    );
    assert.equal(proxy.retries, 2);
    assert.equal(world.counters.cluster(plain(port).target.cluster).cxConnectFail, 3);
    client.close();
  });

  it('is tried once without retries', async () => {
    const port = await refusedPort();
    const world = makeWorld();
    const route = { ...outbound(world.upstream([plain(port)])), connectRetries: 0 };
    await using proxy = await startProxy({ upstreamPort: 1, route });
    const client = await proxy.connect();
    const text = await talk(client, GET, (all) => all.includes('reset reason'));
    assert.match(text, /before headers\. reset reason: remote connection failure$/);
    assert.equal((await proxy.entry()).responseFlags, 'UF');
    client.close();
  });

  it('is let go of when the client goes away in the back-off', async () => {
    const world = failingWorld('upstream_connect_failed', '');
    let opened = 0;
    const upstream = world.upstream([plain(1)]);
    await using proxy = await startProxy({
      upstreamPort: 1,
      route: {
        ...outbound({
          open: (sink, fresh, avoid) => {
            opened++;
            return upstream.open(sink, fresh, avoid);
          },
        }),
        connectRetries: 1_000,
      },
    });
    const client = await proxy.connect();
    await client.write(GET);
    await proxy.until(() => proxy.retries > 2, 'a few retries');
    client.reset();
    assert.equal((await proxy.entry()).responseFlags, 'DC');
    const then = opened;
    await new Promise((resolve) => setTimeout(resolve, RETRY_MAX_MS + 20));
    assert.equal(opened, then);
  });
});

describe('an upstream that fails otherwise', () => {
  const tlsError =
    'TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:x:TLS_error_end';
  const rows: readonly (readonly [ErrorCodeName, string, string, string])[] = [
    ['upstream_untrusted', tlsError, 'remote connection failure', `{remote_connection_failure|${tlsError}}`],
    [
      'upstream_identity_mismatch',
      tlsError,
      'remote connection failure',
      `{remote_connection_failure|${tlsError}}`,
    ],
    ['upstream_tls_failed', '', 'remote connection failure', '{remote_connection_failure}'],
    ['upstream_tls_timeout', '', 'connection timeout', '{connection_timeout}'],
    ['upstream_connect_timeout', '', 'connection timeout', '{connection_timeout}'],
  ];
  for (const [code, reason, words, details] of rows) {
    it(`in a way of ${code} is tried again, and its answer tells no reason`, async () => {
      const world = failingWorld(code, reason);
      await using proxy = await startProxy({ upstreamPort: 1, route: outbound(world.upstream([plain(1)])) });
      const client = await proxy.connect();
      const text = await talk(client, GET, (all) => all.endsWith(words));
      assert.match(text, /^HTTP\/1\.1 503 /);
      assert.doesNotMatch(text, /TLS|CERTIFICATE|by the test/);
      const entry = await proxy.entry();
      assert.deepEqual(
        [entry.responseFlags, entry.responseCodeDetails, entry.upstreamHost],
        ['URX,UF', `upstream_reset_before_response_started${details}`, '10.0.0.9:1'],
      );
      assert.equal(proxy.retries, 2);
      client.close();
    });
  }

  it('by having no endpoint is 503 UH and not tried again', async () => {
    const world = makeWorld();
    await using proxy = await startProxy({ upstreamPort: 1, route: outbound(world.upstream([])) });
    const client = await proxy.connect();
    const text = await talk(client, GET, (all) => all.endsWith('no healthy upstream'));
    assert.match(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/);
    const entry = await proxy.entry();
    assert.deepEqual(
      [entry.responseFlags, entry.responseCodeDetails, entry.upstreamHost, proxy.retries],
      ['UH', 'no_healthy_upstream', '', 0],
    );
    client.close();
  });
});

describe('a route to nowhere', () => {
  it("answers as Istio's BlackHole does, and dials nobody", async () => {
    const opener: ExchangeOpener = {
      open: () => {
        throw new MeshError('bug', 'nobody is to be dialled');
      },
    };
    const route = { ...outbound(opener), refuse: 'unknown_destination' as const };
    await using proxy = await startProxy({ upstreamPort: 1, route });
    const client = await proxy.connect();
    const text = await talk(client, POST + GET, (all) => all.split('HTTP/1.1 502').length === 3);
    assert.match(text, /^HTTP\/1\.1 502 Bad Gateway\r\n[^]*server: envoy\r\ncontent-length: 0\r\n/);
    const entry = await proxy.entry();
    assert.deepEqual(
      [entry.responseFlags, entry.responseCodeDetails, entry.bytesSent],
      ['-', 'direct_response', 0],
    );
    client.close();
  });
});

describe('the back-off', () => {
  it('is jittered below a ceiling that doubles up to 250 ms', () => {
    const ceilings = [1, 2, 3, 4, 5, 50].map((retry) => retryBackOffMs(retry, 1));
    assert.deepEqual(ceilings, [25, 75, 175, 250, 250, 250]);
    assert.equal(retryBackOffMs(3, 0), 0);
  });
});
