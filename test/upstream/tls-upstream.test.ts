/** Pools and tunnels over TLS: rotation, changes of trust, and what a refused server leaves in the log. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createHash, hash, randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { resetSocket } from '../../src/core/end-socket.ts';
import { Tunnel } from '../../src/upstream/tunnel.ts';
import type { TunnelResult } from '../../src/upstream/tunnel.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { TestCa } from '../support/test-ca.ts';
import type { Issued } from '../support/test-ca.ts';
import { secretOf } from '../tls/tls-fixture.ts';
import { CLUSTER, makeWorld, NotingSink } from './upstream-fixture.ts';
import type { World } from './upstream-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const other = await TestCa.create('cluster.local');
const WANTED = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const good = await ca.issue({ spiffeId: WANTED });
const own = await ca.issue();
const bundles = { 'cluster.local': ca.rootPem };
const DOMAINS = ['cluster.local'];

checkLeaks();

class App implements AsyncDisposable {
  readonly serials: string[] = [];
  readonly sockets = new Set<Socket>();
  requests = 0;
  readonly secured: tls.TLSSocket[] = [];
  answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
  endAfter = false;
  /** Answers nothing until it is let go. */
  hold = false;
  readonly #server: tls.Server;

  constructor(identity: Issued) {
    this.#server = tls.createServer(
      { cert: identity.chainPem, key: identity.keyPem, requestCert: true, rejectUnauthorized: false },
      (socket) => {
        this.secured.push(socket);
        this.serials.push(socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '');
        socket.on('error', () => {});
        socket.on('data', () => {
          this.requests++;
          if (!this.hold) socket.write(this.answer);
          if (this.endAfter) socket.end();
        });
      },
    );
    this.#server.on('tlsClientError', () => {});
    this.#server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

function secured(port: number): Parameters<World['upstream']>[0][number] {
  const dialTls = {
    kind: 'istio',
    sni: 'a',
    alpn: ['istio', 'http/1.1'],
    subjectAltNames: [WANTED],
    external: null,
  } as const;
  return { target: { host: '127.0.0.1', port, cluster: CLUSTER, tls: dialTls }, weight: 1 };
}

function worldOf(): World {
  const world = makeWorld();
  world.tls.setSecret(secretOf(own, bundles), DOMAINS);
  return world;
}

async function get(world: World, port: number): Promise<NotingSink> {
  const sink = new NotingSink();
  world.upstream([secured(port)]).open(sink, false, []);
  await sink.ended;
  return sink;
}

describe('requests over TLS', () => {
  it('share a connection', async () => {
    await using app = await new App(good).listen();
    const world = worldOf();
    for (let i = 0; i < 3; i++) assert.deepEqual((await get(world, app.port)).body, 'ok');
    assert.deepEqual([app.requests, app.serials], [3, [own.serial]]);
    world.pools.close();
    assert.deepEqual(world.bugs, []);
  });

  it('show a new certificate from the next one on, and none of them fails', async () => {
    await using app = await new App(good).listen();
    const world = worldOf();
    const serials: string[] = [];
    for (let version = 2; version < 12; version++) {
      await get(world, app.port);
      const renewed = await ca.issue();
      serials.push(renewed.serial);
      app.hold = true;
      const during = new NotingSink();
      world.upstream([secured(app.port)]).open(during, false, []);
      world.tls.setSecret(secretOf(renewed, bundles, version, 1), DOMAINS);
      world.pools.rejudge();
      app.hold = false;
      assert.equal(await during.ended, null);
    }
    await get(world, app.port);
    assert.deepEqual(app.serials, [own.serial, ...serials]);
    world.pools.close();
  });

  it('are refused before the app sees one, with all of it in one log line', async () => {
    const thief = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/thief' });
    await using app = await new App(thief).listen();
    const world = worldOf();
    const sink = new NotingSink();
    world.upstream([secured(app.port)]).open(sink, false, []);
    const failure = await sink.ended;
    assert.equal(failure?.code, 'upstream_identity_mismatch');
    assert.equal(failure.upstreamHost, `127.0.0.1:${app.port}`);
    assert.deepEqual([failure.sent, failure.answered], [false, false]);
    assert.match(failure.transportReason, /CERTIFICATE_VERIFY_FAILED/);
    assert.equal(app.requests, 0);
    assert.equal(world.logs.length, 1);
    const { code, fields } = world.logs[0]!;
    assert.equal(code, 'upstream_identity_mismatch');
    assert.deepEqual(fields['wanted'], [WANTED]);
    assert.equal(fields['server'], 'spiffe://cluster.local/ns/foo/sa/thief');
    assert.equal(world.counters.cluster(CLUSTER).cxConnectFail, 1);
  });

  it('do not keep what the app closed, nor take half an answer for a whole one', async () => {
    await using app = await new App(good).listen();
    const world = worldOf();
    await get(world, app.port);
    const cluster = world.counters.cluster(CLUSTER);
    assert.equal(cluster.cxActive, 1);
    for (const socket of app.secured) socket.end();
    await withDeadline(
      (async () => {
        while (cluster.cxActive > 0) await new Promise(setImmediate);
      })(),
      3_000,
      'the end of the idle connection',
    );
    app.answer = 'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf';
    app.endAfter = true;
    const sink = new NotingSink();
    world.upstream([secured(app.port)]).open(sink, false, []);
    assert.equal((await sink.ended)?.code, 'upstream_truncated');
  });

  it('lose their connections, busy and idle, when trust in the server ends', async () => {
    await using app = await new App(good).listen();
    const world = worldOf();
    await get(world, app.port);
    app.hold = true;
    const busy = new NotingSink();
    const idle = new NotingSink();
    world.upstream([secured(app.port)]).open(busy, false, []);
    app.hold = false;
    world.upstream([secured(app.port)]).open(idle, true, []);
    assert.equal(await idle.ended, null);
    app.hold = true;
    const waiting = new NotingSink();
    world.upstream([secured(app.port)]).open(waiting, false, []);
    const trusted = { 'cluster.local': other.rootPem };
    world.tls.setSecret(secretOf(own, trusted, 2, 2), DOMAINS);
    world.pools.rejudge();
    assert.equal((await waiting.ended)?.code, 'upstream_reset');
    assert.equal(world.counters.cluster(CLUSTER).cxActive, 0);
    assert.equal((await get(world, app.port)).status, 0);
    assert.ok(world.logs.some(({ code }) => code === 'upstream_untrusted'));
    world.pools.close();
  });
});

/** A client, a tunnel in the middle, and a TLS app at its end. */
interface Rig extends AsyncDisposable {
  readonly client: RawClient;
  readonly app: tls.TLSSocket;
  readonly result: Promise<TunnelResult>;
  readonly world: World;
}

async function rig(): Promise<Rig> {
  const world = worldOf();
  const { promise: app, resolve: onApp } = Promise.withResolvers<tls.TLSSocket>();
  const server = tls.createServer({ cert: good.chainPem, key: good.keyPem, allowHalfOpen: true }, onApp);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstream = world.upstream([secured((server.address() as AddressInfo).port)]);
  const { promise: result, resolve } = Promise.withResolvers<TunnelResult>();
  const sockets: Socket[] = [];
  const front = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    let tunnel: Tunnel | null = null;
    const carry = (dialled: Socket): void => {
      sockets.push(dialled);
      const ends = [
        { socket, raw: socket },
        { socket: dialled, raw: dialled },
      ] as const;
      tunnel = new Tunnel(ends[0], ends[1], 60_000, resolve);
      tunnel.start();
    };
    const fail = (error: Error): void => {
      socket.destroy(error);
    };
    upstream.pickEndpoint()!.dial(carry, fail, (view) => tunnel?.receiveFromUpstream(view), upstream);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  const client = await connectRaw({ port: (front.address() as AddressInfo).port, timeoutMs: 5_000 });
  const appSocket = await withDeadline(app, 5_000, 'the connection at the app');
  appSocket.on('error', () => {});
  return {
    client,
    app: appSocket,
    result: withDeadline(result, 5_000, 'the end of the tunnel'),
    world,
    async [Symbol.asyncDispose](): Promise<void> {
      const closed = Promise.all([once(server, 'close'), once(front, 'close')]);
      server.close();
      front.close();
      client.close();
      appSocket.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

describe('a tunnel over TLS', () => {
  it('is destroyed when trust in its server ends', async () => {
    await using app = await new App(good).listen();
    const world = worldOf();
    const upstream = world.upstream([secured(app.port)]);
    const endpoint = upstream.pickEndpoint()!;
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    endpoint.dial(resolve, reject, () => {}, upstream);
    const socket = await promise;
    const ended = new Promise<void>((resolveEnd) => {
      socket.on('error', () => {});
      socket.once('close', () => resolveEnd());
    });
    world.tls.setSecret(secretOf(own, { 'cluster.local': other.rootPem }, 2, 2), DOMAINS);
    world.pools.rejudge();
    await ended;
    assert.equal(socket.destroyed, true);
  });

  it('carries bulk both ways, whole, past a reader that is slow', async () => {
    await using parts = await rig();
    const bulk = randomBytes(3_000_000);
    const sum = hash('sha256', bulk);
    const echoed = createHash('sha256');
    let received = 0;
    parts.app.on('data', (chunk: Buffer) => {
      if (!parts.app.write(chunk)) parts.app.pause();
    });
    parts.app.on('drain', () => parts.app.resume());
    parts.app.on('end', () => parts.app.end());
    parts.client.pause();
    const reading = parts.client.readToEnd();
    await parts.client.write(bulk.subarray(0, 1_000_000));
    parts.client.socket.write(bulk.subarray(1_000_000));
    parts.client.end();
    parts.client.socket.resume();
    const { bytes } = await reading;
    received = bytes.length;
    echoed.update(bytes);
    assert.deepEqual([received, echoed.digest('hex')], [bulk.length, sum]);
    assert.equal((await parts.result).end, 'closed');
  });

  it('passes a reset of either side on to the other', async () => {
    {
      await using parts = await rig();
      const { promise, resolve } = Promise.withResolvers<string>();
      parts.app.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      parts.app.resume();
      parts.client.reset();
      assert.equal(await withDeadline(promise, 3_000, 'the reset at the app'), 'ECONNRESET');
      assert.equal((await parts.result).end, 'downstream_reset');
    }
    await using parts = await rig();
    resetSocket(parts.app);
    assert.equal((await parts.client.readToEnd()).ending, 'reset');
    assert.equal((await parts.result).end, 'upstream_reset');
  });
});
