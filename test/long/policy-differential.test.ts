/**
 * The comparison of policies with a real Envoy at length: 10,000 sets with 20 requests each, or as many as fit into
 * the time given. POSTERN_ENVOY names the Envoy binary, POSTERN_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SKIP_WITHOUT_ENVOY } from '../interop/envoy-process.ts';
import { Distribution } from '../interop/policy-distribution.ts';
import { generateSets } from '../interop/policy-generator.ts';
import { compareSets } from '../interop/policy-run.ts';
import { shrink } from '../interop/policy-shrink.ts';
import { PolicyWorld } from '../interop/policy-world.ts';
import { longSeconds, longShare } from '../support/long-seconds.ts';

const SEED = Number(process.env['POSTERN_SEED'] ?? Date.now() % 1_000_000_000);
const FULL_SECONDS = 1_500;
const SETS = longShare(10_000, FULL_SECONDS, 60);
const CASES_PER_SET = 20;
const SETS_AT_ONCE = 250;
/** Every field decides so many cases of 10,000 sets, and its share of fewer. */
const LEAST = Math.floor((1_000 * SETS) / 10_000);
/** A run that is shorter has not the time to reach every field. */
const FEW_SETS = 400;

describe(`policies beside Envoy, seed ${SEED}`, { skip: SKIP_WITHOUT_ENVOY }, () => {
  it(`decide alike: ${SETS} generated sets with ${CASES_PER_SET} requests`, async (test) => {
    const until = performance.now() + longSeconds(FULL_SECONDS) * 1_000;
    const distribution = new Distribution(SETS < FEW_SETS ? 0 : LEAST);
    const rows = new Map<string, number>();
    await using world = await PolicyWorld.start();
    for (let from = 0; from < SETS; from += SETS_AT_ONCE) {
      // Each part has a seed of its own: one that fails is repeated alone.
      const seed = SEED + from;
      const sets = generateSets(Math.min(SETS_AT_ONCE, SETS - from), seed);
      const run = await compareSets({ world, sets, casesPerSet: CASES_PER_SET, seed, distribution });
      for (const [row, cases] of run.rows) rows.set(row, (rows.get(row) ?? 0) + cases);
      const [first] = run.wrong;
      if (first !== undefined) {
        const smallest = await shrink(world, first.judged, first.report);
        assert.fail(
          `${run.wrong.length} cases differ, POSTERN_SEED=${seed}; the first, made small:\n${smallest}`,
        );
      }
      if (performance.now() > until) break;
    }
    test.diagnostic(distribution.text);
    for (const [row, cases] of rows)
      test.diagnostic(`${cases} cases differ as docs/differences.md says: ${row}`);
    if (distribution.cases >= SETS * CASES_PER_SET) assert.deepEqual(distribution.shortcomings, []);
  });
});
