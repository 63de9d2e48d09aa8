/** When a key set is fetched again, and what a failure leaves in force. */
import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { ControlKeySet, nextAttemptMs } from '../../src/control-key-set.ts';
import type { KeySetText } from '../../src/filters/fetch-key-set.ts';

const PLAN = { name: 'a uri', issuer: 'a', jwksUri: 'uri', timeoutMs: 1_000 };
const keys = (jwks: string): KeySetText => ({ jwks, keys: 1, usableKeys: 1 });

const minutes = (failures: number, hasKeys: boolean): number => nextAttemptMs(failures, hasKeys, 1) / 60_000;

/** Attempts end as the test says, one after the other. */
class Attempts implements Disposable {
  readonly set: ControlKeySet;
  readonly told: boolean[] = [];
  count = 0;
  #answer: KeySetText | null;
  #told = Promise.withResolvers<void>();

  constructor(first: KeySetText | null) {
    this.#answer = first;
    mock.timers.enable({ apis: ['setTimeout'] });
    this.set = new ControlKeySet(PLAN, {
      fetch: () => {
        this.count++;
        return this.#answer === null ? Promise.reject(new Error('refused')) : Promise.resolve(this.#answer);
      },
      onAttempt: (_set, changed) => {
        this.told.push(changed);
        this.#told.resolve();
        this.#told = Promise.withResolvers<void>();
      },
      onBug: (thrown) => {
        throw thrown;
      },
    });
  }

  /** Lets so much time pass that the next attempt happens, and waits for its end. */
  async next(answer: KeySetText | null, ms: number): Promise<void> {
    this.#answer = answer;
    const told = this.#told.promise;
    mock.timers.tick(ms);
    await told;
  }

  [Symbol.dispose](): void {
    this.set.close();
    mock.timers.reset();
  }
}

describe('a key set', () => {
  it('is fetched again every 20 minutes, and told only when it changed', async () => {
    using attempts = new Attempts(keys('1'));
    await attempts.set.firstAttempt;
    mock.timers.tick(1_079_000);
    assert.equal(attempts.count, 1);
    await attempts.next(keys('1'), 121_000);
    await attempts.next(keys('2'), 1_200_000);
    assert.deepEqual(attempts.told, [true, false, true]);
    assert.equal(attempts.set.fetched?.jwks, '2');
  });

  it('stays in force when it cannot be fetched any more', async () => {
    using attempts = new Attempts(keys('1'));
    await attempts.set.firstAttempt;
    await attempts.next(null, 1_200_000);
    const { failures, fetched, lastError } = attempts.set;
    assert.deepEqual([fetched?.jwks, failures, lastError], ['1', 1, 'refused']);
    await attempts.next(null, 60_000);
    await attempts.next(keys('2'), 120_000);
    assert.deepEqual(
      [attempts.set.fetched?.jwks, attempts.set.failures, attempts.set.lastError],
      ['2', 0, ''],
    );
    assert.deepEqual(attempts.told, [true, false, false, true]);
  });

  it('is not fetched any more once it is closed', async () => {
    const attempts = new Attempts(null);
    await attempts.set.firstAttempt;
    attempts[Symbol.dispose]();
    mock.timers.enable({ apis: ['setTimeout'] });
    mock.timers.tick(10_000_000);
    mock.timers.reset();
    assert.equal(attempts.count, 1);
  });

  it('is asked for in longer and longer intervals while that fails', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 50].map((failures) => minutes(failures, true)),
      [1, 2, 4, 8, 16, 32, 60, 60, 60],
    );
    assert.deepEqual(
      [8, 9, 14, 99].map((failures) => minutes(failures, false)),
      [1, 2, 60, 60],
    );
    for (let failures = 1; failures <= 7; failures++) {
      const ms = nextAttemptMs(failures, false, 0.5);
      assert.ok(ms >= 900 && ms <= 1_100, String(ms));
    }
    assert.equal(minutes(0, true), 20);
    assert.ok(nextAttemptMs(3, true, 0) < nextAttemptMs(3, true, 1));
  });
});
