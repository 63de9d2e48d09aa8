/**
 * Faults are put into the engine, one at a time, and each has to be noticed by what Envoy did with the hand-written
 * sets: what the comparison would miss, nobody would notice.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TempFolder } from '../support/temp-folder.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { FAULTS, type Fault } from './policy-faults.ts';
import { recordEnvoy, withoutCases } from './policy-record.ts';
import { Rng } from './policy-rng.ts';
import { PolicyWorld } from './policy-world.ts';
import { WRITTEN_SETS } from './policy-written-sets.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const RUNNER = fileURLToPath(new URL('policy-fault-runner.ts', import.meta.url));
const SEED = 20_261_123;
const CASES_PER_SET = 8;
/** Of a hundred recorded cases, as many may differ by design. */
const DIFFER_BY_DESIGN = 2;
const RUN_MS = 50_000;

const run = promisify(execFile);

describe('faults in the engine', { skip: SKIP_WITHOUT_ENVOY }, () => {
  const folder = new TempFolder();
  const source = path.join(ROOT, 'src');
  let record: string;
  let noticed: ReadonlyMap<Fault, readonly string[]>;

  before(async () => {
    await using world = await PolicyWorld.start();
    const whole = await recordEnvoy(world, mixed(WRITTEN_SETS), CASES_PER_SET, SEED);
    const [differing = []] = await judge(
      [source],
      folder.write('whole.json', JSON.stringify(whole)),
      '--all',
    );
    const count = whole.sets.flatMap(({ cases }) => cases).length;
    const few = differing.length * 100 <= count * DIFFER_BY_DESIGN;
    assert.ok(few, `${differing.length} of ${count} differ: ${differing.join()}`);
    record = folder.write('record.json', JSON.stringify(withoutCases(whole, new Set(differing))));
  });

  after(() => folder.remove());

  it('are not there yet', async () => {
    assert.deepEqual(await judge([source], record, '--all'), [[]]);
  });

  it('can be put there', async () => {
    const made = FAULTS.map((fault, at) => ({ fault, source: faulty(fault, folder.join(String(at))) }));
    // Two processes: the machines that this is written for have two cores.
    const halves = [0, 1].map((half) => made.filter((_, at) => at % 2 === half));
    const judged = halves.map(async (half) => {
      const answers = await judge(
        half.map((one) => one.source),
        record,
      );
      return half.map(({ fault }, at) => [fault, answers[at] ?? []] as const);
    });
    noticed = new Map((await Promise.all(judged)).flat());
    assert.equal(noticed.size, FAULTS.length);
  });

  for (const fault of FAULTS) {
    it(`are noticed: ${fault.name}`, () => {
      assert.notDeepEqual(noticed.get(fault), [], 'every case comes out as it did at Envoy');
    });
  }
});

/** Sets of all sorts one after the other: what is wrong shows early. */
function mixed<T>(list: readonly T[]): readonly T[] {
  const rng = new Rng(SEED);
  return list
    .map((one) => ({ one, at: rng.below(1_000_000) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ one }) => one);
}

/** For each source, the ids of cases that come out otherwise than at Envoy. */
async function judge(
  sources: readonly string[],
  record: string,
  ...flags: readonly string[]
): Promise<readonly (readonly string[])[]> {
  const { stdout } = await run(process.execPath, [RUNNER, record, ...sources, ...flags], {
    timeout: RUN_MS,
    maxBuffer: 16_000_000,
  });
  return JSON.parse(stdout) as string[][];
}

/** A copy of the source with the fault in it. */
function faulty({ file, instead, piece }: Fault, folder: string): string {
  const source = path.join(folder, 'src');
  cpSync(path.join(ROOT, 'src'), source, { recursive: true });
  cpSync(path.join(ROOT, 'package.json'), path.join(folder, 'package.json'));
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  const target = path.join(source, file);
  const parts = readFileSync(target, 'utf8').split(piece);
  assert.equal(parts.length, 2, `${file} has "${piece}" ${parts.length - 1} times, not once`);
  writeFileSync(target, parts.join(instead));
  return source;
}
