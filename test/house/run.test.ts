/** What `npm test` runs: it must not pass when a test failed, vanished, hung or left something behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, watch } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runPostern, spawnPostern, type SpawnOptions } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

const IMPORTS = "import { describe, it } from 'node:test';\n";
const PASS = `${IMPORTS}it('holds', () => {});`;

/** A folder with the runner and the given test files, run as `node test/run.ts ARGS`. */
function fixture(files: Readonly<Record<string, string>>): { folder: TempFolder; command: [string, string] } {
  const folder = new TempFolder();
  folder.write('package.json', '{"type":"module"}');
  mkdirSync(folder.join('test/support'), { recursive: true });
  for (const file of ['run.ts', 'support/test-process.ts']) {
    copyFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), folder.join('test', file));
  }
  for (const [name, text] of Object.entries(files)) folder.write(`test/${name}`, text);
  return { folder, command: [process.execPath, folder.join('test/run.ts')] };
}

async function runTests(
  files: Readonly<Record<string, string>>,
  args: readonly string[] = [],
  env: SpawnOptions['env'] = {},
): Promise<{ readonly code: number | null; readonly output: string; readonly last: string }> {
  const { folder, command } = fixture(files);
  using _ = folder;
  const options = { command, cwd: folder.path, timeoutMs: 30_000 };
  const clean = { NODE_TEST_CONTEXT: undefined, POSTERN_NO_SKIP: undefined, POSTERN_LONG_SECONDS: undefined };
  const ran = await runPostern(args, { ...options, env: { ...clean, ...env } });
  return {
    code: ran.code,
    output: ran.stdout + ran.stderr,
    last: ran.stdout.trimEnd().split('\n').at(-1) ?? '',
  };
}

describe('test runner', () => {
  it('closes with what the files counted, exit 0 when all passed', async () => {
    const ran = await runTests({
      'a.test.ts': PASS,
      'room/b.test.ts': PASS,
      'long/c.test.ts': PASS,
      'support/d.ts': 'throw 1',
    });
    assert.equal(ran.last, '2 passed, 0 failed, 0 skipped');
    assert.match(ran.output, /ℹ tests 2\n[^]*ℹ fail 0\n/);
    assert.equal(ran.code, 0);
  });

  for (const [what, text, last] of [
    [
      'a failed test',
      `${PASS} it('fails', () => { throw new Error('no'); });`,
      '1 passed, 1 failed, 0 skipped',
    ],
    [
      'a suite that throws',
      `${PASS} describe('s', () => { throw new Error('no'); });`,
      '1 passed, 1 failed, 0 skipped',
    ],
    ['a file that cannot be loaded', "import './gone.ts';", '0 passed, 1 failed, 0 skipped'],
    ['a rejection that nobody waits for', `${PASS} void Promise.reject(new Error('stray'));`, null],
    ['an exit in the middle', `${IMPORTS}it('a', () => process.exit(3)); it('b', () => {});`, null],
    ['no test at all', 'export {};', '0 passed, 1 failed, 0 skipped'],
  ] as const) {
    it(`exits 1 on ${what}`, async () => {
      const ran = await runTests({ 'a.test.ts': text });
      assert.equal(ran.code, 1, ran.output);
      if (last !== null) assert.equal(ran.last, last);
    });
  }

  it('exits 1 and names what was left behind when a file does not end', async () => {
    const ran = await runTests({ 'a.test.ts': `${PASS} setInterval(() => {}, 1_000);` });
    assert.equal(ran.code, 1);
    assert.match(ran.output, /the tests are over, and something still runs: Timeout/);
  });

  const skips = {
    'a.test.ts': `${PASS} it('one', { skip: 'not root' }, () => {}); describe('many', { skip: 'no Envoy' }, () => { it('x', () => {}); });`,
  };

  it('tells every skipped test and suite with its reason', async () => {
    const ran = await runTests(skips);
    assert.equal(ran.last, '1 passed, 0 failed, 2 skipped');
    assert.match(
      ran.output,
      /\nskipped test\/a\.test\.ts: one: not root\nskipped test\/a\.test\.ts: many: no Envoy\n/,
    );
    assert.equal(ran.code, 0);
  });

  it('exits 1 on a skipped test when POSTERN_NO_SKIP=1', async () => {
    const ran = await runTests(skips, [], { POSTERN_NO_SKIP: '1' });
    assert.equal(ran.code, 1);
    assert.match(ran.output, /POSTERN_NO_SKIP=1: nothing may be skipped/);
  });

  it('runs only the files that are named', async () => {
    const files = { 'tls/a.test.ts': PASS, 'http/b.test.ts': "throw new Error('not asked for');" };
    assert.equal((await runTests(files, ['test/tls'])).code, 0);
    assert.equal((await runTests(files, ['./test/tls/a.test.ts'])).last, '1 passed, 0 failed, 0 skipped');
  });

  it('exits 1 when no file is named so', async () => {
    const ran = await runTests({ 'a.test.ts': PASS }, ['test/nothing']);
    assert.equal(ran.code, 1);
    assert.match(ran.output, /no test file matches "test\/nothing"/);
  });

  it('shares the seconds of --slice among the long files', async () => {
    const told = `${IMPORTS}it('x', () => { console.log('seconds', process.env.POSTERN_LONG_SECONDS); });`;
    const ran = await runTests({ 'long/a.test.ts': told, 'long/b.test.ts': told, 'c.test.ts': PASS }, [
      '--long',
      '--slice',
      '60',
    ]);
    assert.equal(ran.code, 0, ran.output);
    assert.equal(ran.output.match(/seconds 30\n/g)?.length, 2);
    assert.equal((await runTests({ 'long/a.test.ts': told }, ['--long', '--slice', 'soon'])).code, 2);
  });

  it('ends its test processes on SIGTERM, and what they started, and exits 1', async () => {
    const { folder, command } = fixture({
      'a.test.ts': `${IMPORTS}
        import { writeFileSync } from 'node:fs';
        it('waits', async () => {
          process.on('exit', () => { writeFileSync('gone', ''); });
          process.stderr.write('waiting\\n');
          await new Promise((resolve) => { setTimeout(resolve, 60_000); });
        });`,
    });
    using _ = folder;
    await using runner = spawnPostern([], {
      command,
      cwd: folder.path,
      env: { NODE_TEST_CONTEXT: undefined },
    });
    await runner.waitForStdout((line) => line.includes('waiting'));
    const watcher = watch(folder.path);
    const gone = once(watcher, 'change', { signal: AbortSignal.timeout(10_000) });
    assert.equal((await runner.stop('SIGTERM')).code, 1);
    await gone;
    watcher.close();
    assert.ok(existsSync(folder.join('gone')));
  });
});
