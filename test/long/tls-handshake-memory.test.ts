/** Thousands of handshakes, good ones, resumed ones and refused ones, in memory that stays flat. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';
import vm from 'node:vm';
import { TestCa } from '../support/test-ca.ts';
import { secretOf, TestTerminator } from '../tls/tls-fixture.ts';

const HANDSHAKES_A_ROUND = 500;
/** Heap, arenas and slabs reach their size in the first 5,000 handshakes, as those of a bare `tls.Server` do. */
const WARM_UP_ROUNDS = 10;
const ROUNDS = WARM_UP_ROUNDS + 4;

v8.setFlagsFromString('--expose-gc');
const collectGarbage = vm.runInNewContext('gc') as () => void;

describe('thousands of mTLS handshakes', () => {
  it('leave no memory and no listener behind', { timeout: 300_000 }, async () => {
    const ca = await TestCa.create('cluster.local');
    const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    const good = await ca.issue();
    const bad = await ca.issue({ expired: true });
    let accepted = 0;
    let listeners = 0;
    await using terminator = await TestTerminator.start({
      onResult: (result) => {
        terminator.results.length = 0;
        if (!result.ok) return;
        accepted++;
        const { socket, raw } = result.secure;
        for (const event of socket.eventNames()) listeners = Math.max(listeners, socket.listenerCount(event));
        for (const event of raw.eventNames()) listeners = Math.max(listeners, raw.listenerCount(event));
        socket.end('ok');
      },
    });
    terminator.tls.setSecret(secretOf(own, { 'cluster.local': ca.rootPem }), ['cluster.local']);
    const child = fork(fileURLToPath(new URL('tls-handshake-client.ts', import.meta.url)), { execArgv: [] });
    const rssMb: number[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        child.send({
          port: terminator.port,
          count: HANDSHAKES_A_ROUND,
          good: { cert: good.chainPem, key: good.keyPem },
          bad: { cert: bad.chainPem, key: bad.keyPem },
        });
        await once(child, 'message');
        // A new certificate a round: old servers have to go as well.
        const next = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
        terminator.tls.setSecret(secretOf(next, { 'cluster.local': ca.rootPem }, round + 2), [
          'cluster.local',
        ]);
        collectGarbage();
        rssMb.push(process.memoryUsage().rss / 1_048_576);
      }
    } finally {
      child.kill();
      await once(child, 'exit');
    }
    assert.ok(accepted >= ROUNDS * HANDSHAKES_A_ROUND * 0.7, `${accepted} accepted`);
    assert.ok(listeners <= 5, `${listeners} listeners for one event`);
    assert.deepEqual(terminator.bugs, []);
    assert.equal(terminator.sockets.size, 0);
    const growthMb = rssMb.at(-1)! - rssMb[WARM_UP_ROUNDS - 1]!;
    assert.ok(growthMb < 5, `resident memory grew: ${rssMb.map((mb) => mb.toFixed(1)).join(' ')} MB`);
  });
});
