/**
 * Runs the tests: `npm test [-- PATH…]` all but the long ones, `npm run test:long [-- --slice SECONDS] [-- PATH…]` those.
 *
 * One process a file: it costs 0.2 s of CPU each (measured), but no file can spoil the next, and what a file leaves
 * behind is seen when its process does not end. POSTERN_NO_SKIP=1: a skipped test fails the run.
 */
import { globSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const HOOK = new URL('./support/test-process.ts', import.meta.url).href;

/** Longest single test. */
const TEST_TIMEOUT_MS = 60_000;
const LONG_TEST_TIMEOUT_MS = 45 * 60_000;
/** No news from any file for so long means that one blocks its event loop: a time-out inside it cannot fire. */
const MARGIN_MS = 60_000;
/** One more than the two cores of CI: files wait for processes and timers (measured: 273 s, and 324 s with two). */
const FILES_AT_ONCE = 3;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { long: { type: 'boolean', default: false }, slice: { type: 'string' } },
});

process.exitCode = await main();

async function main(): Promise<number> {
  const files = findFiles(flags.long, positionals);
  if (files.length === 0) {
    console.error(`no test file matches ${positionals.map((one) => `"${one}"`).join(', ') || 'at all'}`);
    return 1;
  }
  if (flags.slice !== undefined && !setSlice(flags.slice, files.length)) {
    console.error(`--slice is a number of seconds, not "${flags.slice}"`);
    return 2;
  }
  const outcome = await runFiles(files, flags.long ? LONG_TEST_TIMEOUT_MS : TEST_TIMEOUT_MS);
  return report(outcome);
}

/** Test files below `test`, absolute; with `wanted` those whose path from the root contains one of them. */
function findFiles(long: boolean, wanted: readonly string[]): string[] {
  const contains = wanted.map((one) => path.relative(ROOT, path.resolve(one)));
  return globSync('test/**/*.test.ts', { cwd: ROOT })
    .filter((file) => isLong(file) === long)
    .filter((file) => contains.length === 0 || contains.some((one) => file.includes(one)))
    .toSorted()
    .map((file) => path.join(ROOT, file));
}

function isLong(file: string): boolean {
  return file.startsWith(`test${path.sep}long${path.sep}`);
}

/** Shares the seconds among the files; `longSeconds` of test/support reads its share. */
function setSlice(text: string, files: number): boolean {
  const seconds = Number(text);
  if (!Number.isFinite(seconds) || seconds <= 0) return false;
  process.env['POSTERN_LONG_SECONDS'] = String(Math.max(1, seconds / files));
  return true;
}

async function runFiles(files: string[], testTimeoutMs: number): Promise<Outcome> {
  const abort = new AbortController();
  const stop = (why: string): void => {
    console.error(`\nstopped: ${why}`);
    abort.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      stop(signal);
    });
  }
  const running = new Set<string>();
  const stalled = (): void => {
    stop(`no news for ${(testTimeoutMs + MARGIN_MS) / 1_000} s from ${[...running].join(', ')}`);
  };
  const watchdog = setTimeout(stalled, testTimeoutMs + MARGIN_MS);

  // A test may be named `/stats`: only what was asked for is a file.
  const isFile = new Set(files);
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  const stream = run({
    files,
    isolation: 'process',
    concurrency: flags.long ? 1 : FILES_AT_ONCE,
    timeout: testTimeoutMs,
    execArgv: ['--import', HOOK],
    signal: abort.signal,
  });
  stream.on('test:dequeue', ({ name }) => {
    // A file is itself a test, named by its path.
    if (isFile.has(name)) running.add(path.relative(ROOT, name));
  });
  stream.on('test:pass', (data) => {
    watchdog.refresh();
    if (data.skip !== undefined && data.skip !== false) {
      const where = data.file === undefined ? '' : path.relative(ROOT, data.file);
      skipped.push(`${where}: ${data.name}: ${data.skip === true ? 'no reason given' : data.skip}`);
    } else if (isFile.has(data.name)) {
      // Told of a file as a whole only when nothing in it was a test.
      console.error(`${path.relative(ROOT, data.name)} has no test`);
      failed++;
    } else if (data.details.type !== 'suite') passed++;
  });
  stream.on('test:fail', ({ details }) => {
    watchdog.refresh();
    // A suite fails with each test in it, which was counted, or by itself.
    if (details.type !== 'suite' || failureType(details.error) !== 'subtestsFailed') failed++;
  });
  stream.on('test:summary', ({ file }) => {
    watchdog.refresh();
    if (file !== undefined) running.delete(path.relative(ROOT, file));
  });
  const shown = stream.compose(new spec());
  shown.pipe(process.stdout);
  await new Promise<void>((resolve, reject) => {
    shown.once('end', resolve);
    shown.once('error', reject);
  });
  clearTimeout(watchdog);
  if (abort.signal.aborted) failed++;
  return { passed, failed, skipped };
}

function failureType(error: Error): unknown {
  return 'failureType' in error ? error.failureType : undefined;
}

/** The closing lines; a program may read the last one. */
function report({ passed, failed, skipped }: Outcome): number {
  const strict = process.env['POSTERN_NO_SKIP'] === '1';
  for (const one of skipped) console.log(`skipped ${one}`);
  if (strict && skipped.length > 0) console.log('POSTERN_NO_SKIP=1: nothing may be skipped here');
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  return failed > 0 || passed === 0 || (strict && skipped.length > 0) ? 1 : 0;
}
