import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countByWorker } from '../../bench/measure/worker-connections.ts';

describe('bench connections by worker', () => {
  it('counts them, most first', () => {
    const first = [1, 2, 2, 1, 2].map((worker) => ({ worker, id: 'x' }));
    assert.deepEqual(countByWorker({ connections: { count: 5, first } }), [3, 2]);
    assert.deepEqual(countByWorker({ connections: { count: 0, first: [] } }), []);
  });

  it('refuses to count what is cut', () => {
    assert.throws(() => countByWorker({ connections: { count: 2, first: [{ worker: 1 }] } }), /1 of 2/);
  });

  it('does not take connections of nobody for those of one worker', () => {
    assert.throws(() => countByWorker({ connections: { count: 1, first: [{}] } }), /does not say whose/);
  });
});
