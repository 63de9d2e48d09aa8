/** A short run of the comparison with llhttp; the long one is in test/long. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzzMutated, fuzzValid } from './fuzz-runs.ts';

describe('the codec against llhttp', () => {
  it('accepts every request that RFC 9112 allows, and reads it the same', async () => {
    const { inputs } = await fuzzValid(3_000, 1, 5_000);
    assert.ok(inputs >= 300, `only ${inputs} inputs in the time given`);
  });

  it('accepts nothing that llhttp refuses or reads otherwise; a third of the inputs is accepted', async () => {
    const { inputs, accepted } = await fuzzMutated(4_000, 2, 5_000);
    assert.ok(inputs >= 300, `only ${inputs} inputs in the time given`);
    assert.ok(accepted * 3 >= inputs, `${accepted} of ${inputs} were accepted`);
  });
});
