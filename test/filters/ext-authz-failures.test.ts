/**
 * ext_authz when its provider is slow, gone, full or changed: whatever happens, failOpen is obeyed as written, a late
 * answer lets nothing through, and nothing is left behind.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { CONTINUE } from '../../src/http/filter.ts';
import type { Filter, RequestContext } from '../../src/http/filter.ts';
import { Http1RequestHead } from '../../src/http/request-head.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { ExtAuthzClient } from '../../src/filters/ext-authz-client.ts';
import { MAX_SESSIONS } from '../../src/filters/ext-authz-sessions.ts';
import { ExtAuthzFilter } from '../../src/filters/ext-authz.ts';
import { connectionFacts } from '../support/connection-facts.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { CLUSTER } from '../upstream/upstream-fixture.ts';
import {
  answerCall,
  ask,
  customRules,
  FilterCounters,
  KEY,
  makeFilter,
  providerOf,
  startGrpcProvider,
  startGuarded,
} from './ext-authz-fixture.ts';
import type { Call } from './ext-authz-fixture.ts';

checkLeaks();

const OK_HTTP = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

/** A port that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Accepts and says nothing, or what is given. */
async function silentServer(says = ''): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<{ destroy: () => void }>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('data', () => {
      if (says !== '') socket.end(says);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

describe('a provider that does not answer', () => {
  for (const kind of ['grpc', 'http'] as const) {
    for (const { name, serve, timeoutMs } of [
      {
        name: 'is not there',
        serve: async () => ({ port: await closedPort(), [Symbol.asyncDispose]: () => Promise.resolve() }),
        timeoutMs: 600_000,
      },
      { name: 'accepts and is silent', serve: () => silentServer(), timeoutMs: 50 },
      { name: 'speaks something else', serve: () => silentServer('SSH-2.0-x\r\n\r\n'), timeoutMs: 600_000 },
    ]) {
      it(`${kind}: ${name}`, async () => {
        await using provider = await serve();
        await using closed = await startGuarded({
          port: provider.port,
          provider: { kind, timeoutMs, statusOnError: 503 },
        });
        const refused = await ask(closed.proxy);
        assert.deepEqual([refused.status, refused.body, closed.app.requests.length], [503, '', 0]);
        const entry = await closed.proxy.entry();
        assert.deepEqual([entry.responseCodeDetails, entry.responseFlags], ['ext_authz_error', 'UAEX']);
        await using open = await startGuarded({
          port: provider.port,
          provider: { kind, timeoutMs, failOpen: true },
        });
        assert.equal((await ask(open.proxy)).status, 200);
        assert.match(open.app.text, /x-envoy-auth-failure-mode-allowed: true/);
        assert.ok(open.world.logs.some(({ code }) => code === 'ext_authz_error'));
      });
    }
  }

  it('is 403 without statusOnError, with an empty body, and the log says why', async () => {
    await using provider = await silentServer();
    await using guarded = await startGuarded({ port: provider.port, provider: { timeoutMs: 30 } });
    const answer = await ask(guarded.proxy);
    assert.deepEqual([answer.status, answer.body], [403, '']);
    const line = guarded.proxy.logs.find(({ code }) => code === 'ext_authz_error');
    assert.equal(Reflect.get(line!.fields, 'why'), `CUSTOM foo/ask rule 0, provider opa: no answer in 30 ms`);
  });

  it('is refused to a gRPC app as trailers', async () => {
    await using guarded = await startGuarded({ port: await closedPort(), provider: { statusOnError: 503 } });
    const fields = 'content-type: application/grpc\r\ncontent-length: 0\r\n';
    const answer = await ask(guarded.proxy, '/', fields, 'POST');
    assert.deepEqual([answer.status, answer.header('grpc-status')], [200, '14']);
  });
});

describe('an answer after the deadline', () => {
  it('over gRPC lets nothing through', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port, provider: { timeoutMs: 30 } });
    for (let i = 0; i < 20; i++) {
      assert.equal((await ask(guarded.proxy)).status, 403);
      const call = await provider.call(i);
      // The call was cancelled: the provider hears so, and what it writes goes nowhere.
      await withDeadline(call.cancelled, 5_000, 'the end of the call');
      if (!call.stream.destroyed) answerCall(call.stream, { status: { code: 0 } });
    }
    assert.equal((await ask(guarded.proxy, '/open')).status, 200);
    assert.equal(guarded.app.requests.length, 1);
    assert.equal(guarded.counters.http.error, 20);
    assert.equal(guarded.counters.http.ok, 0);
  });

  it('that is read before the timer was looked at lets nothing through', async () => {
    const client = new ExtAuthzClient({
      provider: providerOf(1, { kind: 'http', timeoutMs: 20 }),
      upstream: () => ({
        pickSessions: () => null,
        opener: {
          open: (sink) => {
            // A turn so long that the answer lies there before the event loop comes to its timers.
            const until = performance.now() + 25;
            while (performance.now() < until);
            sink.onAnswerHead({ status: 200, reason: '', fields: [], bodyLength: 0 }, true);
            return { abort() {} };
          },
        },
      }),
      limits: () => DEFAULT_LIMITS,
      ownSpiffeId: () => '',
    });
    const head = new Http1RequestHead('GET', '/', '1.1');
    const request = { head, connection: FACTS } as unknown as RequestContext;
    const answer = await client.checkRequest(request, null);
    assert.deepEqual([answer.kind, client.pending], ['error', 0]);
  });

  it('over gRPC in the turn of the deadline lets nothing through', async () => {
    const answers: (() => void)[] = [];
    await using provider = await startGrpcProvider(({ stream }) => {
      answers.push(() => {
        if (!stream.destroyed) answerCall(stream, { status: { code: 0 } });
      });
      setTimeout(() => answers.shift()!(), 28 + (answers.length % 5));
      return null;
    });
    await using guarded = await startGuarded({ port: provider.port, provider: { timeoutMs: 30 } });
    const statuses = await Promise.all(
      Array.from({ length: 100 }, async () => (await ask(guarded.proxy)).status),
    );
    const passed = statuses.filter((status) => status === 200).length;
    assert.equal(guarded.app.requests.length, passed);
    assert.equal(guarded.counters.http.ok, passed);
    assert.equal(guarded.counters.http.error, 100 - passed);
  });

  it('over HTTP lets nothing through', async () => {
    await using authz = await startRecordingUpstream({ answer: () => null });
    const guarded = await startGuarded({ port: authz.port, provider: { kind: 'http', timeoutMs: 30 } });
    for (let i = 0; i < 20; i++) {
      assert.equal((await ask(guarded.proxy)).status, 403);
      const connection = await authz.connection(i);
      if (connection.ending === null) connection.socket.write(OK_HTTP);
      await connection.ended();
    }
    assert.equal(guarded.app.requests.length, 0);
    await guarded[Symbol.asyncDispose]();
  });
});

describe('a client that goes away', () => {
  it('ends its gRPC check at once, and it counts as nothing', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port });
    const client = await guarded.proxy.connect();
    await client.write('GET / HTTP/1.1\r\nhost: httpbin\r\n\r\n');
    const call = await provider.call();
    const { pending } = guarded.upstreams.clientOf(guarded.provider);
    assert.equal(pending, 1);
    client.reset();
    await withDeadline(call.cancelled, 5_000, 'RST_STREAM');
    assert.equal(guarded.upstreams.clientOf(guarded.provider).pending, 0);
    const { ok, denied, error } = guarded.counters.http;
    assert.deepEqual([ok, denied, error], [0, 0, 0]);
    // The connection to the provider carries the next one.
    provider.script = () => ({ status: { code: 0 } });
    assert.equal((await ask(guarded.proxy)).status, 200);
    assert.equal(provider.sessions.length, 1);
    client.close();
  });

  it('ends its HTTP check at once', async () => {
    await using authz = await startRecordingUpstream({ answer: () => null });
    const guarded = await startGuarded({ port: authz.port, provider: { kind: 'http' } });
    const client = await guarded.proxy.connect();
    await client.write('GET / HTTP/1.1\r\nhost: httpbin\r\n\r\n');
    await authz.request();
    client.reset();
    await (await authz.connection()).ended();
    assert.equal(guarded.upstreams.clientOf(guarded.provider).pending, 0);
    client.close();
    await guarded[Symbol.asyncDispose]();
  });

  it('before its body is there makes no check', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({
      port: provider.port,
      provider: { body: { maxRequestBytes: 8, allowPartialMessage: true, packAsBytes: false } },
    });
    const client = await guarded.proxy.connect();
    await client.write('POST / HTTP/1.1\r\nhost: httpbin\r\ncontent-length: 5\r\n\r\nab');
    client.reset();
    const entry = await guarded.proxy.entry();
    assert.equal(entry.responseCodeDetails, 'downstream_remote_disconnect');
    assert.equal(provider.calls.length, 0);
    assert.deepEqual(guarded.proxy.filterFailures, []);
    client.close();
  });

  it('while the provider is dialled leaves no check behind', async () => {
    await using provider = await silentServer();
    await using guarded = await startGuarded({ port: provider.port });
    const clients = await Promise.all(Array.from({ length: 20 }, () => guarded.proxy.connect()));
    for (const client of clients) await client.write('GET / HTTP/1.1\r\nhost: httpbin\r\n\r\n');
    const asked = guarded.upstreams.clientOf(guarded.provider);
    await guarded.proxy.until(() => asked.pending === 20, '20 checks');
    for (const client of clients) client.reset();
    await guarded.proxy.until(() => asked.pending === 0, 'no check');
    for (const client of clients) client.close();
  });
});

describe('limits.maxExtAuthzPending', () => {
  for (const failOpen of [false, true]) {
    it(`takes the way of an error, failOpen ${failOpen}`, async () => {
      const waiting: Call[] = [];
      await using provider = await startGrpcProvider((call) => {
        waiting.push(call);
        return null;
      });
      await using guarded = await startGuarded({
        port: provider.port,
        provider: { failOpen, statusOnError: 429 },
        limits: { maxExtAuthzPending: 3 },
      });
      const first = Array.from({ length: 3 }, () => ask(guarded.proxy));
      await provider.call(2);
      const more = await ask(guarded.proxy);
      assert.equal(more.status, failOpen ? 200 : 429);
      assert.equal(guarded.app.requests.length, failOpen ? 1 : 0);
      assert.equal(provider.calls.length, 3);
      for (const { stream } of waiting) answerCall(stream, { status: { code: 0 } });
      assert.deepEqual(
        (await Promise.all(first)).map(({ status }) => status),
        [200, 200, 200],
      );
      provider.script = () => ({ status: { code: 0 } });
      assert.equal((await ask(guarded.proxy)).status, 200);
    });
  }
});

describe('connections to a gRPC provider', () => {
  it('carry many checks at once, on one connection', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using guarded = await startGuarded({ port: provider.port });
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(guarded.proxy)));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(provider.calls.length, 100);
    assert.equal(provider.sessions.length, 1);
    const { rqTotal, rqActive, cxTotal, cxActive } = guarded.world.counters.cluster(CLUSTER);
    assert.deepEqual([rqTotal, rqActive, cxTotal, cxActive], [100, 0, 1, 1]);
  });

  it('keep to the provider’s own limit of streams', async () => {
    await using provider = await startGrpcProvider(() => null);
    provider.server.updateSettings({ maxConcurrentStreams: 2 });
    await using guarded = await startGuarded({ port: provider.port });
    const answers = Array.from({ length: 30 }, () => ask(guarded.proxy));
    let answered = 0;
    while (answered < 30) {
      const { stream } = await provider.call(answered++);
      const open = provider.calls.filter((call) => !call.stream.destroyed).length;
      assert.ok(open <= 8, `${open} calls at once`);
      answerCall(stream, { status: { code: 0 } });
    }
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
    assert.ok(provider.sessions.length <= 4);
  });

  it('are replaced when the provider says that it goes', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using guarded = await startGuarded({ port: provider.port });
    for (let i = 1; i <= 3; i++) {
      assert.equal((await ask(guarded.proxy)).status, 200);
      const session = provider.sessions[i - 1]!;
      const closed = once(session, 'close');
      session.close();
      await closed;
    }
    assert.equal((await ask(guarded.proxy)).status, 200);
    assert.equal(provider.sessions.length, 4);
  });

  it('finish a check that was under way when the provider says that it goes', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port });
    const answer = ask(guarded.proxy);
    const { stream } = await provider.call();
    stream.session!.goaway(0);
    provider.script = () => ({ status: { code: 0 } });
    assert.equal((await ask(guarded.proxy)).status, 200);
    answerCall(stream, { status: { code: 7 } });
    assert.equal((await answer).status, 403);
    assert.equal(provider.sessions.length, 2);
  });

  it('are not waited for when the provider goes and one of them still ends its last check', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port });
    const answer = ask(guarded.proxy);
    const { stream } = await provider.call();
    provider.server.close();
    const refused = once(provider.server, 'close');
    stream.session!.goaway(0);
    // The frame may come after the next check began: then that one is refused, and made again.
    assert.equal((await withDeadline(ask(guarded.proxy), 5_000, 'an error')).status, 403);
    answerCall(stream, { status: { code: 0 } });
    assert.equal((await answer).status, 200);
    await refused;
  });

  it('are as many as may be, without those that only end their last checks', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port });
    const answers: Promise<{ status: number }>[] = [];
    for (let i = 0; i <= MAX_SESSIONS; i++) {
      answers.push(ask(guarded.proxy));
      (await provider.call(i)).stream.session!.goaway(0);
    }
    assert.equal(provider.sessions.length, MAX_SESSIONS + 1);
    for (const { stream } of provider.calls) answerCall(stream, { status: { code: 0 } });
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
  });

  it('take more checks as soon as the provider allows more', async () => {
    await using provider = await startGrpcProvider(() => null);
    provider.server.updateSettings({ maxConcurrentStreams: 1 });
    await using guarded = await startGuarded({ port: provider.port });
    const answers = Array.from({ length: 10 }, () => ask(guarded.proxy));
    await provider.call(MAX_SESSIONS - 1);
    assert.equal(provider.sessions.length, MAX_SESSIONS);
    for (const session of provider.sessions) session.settings({ maxConcurrentStreams: 100 });
    await provider.call(9);
    for (const { stream } of provider.calls) answerCall(stream, { status: { code: 0 } });
    assert.ok((await Promise.all(answers)).every(({ status }) => status === 200));
  });

  it('make a check again that the provider refused to begin, once', async () => {
    let refusals = 1;
    await using provider = await startGrpcProvider(({ stream }) => {
      if (refusals-- <= 0) return { status: { code: 0 } };
      stream.close(7);
      return null;
    });
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 200);
    refusals = 2;
    assert.equal((await ask(guarded.proxy)).status, 403);
    assert.equal(guarded.app.requests.length, 1);
  });

  it('go on when the provider resets a check, which is not made again', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 200);
    provider.script = ({ stream }) => {
      stream.close(2);
      return null;
    };
    assert.equal((await ask(guarded.proxy)).status, 403);
    assert.deepEqual([provider.calls.length, provider.sessions.length], [2, 1]);
    assert.match(
      String(guarded.proxy.logs.map(({ fields }) => Reflect.get(fields, 'why'))),
      /reset with HTTP\/2 error 2/,
    );
  });

  it('carry no more checks at first than the provider takes', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    provider.server.updateSettings({ maxConcurrentStreams: 1 });
    await using guarded = await startGuarded({ port: provider.port });
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(guarded.proxy)));
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200),
      [],
    );
  });

  it('make a check again that met the end of a kept connection', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using guarded = await startGuarded({ port: provider.port });
    assert.equal((await ask(guarded.proxy)).status, 200);
    let first = true;
    provider.script = ({ stream }) => {
      if (!first) return { status: { code: 0 } };
      first = false;
      stream.session!.destroy();
      return null;
    };
    assert.equal((await ask(guarded.proxy)).status, 200);
    assert.equal(provider.sessions.length, 2);
  });

  it('are closed when they have been idle', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using guarded = await startGuarded({ port: provider.port, limits: { idleTimeoutMs: 60 } });
    assert.equal((await ask(guarded.proxy)).status, 200);
    const [session] = provider.sessions;
    if (!session!.destroyed) await once(session!, 'close');
    assert.equal((await ask(guarded.proxy)).status, 200);
    assert.equal(provider.sessions.length, 2);
  });

  it('are closed when nobody waits any more for what they were dialled for', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    const made = makeFilter({ port: provider.port, limits: { idleTimeoutMs: 60 } });
    const wait: { whenGone?: (() => void) | null } = {};
    const verdict = made.filter.onConnection(FACTS, wait);
    await once(provider.server, 'connection');
    wait.whenGone!();
    assert.equal((await verdict).kind, 'deny');
    if (provider.sessions.length === 0) await once(provider.server, 'session');
    const [session] = provider.sessions;
    if (!session!.destroyed) await withDeadline(once(session!, 'close'), 5_000, 'the end of the connection');
    assert.equal(provider.calls.length, 0);
    made.upstreams.close();
    made.world.pools.close();
  });

  it('that break off before they began fail all checks that wait, and are not tried again for each', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const made = makeFilter({ port: (server.address() as AddressInfo).port });
    const asked = Array.from({ length: 50 }, () => made.filter.onConnection(FACTS, {}));
    const verdicts = await Promise.all(asked.map((one) => Promise.resolve(one)));
    assert.ok(verdicts.every(({ kind }) => kind === 'deny'));
    assert.ok(connections <= 2, `${connections} connections`);
    made.upstreams.close();
    made.world.pools.close();
    server.close();
  });

  it('are replaced when the provider has hung', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({
      port: provider.port,
      provider: { timeoutMs: 20 },
      limits: { idleTimeoutMs: 60 },
    });
    while (provider.sessions.length < 3) assert.equal((await ask(guarded.proxy)).status, 403);
    assert.ok(provider.calls.length > 4, `${provider.calls.length} calls`);
    provider.script = () => ({ status: { code: 0 } });
    assert.equal((await ask(guarded.proxy)).status, 200);
  });

  it('end with the sidecar, and the checks on them', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({ port: provider.port });
    const answer = ask(guarded.proxy);
    await provider.call();
    guarded.upstreams.close();
    assert.equal((await answer).status, 403);
    assert.equal((await ask(guarded.proxy)).status, 403);
    assert.equal(guarded.app.requests.length, 0);
  });
});

describe('several providers', () => {
  it('are all asked, and all must allow', async () => {
    const asked: string[] = [];
    const verdicts: Record<string, number> = { a: 0, ab: 0 };
    await using first = await startGrpcProvider(() => {
      asked.push('a');
      return { status: { code: verdicts['a']! } };
    });
    await using second = await startGrpcProvider(() => {
      asked.push('ab');
      return { status: { code: verdicts['ab']! } };
    });
    const other = makeFilter({
      port: second.port,
      provider: { name: 'ab' },
      rules: customRules((request) => request?.path !== '/only-a', '', 'ab'),
    });
    const guarded = await startGuarded({
      port: first.port,
      provider: { name: 'a' },
      rules: customRules((request) => request?.path !== '/only-ab', '', 'a'),
      proxy: { filters: [other.filter] },
    });
    const run = async (target: string): Promise<string> => {
      asked.length = 0;
      const { status } = await ask(guarded.proxy, target);
      return `${status} ${asked.join(' ')}`;
    };
    assert.equal(await run('/'), '200 a ab');
    assert.equal(await run('/only-a'), '200 a');
    assert.equal(await run('/only-ab'), '200 ab');
    verdicts['ab'] = 7;
    assert.equal(await run('/'), '403 a ab');
    assert.equal(await run('/only-a'), '200 a');
    verdicts['a'] = 7;
    assert.equal(await run('/'), '403 a');
    await guarded[Symbol.asyncDispose]();
    other.upstreams.close();
    other.world.pools.close();
  });
});

describe('a provider that cannot be asked', () => {
  const counters = new FilterCounters();
  const rules = customRules(undefined, 'no service opa.opa-system');
  const filter = new ExtAuthzFilter({
    provider: null,
    client: null,
    http: rules,
    tcp: rules,
    counters,
    limits: { maxExtAuthzBodyBytes: null, maxHeaders: 100 },
    log: { debugEnabled: false, error() {}, warn() {}, info() {}, debug() {} },
  });

  it('denies what its rules match, and nothing else', async () => {
    await using provider = await startGrpcProvider(() => null);
    await using guarded = await startGuarded({
      port: provider.port,
      rules: customRules(() => false),
      proxy: { filters: [filter] },
    });
    const answer = await ask(guarded.proxy);
    assert.deepEqual([answer.status, answer.body], [403, 'RBAC: access denied']);
    const entry = await guarded.proxy.entry();
    assert.equal(
      entry.responseCodeDetails,
      `rbac_access_denied_matched_policy[${KEY}-deny-due-to-bad-CUSTOM-action]`,
    );
    assert.equal(entry.responseFlags, '-');
    assert.equal((await ask(guarded.proxy, '/open')).status, 200);
    assert.equal(guarded.app.requests.length, 1);
    assert.equal(provider.calls.length, 0);
    // Istio has rules that deny there, and no ext_authz filter.
    const { allowed, denied, extAuthzShadowAllowed, extAuthzShadowDenied } = counters.rbac.http;
    assert.deepEqual([allowed, denied, extAuthzShadowAllowed, extAuthzShadowDenied], [1, 1, 0, 0]);
    assert.equal(counters.http.disabled, 0);
  });

  it('denies connections', () => {
    const verdict = (filter as Filter).onConnection!(FACTS, {});
    assert.equal('kind' in verdict && verdict.kind, 'deny');
    assert.equal(counters.rbac.tcp.denied, 1);
  });
});

const FACTS = connectionFacts({
  protocol: 'tcp',
  destination: { ip: '10.0.0.2', port: 3306 },
  sni: 'outbound_.3306_._.db.foo.svc.cluster.local',
  alpn: 'istio',
  tls: true,
  tlsVersion: 'TLSv1.3',
});

describe('a TCP connection', () => {
  it('is judged by the gRPC provider, who is told its addresses and SNI', async () => {
    let code = 0;
    await using provider = await startGrpcProvider(() => ({ status: { code } }));
    const made = makeFilter({ port: provider.port });
    assert.deepEqual(await made.filter.onConnection(FACTS, {}), CONTINUE);
    const { attributes } = (await provider.call()).check;
    assert.equal(attributes?.request, undefined);
    assert.equal(attributes?.tlsSession?.sni, FACTS.sni);
    assert.equal(attributes.destination?.address?.address.value?.portSpecifier.value, 3306);
    code = 7;
    const denied = await made.filter.onConnection(FACTS, {});
    assert.deepEqual([denied.kind, denied.kind === 'deny' && denied.details], ['deny', 'ext_authz_denied']);
    const { total, ok, denied: count, cxClosed, active } = made.counters.tcp;
    assert.deepEqual([total, ok, count, cxClosed, active], [2, 1, 1, 1, 0]);
    assert.equal(made.counters.rbac.tcp.extAuthzShadowDenied, 2);
    made.upstreams.close();
    made.world.pools.close();
  });

  for (const failOpen of [false, true]) {
    it(`without an answer goes by failOpen ${failOpen}`, async () => {
      const made = makeFilter({ port: await closedPort(), provider: { failOpen } });
      const verdict = await made.filter.onConnection(FACTS, {});
      assert.equal(verdict.kind, failOpen ? 'continue' : 'deny');
      const { error, failureModeAllowed, cxClosed } = made.counters.tcp;
      assert.deepEqual([error, failureModeAllowed, cxClosed], [1, Number(failOpen), Number(!failOpen)]);
      made.upstreams.close();
      made.world.pools.close();
    });
  }

  it('that goes away ends its check', async () => {
    await using provider = await startGrpcProvider(() => null);
    const made = makeFilter({ port: provider.port });
    const wait: { whenGone?: (() => void) | null } = {};
    const verdict = made.filter.onConnection(FACTS, wait);
    const { cancelled } = await provider.call();
    wait.whenGone!();
    assert.equal((await verdict).kind, 'deny');
    await withDeadline(cancelled, 5_000, 'RST_STREAM');
    assert.equal(wait.whenGone, null);
    assert.equal(made.counters.tcp.active, 0);
    made.upstreams.close();
    made.world.pools.close();
  });
});
