import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { runPostern, spawnPostern, type PosternProcess } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

const CLIENT = 'spiffe://cluster.local/ns/foo/sa/sleep';
const NAMES = [
  'readiness of foo/sleep',
  'readiness of foo/httpbin',
  'readiness of bar/sleep',
  'readiness of bar/httpbin',
  'mTLS',
  'foo/sleep → foo/httpbin',
  'foo/sleep → bar/httpbin',
  'bar/sleep → foo/httpbin',
  'bar/sleep → bar/httpbin',
  'to an app with sidecar',
  'to an app without',
  'plaintext under PERMISSIVE',
  'plaintext under STRICT',
  'wrong service account',
  'certificate of another CA',
  'expired certificate',
  'no certificate',
  'GET /app/../admin',
  'smuggled request',
  'no token where one is due',
  'with a token',
  'a token of another key',
  'by principal',
  'by namespace',
  'neither',
  'denied by path',
  'that path in disguise',
  'the authorizer refuses',
  'the authorizer allows',
  'in dry run',
  '20 rotations over SDS',
  'keys in files',
];
const SERVING = 'Refusals and reloads are told here as they happen; Ctrl-C ends';
const SLOW_MS = 45_000;

/** Everything that the demo writes goes below a folder of the test. */
function inFolder(folder: TempFolder, env: Readonly<Record<string, string>> = {}) {
  return { timeoutMs: SLOW_MS, env: { TMPDIR: folder.path, NO_COLOR: '1', FORCE_COLOR: undefined, ...env } };
}

describe('demo --once', () => {
  it('exits 0 and says of every check what came back', async () => {
    using folder = new TempFolder();
    const { code, stdout, stderr } = await runPostern(['demo', '--once'], inFolder(folder));
    assert.equal(stderr, '');
    assert.equal(code, 0, stdout);
    const lines = stdout.split('\n');
    for (const name of NAMES) {
      assert.equal(lines.filter((line) => line.startsWith(`  ✓ ${name} `)).length, 1, `${name} in ${stdout}`);
    }
    for (const client of ['foo', 'bar']) {
      for (const server of ['foo', 'bar']) {
        const line = `✓ ${client}/sleep → ${server}/httpbin     200, ${server}/httpbin saw spiffe://cluster.local/ns/${client}/sa/sleep `;
        assert.ok(stdout.includes(line), line);
      }
    }
    assert.match(
      stdout,
      /meanwhile [1-9]\d+ requests of foo\/sleep on 3 connections that were kept, [1-9]\d* on one each, [1-9]\d* with a handshake/,
    );
    assert.match(
      stdout,
      /\n +50 keys of agents, CA and token issuer, as PEM, DER and JWK, in [1-9]\d* files/,
    );
    assert.match(stdout, /\n +the client certificate expired at .*: renew it/);
    assert.match(stdout, /\nAll 32 checks hold/);
    assert.doesNotMatch(stdout, /✗/);
    assert.ok(!stdout.includes('\u001B'), 'no colours where no terminal reads');
    assert.deepEqual(readdirSync(folder.path), [], 'the folder is gone');
  });

  it('exits 1 and says what it expected and what it got when no app can be reached', async () => {
    using folder = new TempFolder();
    // Above the demo's own files: the sidecars look for their apps where nobody listens.
    const nobody = inFolder(folder, { POSTERN_APP_HOST: '127.0.0.99' });
    const { code, stdout } = await runPostern(['demo', '--once', '--output', 'json'], nobody);
    assert.equal(code, 1);
    assert.equal(stdout.indexOf('\n'), stdout.length - 1, 'one line and nothing else');
    const result = JSON.parse(stdout) as DemoJson;
    assert.deepEqual(Object.keys(result), ['ok', 'checks']);
    assert.equal(result.ok, false);
    assert.deepEqual(
      result.checks.map((check) => check.name),
      NAMES,
    );
    const byName = new Map(result.checks.map((check) => [check.name, check]));
    assert.equal(byName.get('readiness of foo/httpbin')?.ok, true);
    assert.deepEqual(byName.get('plaintext under PERMISSIVE'), {
      name: 'plaintext under PERMISSIVE',
      expected: '200, foo/httpbin saw no client identity',
      got: '503',
      ok: false,
    });
    assert.deepEqual(readdirSync(folder.path), []);
  });

  it('exits 1 with one reason when it cannot start', async () => {
    using folder = new TempFolder();
    const bad = inFolder(folder, { POSTERN_ADMIN_BIND: '0.0.0.0' });
    const { code, stdout } = await runPostern(['demo', '--once'], bad);
    assert.equal(code, 1);
    assert.match(stdout, /^✗ Cannot start the demo: .*admin/m);
    assert.match(stdout, /32 of 32 checks do not hold/);
    assert.deepEqual(readdirSync(folder.path), []);
    const deep = folder.join('x'.repeat(100));
    mkdirSync(deep);
    const tooDeep = await runPostern(['demo', '--once'], inFolder(folder, { TMPDIR: deep }));
    assert.equal(tooDeep.code, 1);
    assert.match(tooDeep.stdout, /^✗ Cannot start the demo: Cannot listen on "unix:.*longer than 107 bytes/m);
    assert.deepEqual(readdirSync(deep), []);
    const alsoWithoutOnce = await runPostern(['demo'], bad);
    assert.equal(alsoWithoutOnce.code, 1);
  });

  it('exits 2 for an output that it does not know', async () => {
    const { code, stderr } = await runPostern(['demo', '--output', 'xml']);
    assert.equal(code, 2);
    assert.match(stderr, /json/);
  });
});

describe('demo', () => {
  it('serves after the checks until SIGINT, and the commands that it prints work', async (t) => {
    const hasCurl = spawnSync('curl', ['--version']).status === 0;
    using folder = new TempFolder();
    await using demo = spawnPostern(['demo'], inFolder(folder));
    await demo.waitForStdout((line) => line === SERVING);
    const [own] = readdirSync(folder.path);
    assert.equal(statSync(folder.join(own!)).mode & 0o777, 0o700);
    assert.equal(statSync(folder.join(own!, 'foo-sleep.sock')).mode & 0o777, 0o600);
    if (hasCurl) await tryCommands(demo);
    else t.diagnostic('curl is not installed: the printed commands were not run');
    assert.deepEqual(await demo.stop('SIGINT'), { code: 0, signal: null });
    assert.equal(demo.stderr, '');
    assert.deepEqual(readdirSync(folder.path), []);
  });

  it('ends at a SIGTERM while it checks, and leaves nothing', async () => {
    using folder = new TempFolder();
    await using demo = spawnPostern(['demo'], inFolder(folder));
    await demo.waitForStdout((line) => line.includes('✓ readiness of bar/httpbin'));
    assert.deepEqual(await demo.stop('SIGTERM'), { code: 0, signal: null });
    assert.ok(!demo.stdout.includes('✓ 20 rotations'));
    assert.deepEqual(readdirSync(folder.path), []);
  });

  it('takes the two signals of one Ctrl-C under npm for one, and leaves nothing', async () => {
    using folder = new TempFolder();
    await using demo = spawnPostern(['demo'], inFolder(folder));
    await demo.waitForStdout((line) => line.includes('✓ readiness of bar/httpbin'));
    // Stopped, so that both are there when it looks.
    demo.signal('SIGSTOP');
    demo.signal('SIGTERM');
    demo.signal('SIGINT');
    demo.signal('SIGCONT');
    assert.deepEqual(await demo.exit(), { code: 0, signal: null });
    assert.deepEqual(readdirSync(folder.path), []);
  });
});

interface DemoJson {
  readonly ok: boolean;
  readonly checks: readonly {
    readonly name: string;
    readonly expected: string;
    readonly got: string;
    readonly ok: boolean;
  }[];
}

/** Runs each command as it stands, in a shell as a user would, in the order in which they are printed. */
async function tryCommands(demo: PosternProcess): Promise<void> {
  const commands = demo.stdoutLines
    .filter((line) => /^ {2}(?:curl|sed) /.test(line))
    .map((line) => line.trim());
  const [
    fromFoo,
    fromBar,
    noToken,
    noRule,
    allowed,
    withoutSidecar,
    wrong,
    plain,
    permissive,
    readiness,
    metrics,
    certs,
    dump,
  ] = commands;
  assert.equal(commands.length, 13);
  assert.ok((await shell(fromFoo!)).stdout.includes(`URI=${CLIENT}`));
  assert.ok((await shell(fromBar!)).stdout.includes(`URI=${CLIENT.replace('/foo/', '/bar/')}`));
  for (const denied of [noToken, noRule]) assert.equal((await shell(denied!)).stdout, 'RBAC: access denied');
  assert.match((await shell(allowed!)).stdout, /"path": "\/get"/);
  const unseen = await shell(withoutSidecar!);
  assert.match(unseen.stdout, /"app": "legacy\/httpbin"/);
  assert.ok(!unseen.stdout.includes('x-forwarded-client-cert'));
  const before = demo.stdoutLines.length;
  assert.match((await shell(wrong!)).stdout, /^upstream connect error/);
  await demo.waitForStdout((line) => line.includes('upstream_identity_mismatch: '), 'the reason', before);
  const refused = await shell(plain!);
  // 52: empty answer, 56: reset.
  assert.ok(refused.code === 52 || refused.code === 56, `${plain}: exit ${refused.code}`);
  assert.equal(refused.stdout, '');
  await demo.waitForStdout((line) => line.includes('no_filter_chain_match: '), 'the reason', before);
  assert.equal((await shell(readiness!)).stdout, 'LIVE\n');
  assert.match((await shell(metrics!)).stdout, /^# TYPE /m);
  assert.ok((await shell(certs!)).stdout.includes('spiffe://cluster.local/ns/foo/sa/httpbin'));
  const dumped = await shell(dump!);
  assert.match(dumped.stdout, /"STRICT"/);
  assert.doesNotMatch(dumped.stdout, /PRIVATE KEY/);
  await shell(permissive!);
  await demo.waitForStdout((line) => line.includes('foo/httpbin: reloaded: '), 'the reload', before);
  const answered = await shell(plain!);
  assert.equal(answered.code, 0);
  assert.ok(!answered.stdout.includes('x-forwarded-client-cert'), answered.stdout);
  assert.equal(path.isAbsolute(/ '?(\/[^ ']*)/.exec(permissive!)?.[1] ?? ''), true);
}

async function shell(command: string): Promise<{ readonly code: number; readonly stdout: string }> {
  const quiet = command.replace(/^curl /, 'curl --silent --max-time 10 --noproxy "*" ');
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', quiet], { timeout: 15_000 });
    return { code: 0, stdout };
  } catch (thrown) {
    const failed = thrown as { readonly code: number; readonly stdout: string };
    return { code: failed.code, stdout: failed.stdout };
  }
}
