import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { atOnce, inSlices } from '../../src/core/in-slices.ts';
import type { Steps } from '../../src/core/in-slices.ts';

/** Each step takes a millisecond at least. */
function* work(steps: number): Steps<number> {
  for (let done = 0; done < steps; done++) {
    const end = performance.now() + 1;
    while (performance.now() < end);
    yield;
  }
  return steps;
}

function* failing(): Steps<never> {
  yield;
  throw new Error('no');
}

describe('work in steps', () => {
  it('is done at once where nobody waits', () => {
    assert.equal(atOnce(work(3)), 3);
    assert.throws(() => atOnce(failing()), /no/);
  });

  it('lets others run between its slices', async () => {
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    assert.equal(await inSlices(work(60)), 60);
    isDone = true;
    // 60 ms in slices that end after 5, or with the step that they are in.
    assert.ok(turns >= 5, `${turns} turns`);
  });

  it('rejects with what a step throws', async () => {
    await assert.rejects(inSlices(failing()), /no/);
  });
});
