/** 1 GiB both ways in constant memory; 10,000 connections broken off at random points. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { abortStorm } from '../http/abort-storm.ts';
import { streamThrough } from '../http/stream-through.ts';
import { activeResources, assertNoLeak } from '../support/leak-check.ts';
import { longShare } from '../support/long-seconds.ts';

const GIB = 1024 * 1024 * 1024;

describe('the request path under load', () => {
  for (const way of ['up', 'down'] as const) {
    it(`1 GiB streams ${way} in constant memory`, async (test) => {
      const { bytes, grownBytes, elapsedMs } = await streamThrough(way, GIB);
      test.diagnostic(`grew by ${Math.round(grownBytes / 1_048_576)} MiB, ${Math.round(elapsedMs)} ms`);
      assert.equal(bytes, GIB);
      // Garbage that waits for its collection; nothing in proportion to the body.
      assert.ok(grownBytes < 150 * 1_048_576, `the process grew by ${grownBytes} bytes`);
    });
  }

  it('10,000 connections broken off leave nothing behind', async (test) => {
    const before = activeResources();
    const wanted = longShare(10_000, 120, 500);
    const seed = Date.now() % 1_000_000;
    const { connections, requests, recorded } = await abortStorm(wanted, seed);
    test.diagnostic(`seed ${seed}: ${connections} connections, ${requests} requests`);
    assert.equal(connections, wanted);
    assert.equal(recorded, requests);
    await assertNoLeak(before, 5_000);
  });
});
