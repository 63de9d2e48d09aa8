import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { policies } from '../../src/demo/policies.ts';
import { runPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

const BROKEN_DEMO = fileURLToPath(new URL('broken-demo.ts', import.meta.url));
const SLOW_MS = 45_000;

/** Runs `demo --once` on a mesh that is broken in this way, in fresh folders. */
async function runBroken(how: string) {
  using home = new TempFolder();
  using temporary = new TempFolder();
  using working = new TempFolder();
  const exit = await runPostern([how], {
    command: [process.execPath, BROKEN_DEMO],
    cwd: working.path,
    env: { HOME: home.path, TMPDIR: temporary.path, NO_COLOR: '1', FORCE_COLOR: undefined },
    timeoutMs: SLOW_MS,
  });
  const left = readdirSync(temporary.path).filter((name) => name.startsWith('postern-demo-'));
  assert.deepEqual(left, [], 'the folder is gone');
  assert.equal(exit.stderr, '');
  const failed = exit.stdout.matchAll(/^ {2}✗ (.*?) +\d+ ms\n {6}expected .*\n {6}got +(.*)$/gm);
  return {
    ...exit,
    failed: new Map([...failed].map(([, name = '', got = '']) => [name, got])),
    folders: [home.path, temporary.path, working.path],
  };
}

describe('a mesh that is broken', () => {
  it('by an agent that is not started fails what needs it, and nothing else', async () => {
    const { code, failed, stdout } = await runBroken('no-agent');
    assert.equal(code, 1, stdout);
    assert.deepEqual(
      [...failed.keys()],
      [
        'readiness of bar/sleep',
        'bar/sleep → foo/httpbin',
        'bar/sleep → bar/httpbin',
        'by namespace',
        'denied by path',
        'that path in disguise',
      ],
    );
    const missing =
      /^no answer to compare: the sidecar of bar\/sleep is missing: not ready after 5000 ms: sds_disconnected: /;
    for (const got of failed.values()) assert.match(got, missing);
    assert.match(stdout, /^bar\/sleep +not ready after 5000 ms: sds_disconnected: .*bar-sleep\.sock/m);
    assert.match(stdout, /^6 of 31 checks do not hold/m);
  });

  it('by a sidecar of another CA fails what goes through it, and nothing else', async () => {
    const { code, failed, stdout } = await runBroken('other-ca');
    assert.equal(code, 1, stdout);
    assert.deepEqual(Object.fromEntries(failed), {
      'foo/sleep → bar/httpbin': '503',
      'bar/sleep → bar/httpbin': '503',
      ...Object.fromEntries(policies.checks.map(({ name }) => [name, '503'])),
    });
    assert.match(stdout, /^ +foo\/sleep: upstream_untrusted: /m, 'the reason that the caller’s sidecar logs');
    assert.match(stdout, /^13 of 31 checks do not hold/m);
  });
});

describe('private keys in files', () => {
  it('are looked for in fresh folders and in what is open: there are none', async () => {
    const { code, folders, stdout } = await runBroken('intact');
    assert.equal(code, 0, stdout);
    const note = / as PEM, DER and JWK, in \d+ files: open ones and those in (.*)\n/.exec(stdout)?.[1] ?? '';
    const [own = '', ...others] = note.split(', ');
    assert.match(own, /\/postern-demo-\w+$/);
    assert.deepEqual(new Set(others), new Set(folders));
    assert.ok(!stdout.includes('not searched'), stdout);
  });

  for (const [how, found] of [
    ['pem-in-home', /^the key of the agent of bar\/sleep as PEM or JWK in .*\/key\.pem$/],
    ['der-in-tmpdir', /^the key of the agent of bar\/sleep as DER in .*\/key\.der$/],
    ['jwk-in-cwd', /^the key of the agent of bar\/sleep as PEM or JWK in .*\/jwks\.json$/],
    ['pem-in-own-folder', /^the key of the agent of bar\/sleep as PEM or JWK in .*\/deep\/er\/all\.json$/],
    ['open-without-name', /^the key of the agent of bar\/sleep as PEM or JWK in \/proc\/self\/fd\/\d+$/],
  ] as const) {
    it(
      `are found: ${how}`,
      { skip: how === 'open-without-name' && process.platform !== 'linux' },
      async () => {
        const { code, failed, stdout } = await runBroken(how);
        assert.equal(code, 1, stdout);
        assert.deepEqual([...failed.keys()], ['keys in files']);
        assert.match(failed.get('keys in files') ?? '', found);
      },
    );
  }
});
