/** What holds over many handshakes: resumption, changes of certificate and trust, and nothing left behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { resetSocket } from '../../src/core/end-socket.ts';
import type { MeshError } from '../../src/core/errors.ts';
import type { Refusal } from '../../src/tls/handshake-failure.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TestCa } from '../support/test-ca.ts';
import type { SecureUpstream } from '../../src/tls/outbound-tls.ts';
import {
  dial,
  type Dialling,
  meshTls,
  startRoom,
  startServer,
  targetOf,
  useOnce,
  WANTED,
} from './outbound-fixture.ts';
import { secretOf } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const other = await TestCa.create('cluster.local');
const partner = await TestCa.create('partner.example');
const own = await ca.issue();
const good = await ca.issue({ spiffeId: WANTED });
const DOMAINS = ['cluster.local'];
const bundles = { 'cluster.local': ca.rootPem };

checkLeaks();

function roomOf(nowMs: () => number = Date.now): Dialling {
  const room = startRoom(nowMs);
  room.tls.setSecret(secretOf(own, bundles), DOMAINS);
  return room;
}

async function rejudged(room: Dialling): Promise<Refusal[]> {
  const closed: Refusal[] = [];
  await room.tls.rejudge((_, refusal) => closed.push(refusal));
  return closed;
}

describe('a session', () => {
  it('is resumed with the same server for the same identity, and the server is known again', async () => {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      await using server = await startServer({ identity: good, options: { maxVersion } });
      const room = roomOf();
      const target = targetOf(server.port, meshTls());
      await useOnce(await dial(room, target));
      const second = await dial(room, target);
      assert.deepEqual([second.secure?.resumed, second.secure?.peer?.spiffeId], [true, WANTED]);
      await useOnce(second);
      assert.deepEqual(server.resumed, [false, true], maxVersion);
    }
  });

  it('is not used for another identity, SNI or ALPN', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    await useOnce(await dial(room, targetOf(server.port, meshTls())));
    const others = [
      meshTls([]),
      meshTls([WANTED, 'spiffe://cluster.local/ns/foo/sa/more']),
      { ...meshTls(), sni: 'other' },
      { ...meshTls(), alpn: ['istio'] },
    ];
    for (const dialTls of others) await useOnce(await dial(room, targetOf(server.port, dialTls)));
    const refused = await dial(room, targetOf(server.port, meshTls(['spiffe://cluster.local/x'])));
    assert.ok(refused.failure?.kind === 'handshake');
    assert.equal(refused.failure.failure.code, 'upstream_identity_mismatch');
    assert.deepEqual(new Set(server.resumed), new Set([false]));
  });

  it('does not outlive a change of our certificate or of trust', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const target = targetOf(server.port, meshTls());
    await useOnce(await dial(room, target));
    const renewed = await ca.issue();
    room.tls.setSecret(secretOf(renewed, bundles, 2, 1), DOMAINS);
    await useOnce(await dial(room, target));
    assert.deepEqual(server.resumed, [false, false]);
    assert.deepEqual(server.serials, [own.serial, renewed.serial]);
    room.tls.setSecret(secretOf(renewed, { 'cluster.local': other.rootPem }, 3, 2), DOMAINS);
    const { failure } = await dial(room, target);
    assert.ok(failure?.kind === 'handshake');
    assert.equal(failure.failure.code, 'upstream_untrusted');
  });

  it('is not offered to a server whose certificate has expired since', async () => {
    let nowMs = Date.now();
    await using server = await startServer({ identity: good });
    const room = roomOf(() => nowMs);
    const target = targetOf(server.port, meshTls());
    await useOnce(await dial(room, target));
    nowMs += 2 * 3_600_000;
    const { failure } = await dial(room, target);
    assert.ok(failure?.kind === 'handshake');
    assert.equal(failure.failure.reason, 'expired');
    await server.until(() => server.sockets.size === 0, 'the end of the connection');
  });

  it("that a server does not take is a handshake like any other, judged by the server's new certificate", async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const target = targetOf(server.port, meshTls());
    await useOnce(await dial(room, target));
    const thief = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/thief' });
    server.use(thief, { ticketKeys: Buffer.alloc(48, 9) });
    const { failure } = await dial(room, target);
    assert.ok(failure?.kind === 'handshake');
    assert.equal(failure.failure.code, 'upstream_identity_mismatch');
  });

  it('is resumed across bundles of several trust domains, each chain followed to its own', async () => {
    await using server = await startServer({ identity: good });
    const room = startRoom();
    const both = { ...bundles, 'partner.example': partner.rootPem };
    room.tls.setSecret(secretOf(own, both), ['cluster.local', 'partner.example']);
    const target = targetOf(server.port, meshTls());
    await useOnce(await dial(room, target));
    await useOnce(await dial(room, target));
    assert.deepEqual(server.resumed, [false, true]);
  });
});

describe('a live connection', () => {
  it('is destroyed when trust in its server ends, resumed or not, and kept when it does not', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const target = targetOf(server.port, meshTls());
    await useOnce(await dial(room, target));
    const first = (await dial(room, target)).secure!;
    room.tls.setSecret(secretOf(own, bundles, 2, 1), DOMAINS);
    const second = (await dial(room, target)).secure!;
    assert.deepEqual([first.resumed, second.resumed], [true, false]);
    assert.deepEqual(await rejudged(room), []);
    room.tls.setSecret(secretOf(own, { 'cluster.local': ca.rootPem + other.rootPem }, 3, 2), DOMAINS);
    assert.deepEqual(await rejudged(room), []);
    assert.equal(first.socket.destroyed || second.socket.destroyed, false);
    const errors: string[] = [];
    const closed = [first, second].map(({ socket }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.on('error', (error: MeshError) => errors.push(error.code));
      socket.on('close', () => resolve());
      return promise;
    });
    room.tls.setSecret(secretOf(own, { 'cluster.local': other.rootPem }, 4, 3), DOMAINS);
    assert.notEqual(room.tls.judgeAgain(first.socket), null);
    const refusals = await rejudged(room);
    assert.deepEqual(
      refusals.map(({ code }) => code),
      ['upstream_untrusted', 'upstream_untrusted'],
    );
    await Promise.all(closed);
    assert.deepEqual(errors, ['upstream_untrusted', 'upstream_untrusted']);
  });

  it('whose handshake began under trust that ended is refused', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const dialling = dial(room, targetOf(server.port, meshTls()));
    room.tls.setSecret(secretOf(own, { 'cluster.local': other.rootPem }, 2, 2), DOMAINS);
    const { failure } = await dialling;
    assert.ok(failure?.kind === 'handshake');
    assert.equal(failure.failure.code, 'upstream_untrusted');
  });

  it('is reset so that the server knows it from an end', async () => {
    await using server = await startServer({ identity: good });
    const dialled = await dial(roomOf(), targetOf(server.port, meshTls()));
    const { socket } = dialled.secure!;
    socket.write('hello');
    // A server that is still writing its tickets may take the reset for an end.
    while (dialled.text() === '') await new Promise(setImmediate);
    const closed = once(socket, 'close');
    resetSocket(socket);
    await closed;
    await server.until(() => server.errors.length > 0, 'the reset at the server');
    assert.deepEqual(server.errors, ['ECONNRESET']);
  });

  it('that has sent its end is closed by a reset too', async () => {
    await using server = await startServer({ identity: good });
    const { socket } = (await dial(roomOf(), targetOf(server.port, meshTls()))).secure!;
    const closed = once(socket, 'close');
    socket.end('bye');
    await new Promise(setImmediate);
    resetSocket(socket);
    await closed;
    await server.until(() => server.sockets.size === 0, 'the end at the server');
  });
});

describe('dials without end', () => {
  it('that are aborted at any moment answer nobody and leave nothing', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const target = targetOf(server.port, meshTls());
    let answered = 0;
    let aborted = false;
    const count = (): void => {
      assert.equal(aborted, false);
      answered++;
    };
    for (let i = 0; i < 60; i++) {
      const limits = { connectTimeoutMs: 5_000, handshakeTimeoutMs: 5_000 };
      aborted = false;
      const secured = ({ socket }: SecureUpstream): void => {
        count();
        socket.destroy();
      };
      const attempt = room.tls.connect(target, limits, secured, count);
      const turns = i % 12;
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      aborted = true;
      attempt.abort();
      attempt.abort();
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    }
    await server.until(() => server.sockets.size === 0, 'the end of all connections');
    assert.ok(answered > 0 && answered < 60, `${answered} of 60 were answered`);
    assert.deepEqual(room.bugs, []);
  });

  it(
    '2,000 of them, accepted and refused, leave no socket and no listener',
    { timeout: 60_000 },
    async () => {
      const bad = await other.issue({ spiffeId: WANTED });
      await using server = await startServer({ identity: good });
      await using foreign = await startServer({ identity: bad });
      const room = roomOf();
      const sockets: TLSSocket[] = [];
      const target = targetOf(server.port, meshTls());
      const wrong = targetOf(foreign.port, meshTls());
      const worker = async (): Promise<void> => {
        for (let i = 0; i < 250; i++) {
          const dialled = await dial(room, i % 5 === 0 ? wrong : target);
          if (dialled.secure === null) continue;
          sockets.push(dialled.secure.socket);
          const closed = once(dialled.secure.socket, 'close');
          dialled.secure.socket.destroy();
          await closed;
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
      assert.equal(sockets.length, 1_600);
      for (const socket of sockets) {
        assert.equal(socket.destroyed, true);
        assert.ok(socket.listenerCount('error') <= 2, `${socket.listenerCount('error')} error listeners`);
        for (const name of ['connect', 'secureConnect']) assert.equal(socket.listenerCount(name), 0, name);
      }
      await server.until(() => server.sockets.size === 0, 'the end of all connections');
      assert.deepEqual(await rejudged(room), []);
      assert.deepEqual(room.bugs, []);
    },
  );
});
