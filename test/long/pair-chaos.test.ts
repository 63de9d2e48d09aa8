import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppLoad } from '../mesh-life/app-load.ts';
import { ProcessMesh, type Part } from '../mesh-life/process-mesh.ts';
import { longSeconds } from '../support/long-seconds.ts';

const FULL_SECONDS = 120;
const READY_WITHIN_MS = 10_000;
const MORTAL: readonly Part[] = ['ca', 'agent-sleep', 'agent-httpbin'];
/** Renewed about once a second; longer than the CA and an agent together are away, and wait to ask again. */
const CERTIFICATE = '{ttl: 60s, renewAt: 0.01, jitter: 0.002}';

/** Park and Miller's: the same order of deaths in every run. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

describe('a pair whose CA and agents die one after the other', () => {
  it('carries every request, and what died is ready again within ten seconds', async (t) => {
    await using mesh = await ProcessMesh.start({ certificate: CERTIFICATE });
    await using load = new AppLoad(mesh, 8);
    const random = createRandom(20_261_123);
    const until = performance.now() + longSeconds(FULL_SECONDS) * 1_000;
    const deaths = new Map<Part, number>();
    let slowestMs = 0;
    await load.more(50);
    do {
      const first = Math.floor(random() * MORTAL.length);
      // One time in three, another one dies while the first is away.
      const dying = MORTAL.filter(
        (_part, index) => index === first || (random() < 1 / 3 && index === (first + 1) % 3),
      );
      for (const part of dying) {
        await mesh.kill(part);
        deaths.set(part, (deaths.get(part) ?? 0) + 1);
        await load.more(Math.floor(random() * 200));
      }
      for (const part of dying) {
        const readyMs = await mesh.becomesReady(part);
        slowestMs = Math.max(slowestMs, readyMs);
        assert.ok(readyMs < READY_WITHIN_MS, `${part} took ${readyMs} ms`);
      }
      await load.more(100);
      assert.deepEqual(load.failures, []);
      assert.ok((await mesh.isReady('proxy-sleep')) && (await mesh.isReady('proxy-httpbin')));
    } while (performance.now() < until);
    await load.stop();
    assert.deepEqual(load.failures, []);
    const died = [...deaths].map(([part, times]) => `${part} ${times}`).join(', ');
    t.diagnostic(`${load.answered} requests; deaths: ${died}; ready again within ${slowestMs.toFixed(0)} ms`);
  });
});
