/** The comparison with llhttp for as long as it is given: two minutes, or its share of a slice. POSTERN_FUZZ_SEED repeats a run. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fuzzMutated, fuzzValid } from '../http/fuzz-runs.ts';
import { longSeconds } from '../support/long-seconds.ts';

const SECONDS = longSeconds(120);
const SEED = Number(process.env['POSTERN_FUZZ_SEED'] ?? Date.now() % 1_000_000_000);

describe(`the codec against llhttp, seed ${SEED}`, () => {
  it('accepts every request that RFC 9112 allows, and reads it the same', async (test) => {
    const { inputs } = await fuzzValid(100_000_000, SEED, SECONDS * 500);
    test.diagnostic(`${inputs} inputs`);
    assert.ok(inputs > 0);
  });

  it('accepts nothing that llhttp refuses or reads otherwise; a third of the inputs is accepted', async (test) => {
    const { inputs, accepted } = await fuzzMutated(100_000_000, SEED, SECONDS * 500);
    test.diagnostic(`${inputs} inputs, ${accepted} accepted`);
    assert.ok(accepted * 3 >= inputs, `${accepted} of ${inputs} were accepted`);
  });
});
