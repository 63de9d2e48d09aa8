/** `postern test` as a process: text, TAP and JSON, coverage, exit codes. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { testCommand } from '../../src/cli/test-command.ts';
import { runPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { runCommand } from './run-command.ts';

const folder = new TempFolder();
after(() => folder.remove());

folder.write(
  'mesh/policies.yaml',
  `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: get, namespace: foo}
spec: {rules: [{to: [{operation: {paths: [/a]}}]}, {to: [{operation: {paths: [/b]}}]}]}
`,
);
const HEAD = 'config: [../mesh]\nworkload: {namespace: foo, name: httpbin}\ncases:\n';
const CASE_A =
  '  - {name: "a # passes", request: {path: /a}, expect: {verdict: allow, policy: foo/get, rule: 0}}\n';
const CASE_B = '  - {name: b passes, request: {path: /b}, expect: allow}\n';
const WRONG =
  '  - {name: c passes, request: {path: /c}, expect: {verdict: allow, policy: foo/get, rule: 1}}\n';
const good = folder.write('tests/good.yaml', HEAD + CASE_A + CASE_B);
const partial = folder.write('tests/partial.yaml', HEAD + CASE_A);
const failing = folder.write('tests/failing.yaml', HEAD + CASE_A + WRONG);

const test = (...args: readonly string[]): ReturnType<typeof runPostern> =>
  runPostern(['test', ...args], { cwd: folder.path });

describe('postern test', () => {
  it('exits 0 where every case holds, and finds documents beside the file', async () => {
    const { code, stderr, stdout } = await test('tests/good.yaml', '--require-coverage');
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(
      stdout,
      `tests/good.yaml
  ok      a # passes
  ok      b passes
  coverage: 2 of 2 rules decided a case

2 cases, 2 ok, 0 failed
`,
    );
  });

  it('exits 1 where one fails, and says where it stands, what came and why', async () => {
    const { code, stdout } = await test(good, failing);
    assert.equal(code, 1);
    assert.ok(
      stdout.includes(`  FAILED  c passes (${failing}:5:5)
          expected allow by foo/get rule 1
          got      deny 403
          denied: 1 ALLOW policy applies, no rule matched; closest: foo/get rule 0, missed on paths: wanted /a, got /c
`),
      stdout,
    );
    assert.ok(stdout.endsWith('\n4 cases, 3 ok, 1 failed\n'));
  });

  it('exits 1 for a rule that decided nothing only where coverage is required', async () => {
    const told = await test(partial);
    assert.equal(told.code, 0);
    assert.ok(
      told.stdout.includes(
        '  coverage: 1 of 2 rules decided a case\n          no case is decided by foo/get rule 1\n',
      ),
    );
    const required = await test(partial, '--require-coverage');
    assert.equal(required.code, 1);
    assert.ok(required.stdout.includes('  FAILED  coverage: 1 of 2 rules decided a case\n'));
  });

  it('prints TAP 14', async () => {
    const { code, stdout } = await test(failing, '--output', 'tap', '--require-coverage');
    assert.equal(code, 1);
    const lines = stdout.split('\n');
    assert.deepEqual(lines.slice(0, 5), [
      'TAP version 14',
      '1..3',
      String.raw`ok 1 - a \# passes`,
      'not ok 2 - c passes',
      '  ---',
    ]);
    assert.match(lines[5] ?? '', /^ {2}message: "denied: 1 ALLOW policy applies/);
    assert.equal(lines[6], '  expected: {"verdict":"allow","policy":"foo/get","rule":1}');
    assert.equal(lines[7], '  got: {"verdict":"deny","status":403,"policy":null,"rule":null}');
    assert.equal(lines[8], `  at: ${JSON.stringify({ file: failing, line: 5, column: 5 })}`);
    assert.deepEqual(lines.slice(9), [
      '  ...',
      'not ok 3 - every rule decides a case',
      `# ${failing}: coverage: 1 of 2 rules decided a case`,
      `# ${failing}: no case is decided by foo/get rule 1`,
      '',
    ]);
    const several = await test(good, partial, '--output', 'tap');
    assert.equal(several.code, 0);
    assert.ok(several.stdout.startsWith(`TAP version 14\n1..3\nok 1 - ${good}: a`));
  });

  it('prints JSON', async () => {
    const { code, stdout } = await test(failing, '--output', 'json');
    assert.equal(code, 1);
    const { files, ok } = JSON.parse(stdout) as {
      ok: boolean;
      files: readonly {
        file: string;
        cases: readonly Record<string, unknown>[];
        coverage: Record<string, unknown>;
      }[];
    };
    assert.equal(ok, false);
    const [file] = files;
    assert.equal(file?.file, failing);
    assert.deepEqual(
      file.cases.map(({ line, name, ok: held }) => [name, held, line]),
      [
        ['a # passes', true, 4],
        ['c passes', false, 5],
      ],
    );
    assert.deepEqual(file.cases[1]?.['got'], { verdict: 'deny', status: 403, policy: null, rule: null });
    assert.match(String(file.cases[1]?.['reason']), /^denied: /);
    assert.deepEqual(file.coverage, { rules: 2, decided: 1, missing: [{ policy: 'foo/get', rule: 1 }] });
  });

  describe('exits 2', () => {
    const unknown = folder.write('tests/unknown.yaml', `${HEAD}  - {name: a, expekt: allow}\n`);
    const nowhere = folder.write(
      'tests/nowhere.yaml',
      `config: [gone.yaml]\nworkload: {namespace: foo, name: a}\ncases:\n${CASE_A}`,
    );
    const nobody = folder.write('tests/nobody.yaml', `config: [../mesh]\ncases:\n${CASE_A}`);
    for (const [what, args, says] of [
      ['without a file', [], /name files/],
      ['for a file that is not there', ['gone.yaml'], /no such file/],
      ['for an unknown key', [unknown], /unknown\.yaml:4:\d+: cases\[0\]\.expekt: .*did you mean "expect"\?/],
      ['for documents that are not there', [nowhere], /gone\.yaml": there is no such file/],
      ['without a workload', [nobody], /add workload:/],
      ['for an unknown form', [good, '--output', 'xml'], /Cannot print as "xml"/],
    ] as const) {
      it(what, async (t) => {
        const { code, stderr } = await runCommand(t, testCommand, args);
        assert.equal(code, 2, stderr);
        assert.match(stderr, says);
      });
    }

    it('for one unusable file among good ones, and then prints no result', async () => {
      const { code, stdout } = await test(good, unknown);
      assert.deepEqual([code, stdout], [2, '']);
    });
  });
});
