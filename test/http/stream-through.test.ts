/** 256 MiB both ways in constant memory; 1 GiB in test/long. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { streamThrough } from './stream-through.ts';

const SIZE = 256 * 1024 * 1024;
/** What waits for the collector; a body that is held would be twice this. */
const GARBAGE_BYTES = 128 * 1024 * 1024;

describe('a long body', () => {
  checkLeaks();

  for (const way of ['up', 'down'] as const) {
    it(`streams ${way} in constant memory`, async () => {
      const { bytes, grownBytes } = await streamThrough(way, SIZE);
      assert.equal(bytes, SIZE);
      assert.ok(grownBytes < GARBAGE_BYTES, `the process grew by ${grownBytes} bytes`);
    });
  }
});
