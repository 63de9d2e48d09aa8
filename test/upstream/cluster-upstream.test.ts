/** Which endpoint is asked, which is not asked for a while, and what its pools keep. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONSECUTIVE_CONNECT_FAILURES } from '../../src/upstream/endpoint-health.ts';
import { MAX_EMPTY_POOLS } from '../../src/upstream/endpoint-pools.ts';
import type { ClusterUpstream } from '../../src/upstream/cluster-upstream.ts';
import type { PendingExchange } from '../../src/http/exchange.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { CLUSTER, HandDialer, makeWorld, NotingSink, plain } from './upstream-fixture.ts';

checkLeaks();

/** `count` exchanges that wait for their connection; ports of the endpoints that got them. */
function openMany(upstream: ClusterUpstream, dialer: HandDialer, count: number): Map<number, number> {
  const before = dialer.dials.length;
  for (let i = 0; i < count; i++) upstream.open(new NotingSink(), false, []);
  const byPort = new Map<number, number>();
  for (const { target } of dialer.dials.slice(before))
    byPort.set(target.port, (byPort.get(target.port) ?? 0) + 1);
  return byPort;
}

/** Fails `count` dials of the endpoint at `port`. */
async function failAt(
  upstream: ClusterUpstream,
  dialer: HandDialer,
  port: number,
  count: number,
): Promise<void> {
  const others = [1, 2, 3, 4].filter((other) => other !== port).map((other) => `10.0.0.${other}:${other}`);
  for (let i = 0; i < count; i++) {
    const sink = new NotingSink();
    upstream.open(sink, false, others);
    const dial = dialer.dials.at(-1)!;
    assert.equal(dial.target.port, port);
    dial.fail();
    await sink.ended;
  }
}

const byNumber = (a: number, b: number): number => a - b;
const four = [1, 2, 3, 4].map((port) => plain(port, 1, `10.0.0.${port}`));

describe('a cluster', () => {
  it('spreads requests that take long evenly, by what each endpoint is busy with', () => {
    const dialer = new HandDialer();
    const { upstream } = makeWorld({ dialer });
    const byPort = openMany(upstream(four), dialer, 400);
    for (const { target } of four) {
      const share = byPort.get(target.port)!;
      assert.ok(share >= 90 && share <= 110, `port ${target.port} got ${share} of 400`);
    }
  });

  it('asks the less busy of two', () => {
    const dialer = new HandDialer();
    const { upstream } = makeWorld({ dialer });
    const cluster = upstream([four[0]!, four[1]!]);
    const pending: PendingExchange[] = [];
    for (let i = 0; i < 10; i++) pending.push(cluster.open(new NotingSink(), false, ['10.0.0.2:2']));
    assert.deepEqual(openMany(cluster, dialer, 10), new Map([[2, 10]]));
    for (const one of pending) one.abort();
    assert.deepEqual(openMany(cluster, dialer, 10), new Map([[1, 10]]));
  });

  it('shares by weight where weights differ', () => {
    const dialer = new HandDialer();
    const { upstream } = makeWorld({ dialer });
    const cluster = upstream([plain(1, 1, '10.0.0.1'), plain(2, 3, '10.0.0.2')]);
    for (let i = 0; i < 400; i++) cluster.open(new NotingSink(), false, []).abort();
    const second = dialer.dials.filter(({ target }) => target.port === 2).length;
    assert.ok(second >= 295 && second <= 305, `weight 3 got ${second} of 400`);
  });

  it('has nobody to ask without endpoints, and says so in the turn of the call', async () => {
    const { upstream } = makeWorld();
    const sink = new NotingSink();
    upstream([]).open(sink, false, []).abort();
    const failure = await sink.ended;
    assert.deepEqual([failure?.code, failure?.upstreamHost], ['no_healthy_upstream', '']);
    assert.equal(upstream([]).pickEndpoint(), null);
  });

  it('asks another endpoint on a retry, and the same where there is no other', async () => {
    const dialer = new HandDialer();
    const { upstream } = makeWorld({ dialer });
    const cluster = upstream(four);
    for (let i = 0; i < 50; i++) {
      cluster.open(new NotingSink(), false, ['10.0.0.1:1', '10.0.0.3:3']);
      assert.ok([2, 4].includes(dialer.dials.at(-1)!.target.port));
    }
    cluster.open(
      new NotingSink(),
      false,
      four.map(({ target }) => `${target.host}:${target.port}`),
    );
    upstream([four[0]!]).open(new NotingSink(), false, ['10.0.0.1:1']);
    assert.equal(dialer.dials.at(-1)!.target.port, 1);
  });
});

describe('an endpoint that cannot be reached', () => {
  it('is ejected after five failures in a row, longer each time, in one log line', async () => {
    const dialer = new HandDialer();
    const world = makeWorld({ dialer });
    let nowMs = 1_000;
    const cluster = world.upstream(four, () => nowMs);
    for (const [round, forMs] of [30_000, 60_000, 90_000].entries()) {
      await failAt(cluster, dialer, 1, CONSECUTIVE_CONNECT_FAILURES - 1);
      assert.equal(world.logs.length, round);
      await failAt(cluster, dialer, 1, 1);
      const { code, fields } = world.logs[round]!;
      assert.deepEqual(
        [code, fields],
        ['upstream_ejected', { upstream: '10.0.0.1:1', cluster: CLUSTER, forMs }],
      );
      assert.equal(openMany(cluster, dialer, 100).has(1), false);
      nowMs += forMs - 1;
      assert.equal(openMany(cluster, dialer, 100).has(1), false);
      nowMs += 1;
      assert.equal(openMany(cluster, dialer, 400).has(1), true);
    }
    assert.equal(world.counters.cluster(CLUSTER).outlierEjections, 3);
  });

  it('is never ejected for more than 300 s', async () => {
    const dialer = new HandDialer();
    const world = makeWorld({ dialer });
    let nowMs = 1_000;
    const cluster = world.upstream(four, () => nowMs);
    for (let round = 0; round < 12; round++) {
      await failAt(cluster, dialer, 1, CONSECUTIVE_CONNECT_FAILURES);
      nowMs += 300_000;
    }
    const longest = Math.max(...world.logs.map(({ fields }) => Number(fields['forMs'])));
    assert.ok(longest <= 300_000 && longest >= 30_000);
  });

  it('stays while half of the cluster is ejected, and where it is the only one', async () => {
    const dialer = new HandDialer();
    const world = makeWorld({ dialer });
    const cluster = world.upstream(four);
    for (const port of [1, 2, 3, 4]) await failAt(cluster, dialer, port, 2 * CONSECUTIVE_CONNECT_FAILURES);
    assert.equal(world.logs.length, 2);
    assert.deepEqual([...openMany(cluster, dialer, 100).keys()].toSorted(byNumber), [3, 4]);
    const alone = makeWorld({ dialer });
    await failAt(alone.upstream([four[0]!]), dialer, 1, 2 * CONSECUTIVE_CONNECT_FAILURES);
    assert.deepEqual(alone.logs, []);
  });

  it('stays ejected over a reload, and all are asked when all are ejected', async () => {
    const dialer = new HandDialer();
    const world = makeWorld({ dialer });
    const cluster = world.upstream(four);
    for (const port of [1, 2]) await failAt(cluster, dialer, port, CONSECUTIVE_CONNECT_FAILURES);
    const reloaded = world.upstream(four.slice(0, 3));
    assert.deepEqual(openMany(reloaded, dialer, 60), new Map([[3, 60]]));
    const onlyBad = world.upstream(four.slice(0, 2));
    assert.deepEqual([...openMany(onlyBad, dialer, 60).keys()].toSorted(byNumber), [1, 2]);
  });
});

describe('pools', () => {
  it('keep a connection for the next request, also under another snapshot', async () => {
    await using server = await startRecordingUpstream();
    const world = makeWorld();
    for (let i = 0; i < 3; i++) {
      const sink = new NotingSink();
      world.upstream([plain(server.port)]).open(sink, false, []);
      assert.equal(await sink.ended, null);
      assert.deepEqual([sink.status, sink.body], [200, 'ok']);
    }
    assert.equal(server.connections.length, 1);
    const { cxTotal, rqTotal, rqActive } = world.counters.cluster(CLUSTER);
    assert.deepEqual([cxTotal, rqTotal, rqActive], [1, 3, 0]);
    world.pools.close();
  });

  it('are bounded where they hold nothing, and a cluster goes on with the next one', async () => {
    await using server = await startRecordingUpstream();
    const world = makeWorld();
    const cluster = world.upstream([plain(server.port)]);
    const first = cluster.pickEndpoint()!;
    for (let i = 0; i < 3 * MAX_EMPTY_POOLS; i++) world.pools.poolOf(plain(i + 1, 1, '10.9.9.9').target);
    assert.ok(world.pools.size <= MAX_EMPTY_POOLS + 1, `${world.pools.size} pools`);
    assert.equal(first.closed, true);
    const sink = new NotingSink();
    cluster.open(sink, false, []);
    assert.equal(await sink.ended, null);
    world.pools.close();
  });

  it('are not shared by clusters or TLS identities', () => {
    const { pools } = makeWorld();
    const { target } = plain(1);
    const tls = { kind: 'istio', sni: 'a', alpn: [], subjectAltNames: [], external: null } as const;
    const all = [
      target,
      { ...target, cluster: 'other' },
      { ...target, tls },
      { ...target, tls: { ...tls, subjectAltNames: ['spiffe://a/b'] } },
      { ...target, tls: { ...tls, sni: 'b' } },
    ];
    assert.equal(new Set(all.map((one) => pools.poolOf(one))).size, all.length);
    assert.equal(pools.poolOf({ ...target, tls: { ...tls } }), pools.poolOf({ ...target, tls }));
  });
});
