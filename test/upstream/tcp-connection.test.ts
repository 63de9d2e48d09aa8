/** A TCP connection whose upstream cannot be had: what its one access-log line says, and what it leaves. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { FilterChain } from '../../src/http/filter-chain.ts';
import type { AccessLogEntry } from '../../src/observe/access-log-entry.ts';
import { TunnelCounters } from '../../src/observe/counters.ts';
import { TcpCounter } from '../../src/observe/traffic-counters.ts';
import type { ClusterUpstream } from '../../src/upstream/cluster-upstream.ts';
import { TcpConnection } from '../../src/upstream/tcp-connection.ts';
import { connectionFacts } from '../support/connection-facts.ts';
import { freePort } from '../support/free-port.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { secretOf } from '../tls/tls-fixture.ts';
import { CLUSTER, makeWorld, plain } from './upstream-fixture.ts';
import type { World } from './upstream-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const own = await ca.issue();

checkLeaks();

/** Lets one client connect, carries it to the upstream, and gives the entry of its end. */
async function entryOf(world: World, upstream: ClusterUpstream): Promise<AccessLogEntry> {
  const { promise, resolve } = Promise.withResolvers<AccessLogEntry>();
  const front = createServer({ pauseOnConnect: true }, (socket: Socket) => {
    new TcpConnection({
      end: { socket, raw: socket },
      facts: connectionFacts({
        direction: 'outbound',
        protocol: 'tcp',
        destination: { ip: '10.0.0.2', port: 80 },
        remote: { ip: '127.0.0.1', port: socket.remotePort ?? 0 },
      }),
      upstream,
      filters: new FilterChain([], [], () => {}),
      idleTimeoutMs: 5_000,
      tlsCipher: '',
      ownSpiffeId: '',
      accessLog: () => ({ log: resolve }),
      tunnels: new TunnelCounters(),
      traffic: new TcpCounter({} as never, false),
      log: world.log,
      onBug: (thrown) => {
        world.bugs.push(thrown);
      },
    }).start();
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  using client = await connectRaw({ port: (front.address() as AddressInfo).port });
  const entry = await withDeadline(promise, 5_000, 'the access-log entry');
  await client.readToEnd();
  const closed = once(front, 'close');
  front.close();
  await closed;
  assert.deepEqual(world.bugs, []);
  return entry;
}

describe('a TCP connection', () => {
  it('to an endpoint that refuses is tried once and names it', async () => {
    const port = await freePort();
    const world = makeWorld();
    const upstream = world.upstream([plain(port), plain(await freePort(), 1, '127.0.0.2')]);
    world.pools.poolOf(plain(port).target).active = 0;
    const entry = await entryOf(world, upstream);
    assert.match(entry.upstreamHost, /^127\.0\.0\.[12]:\d+$/);
    assert.deepEqual(
      [entry.responseFlags, entry.upstreamTransportFailureReason, entry.upstreamCluster],
      ['UF', 'delayed_connect_error:_Connection_refused', CLUSTER],
    );
    assert.equal(world.counters.cluster(CLUSTER).cxConnectFail, 1);
    assert.equal(upstream.pickEndpoint()?.active, 0);
  });

  it('to a server that is not who it should be is closed before a byte goes on', async () => {
    const thief = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/thief' });
    let received = '';
    const sockets: Socket[] = [];
    const app = tls.createServer({ cert: thief.chainPem, key: thief.keyPem }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        received += chunk.toString('latin1');
      });
    });
    app.on('connection', (socket: Socket) => sockets.push(socket));
    app.on('tlsClientError', () => {});
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const { port } = app.address() as AddressInfo;
    const world = makeWorld();
    world.tls.setSecret(secretOf(own, { 'cluster.local': ca.rootPem }), ['cluster.local']);
    const dialTls = {
      kind: 'istio',
      sni: 'a',
      alpn: [],
      subjectAltNames: ['spiffe://cluster.local/ns/foo/sa/httpbin'],
      external: null,
    } as const;
    const { target } = plain(port);
    const upstream = world.upstream([{ target: { ...target, tls: dialTls }, weight: 1 }]);
    const entry = await entryOf(world, upstream);
    assert.deepEqual([entry.responseFlags, entry.upstreamHost], ['UF', `127.0.0.1:${port}`]);
    assert.match(entry.upstreamTransportFailureReason, /CERTIFICATE_VERIFY_FAILED/);
    assert.equal(received, '');
    const closed = once(app, 'close');
    app.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });

  it('to a service without endpoints is closed with UH', async () => {
    const world = makeWorld();
    const entry = await entryOf(world, world.upstream([]));
    assert.deepEqual([entry.responseFlags, entry.upstreamHost], ['UH', '']);
    assert.equal(world.logs[0]!.code, 'no_healthy_upstream');
  });
});
