import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ErrorCodeName } from '../../src/core/errors.ts';
import { LiveConnections } from '../../src/intercept/live-connections.ts';
import type { LiveConnection } from '../../src/intercept/live-connections.ts';

const facts = {
  direction: 'inbound',
  destination: { ip: '10.0.0.2', port: 8080 },
  remote: { ip: '10.0.0.9', port: 40_000 },
} as const;

/** A table of `count` connections that leave it when they are closed, and a record of why they were. */
function table(count: number): {
  live: LiveConnections;
  closed: Map<number, ErrorCodeName>;
  all: LiveConnection[];
} {
  const live = new LiveConnections();
  const closed = new Map<number, ErrorCodeName>();
  const all: LiveConnection[] = [];
  for (let index = 0; index < count; index++) {
    const connection: LiveConnection = live.add(facts, {
      close(reason) {
        closed.set(connection.id, reason);
        live.remove(connection);
      },
      closeGracefully() {
        live.remove(connection);
      },
    });
    all.push(connection);
  }
  return { live, closed, all };
}

describe('LiveConnections', () => {
  it('counts by phase, and a connection leaves once', () => {
    const { live, all } = table(3);
    const [first, second] = all;
    assert.ok(first !== undefined && second !== undefined);
    live.setPhase(first, 'handshaking');
    live.setPhase(first, 'http');
    live.setPhase(second, 'tcp');
    assert.deepEqual({ ...live.counts }, { sniffing: 1, handshaking: 0, http: 1, tcp: 1 });
    assert.equal(live.get(first.id), first);
    live.remove(first);
    live.remove(first);
    live.setPhase(first, 'tcp');
    assert.deepEqual({ ...live.counts }, { sniffing: 1, handshaking: 0, http: 0, tcp: 1 });
    assert.equal(live.size, 2);
    assert.deepEqual(
      [...live.values()].map(({ id }) => id),
      [2, 3],
    );
  });

  it('closes what is judged so, in slices that let other work run, and leaves out who came later', async () => {
    const { live, closed, all } = table(2_000);
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns++;
      if (turns === 2) live.add(facts, { close: assert.fail, closeGracefully: assert.fail });
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    const outcome = await live.rejudge((connection) => {
      const until = performance.now() + 0.01;
      while (performance.now() < until);
      return connection.id % 2 === 0 ? 'tls_untrusted_certificate' : null;
    }, 2);
    counting = false;
    assert.deepEqual(outcome, { judged: 2_000, closed: 1_000, superseded: false });
    assert.equal(closed.size, 1_000);
    assert.ok([...closed.values()].every((reason) => reason === 'tls_untrusted_certificate'));
    assert.equal(live.size, 1_001);
    assert.ok(turns >= 3, `other work ran ${turns} times`);
    assert.equal(all[0]?.id, 1);
  });

  it('closes a connection whose judgement throws', async () => {
    const { live, closed } = table(2);
    const outcome = await live.rejudge((connection) => {
      if (connection.id === 1) throw new Error('no');
      return null;
    }, 5);
    assert.deepEqual(outcome, { judged: 2, closed: 1, superseded: false });
    assert.deepEqual([...closed], [[1, 'bug']]);
  });

  it('lets newer rules take over from older ones', async () => {
    const { live, closed } = table(100);
    const older = live.rejudge(() => {
      const until = performance.now() + 1;
      while (performance.now() < until);
      return null;
    }, 1);
    const newer = live.rejudge(() => 'tls_expired_certificate', 5);
    assert.deepEqual(await newer, { judged: 100, closed: 100, superseded: false });
    const { superseded, judged } = await older;
    assert.equal(superseded, true);
    assert.ok(judged < 100);
    assert.equal(closed.size, 100);
  });

  it('tells when it is empty, at once if it is', async () => {
    const { live, closed } = table(3);
    const empty = live.whenEmpty();
    live.closeAllGracefully();
    await empty;
    await live.whenEmpty();
    assert.equal(live.size, 0);
    assert.equal(closed.size, 0);
    const other = table(3);
    other.live.closeAll('draining');
    assert.deepEqual([...other.closed.values()], ['draining', 'draining', 'draining']);
    await other.live.whenEmpty();
  });
});
