/**
 * Generated and hand-written policy sets, the same requests, a real Envoy and our data half: the same decision by the
 * same rule, the same answer, the same request at the app; and `explain` says so beforehand.
 *
 * POSTERN_ENVOY names the Envoy binary, POSTERN_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ALLOWED_DIFFERENCES } from './policy-allowed-differences.ts';
import { checkDifferenceRow } from './policy-difference-rows.ts';
import { Distribution } from './policy-distribution.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { generateSets } from './policy-generator.ts';
import { compareSets, type RunResult } from './policy-run.ts';
import type { PolicySet } from './policy-set.ts';
import { shrink } from './policy-shrink.ts';
import { PolicyWorld } from './policy-world.ts';
import { WRITTEN_SETS } from './policy-written-sets.ts';

const SEED = Number(process.env['POSTERN_SEED'] ?? 20_261_123);
const SETS = 500;
const CASES_PER_SET = 20;
const CASES_PER_WRITTEN_SET = 6;
/** Every field decides at least so many cases. */
const LEAST = 50;
/** Sets of one test: none may take a minute, however busy the machine is. */
const SETS_AT_ONCE = 63;

describe(`policies beside Envoy, seed ${SEED}`, { skip: SKIP_WITHOUT_ENVOY }, () => {
  const distribution = new Distribution(LEAST);
  let world: PolicyWorld;

  before(async () => {
    world = await PolicyWorld.start();
  });

  after(() => world[Symbol.asyncDispose]());

  async function mustAgree({ wrong }: RunResult): Promise<void> {
    const [first] = wrong;
    if (first === undefined) return;
    const smallest = await shrink(world, first.judged, first.report);
    assert.fail(
      `${wrong.length} cases differ, POSTERN_SEED=${SEED}; the first of them, made small:\n${smallest}`,
    );
  }

  for (const [at, slice] of slices(WRITTEN_SETS).entries()) {
    it(`decide alike: ${slice.length} sets by hand, part ${at}`, async () => {
      const run = { world, sets: slice, casesPerSet: CASES_PER_WRITTEN_SET, seed: SEED + at };
      await mustAgree(await compareSets({ ...run, distribution: new Distribution(0) }));
    });
  }

  for (const [at, slice] of slices(generateSets(SETS, SEED)).entries()) {
    it(`decide alike: ${slice.length} generated sets, part ${at}`, async () => {
      const run = { world, sets: slice, casesPerSet: CASES_PER_SET, seed: SEED + at };
      await mustAgree(await compareSets({ ...run, distribution }));
    });
  }

  it(`were told apart by rules: a quarter allowed, a quarter denied, ${LEAST} cases by every field`, (test) => {
    test.diagnostic(distribution.text);
    assert.deepEqual(distribution.shortcomings, []);
  });

  it('differ only where the docs have a row', () => {
    for (const { row } of ALLOWED_DIFFERENCES) checkDifferenceRow(row);
  });
});

function slices(sets: readonly PolicySet[]): readonly (readonly PolicySet[])[] {
  const count = Math.ceil(sets.length / SETS_AT_ONCE);
  return Array.from({ length: count }, (_, at) => sets.slice(at * SETS_AT_ONCE, (at + 1) * SETS_AT_ONCE));
}
