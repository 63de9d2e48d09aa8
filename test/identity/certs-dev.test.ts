import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';

const MAKE = join(import.meta.dirname, '../../certs-dev/make.ts');

let folder: string;
let printed = '';

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-certs-'));
  const child = spawn(process.execPath, [MAKE, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    printed += text;
  });
  assert.deepEqual(await once(child, 'close'), [0, null]);
});
after(async () => rm(folder, { recursive: true, force: true }));

const read = async (file: string): Promise<string> => readFile(join(folder, file), 'utf8');

async function reasonsOf(name: string): Promise<string> {
  const answer = verifyOwnIdentity(
    await read(`${name}.pem`),
    await read(`${name}.key`),
    await read('root.pem'),
    Date.now(),
  );
  return answer.ok ? answer.identity.facts.spiffeId : answer.reasons.join('; ');
}

describe('development certificates', () => {
  it('are three that can be used and two that are refused', async () => {
    assert.equal(await reasonsOf('foo-httpbin'), 'spiffe://cluster.local/ns/foo/sa/httpbin');
    assert.equal(await reasonsOf('foo-sleep'), 'spiffe://cluster.local/ns/foo/sa/sleep');
    assert.equal(await reasonsOf('bar-sleep'), 'spiffe://cluster.local/ns/bar/sa/sleep');
    assert.match(await reasonsOf('foo-expired'), /has expired/);
    assert.match(await reasonsOf('foo-other-ca'), /does not reach the trust bundle/);
  });

  it('have keys that only their owner reads, and nothing half-written beside them', async () => {
    const names = await readdir(folder);
    assert.equal(names.length, 11);
    for (const name of names) {
      const { mode } = await stat(join(folder, name));
      assert.equal(mode & 0o777 & ~0o644, 0, name);
      if (name.endsWith('.key')) assert.equal(mode & 0o777, 0o600, name);
    }
  });

  it('are all printed, with the warning', () => {
    for (const name of ['root.pem', 'foo-httpbin', 'foo-sleep', 'bar-sleep', 'foo-expired', 'foo-other-ca'])
      assert.ok(printed.includes(name), name);
    assert.ok(printed.includes('For development only'));
  });
});
