import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { SecretMaterial, SecretSource } from '../../src/core/secret.ts';
import { createFileSecrets, type FileSecretsOptions } from '../../src/identity/file-secrets.ts';
import { type Issued, TestCa } from '../support/test-ca.ts';

const ca = await TestCa.create('cluster.local');
const SETTLE_MS = 100;

let folder: string;
let source: SecretSource | null;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-files-'));
  source = null;
});
afterEach(async () => {
  source?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** What the source said, in order; `next` waits for the one after those already taken. */
class Heard {
  readonly secrets: SecretMaterial[] = [];
  readonly errors: string[] = [];
  #taken = 0;
  #waiting: ((what: SecretMaterial | string) => void) | null = null;
  readonly #all: (SecretMaterial | string)[] = [];

  readonly onSecret = (secret: SecretMaterial): void => {
    this.secrets.push(secret);
    this.#hear(secret);
  };

  readonly onError = (message: string): void => {
    this.errors.push(message);
    this.#hear(message);
  };

  async next(): Promise<SecretMaterial | string> {
    const at = this.#taken++;
    const already = this.#all[at];
    if (already !== undefined) return already;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  async nextSecret(): Promise<SecretMaterial> {
    const what = await this.next();
    assert.ok(typeof what === 'object', `got the error: ${JSON.stringify(what)}`);
    return what;
  }

  async nextError(): Promise<string> {
    const what = await this.next();
    assert.ok(typeof what === 'string', 'got a secret');
    return what;
  }

  #hear(what: SecretMaterial | string): void {
    this.#all.push(what);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.(what);
  }
}

const paths = (at: string): Pick<FileSecretsOptions, 'certificateChain' | 'privateKey' | 'trustBundle'> => ({
  certificateChain: join(at, 'cert.pem'),
  privateKey: join(at, 'key.pem'),
  trustBundle: join(at, 'root.pem'),
});

async function write(at: string, leaf: Issued, rootPem: string = ca.rootPem): Promise<void> {
  await writeFile(join(at, 'cert.pem'), leaf.chainPem);
  await writeFile(join(at, 'key.pem'), leaf.keyPem);
  await writeFile(join(at, 'root.pem'), rootPem);
}

async function start(at: string, options: Partial<FileSecretsOptions> = {}): Promise<Heard> {
  const heard = new Heard();
  source = createFileSecrets({
    ...paths(at),
    trustDomains: ['cluster.local', 'old.local'],
    settleMs: SETTLE_MS,
    ...options,
  });
  await source.start(heard.onSecret, heard.onError);
  return heard;
}

describe('file secrets at start', () => {
  it('give out the first version before start resolves', async () => {
    const leaf = await ca.issue();
    await write(folder, leaf);
    const heard = await start(folder);
    assert.equal(heard.secrets.length, 1);
    const [secret] = heard.secrets;
    assert.ok(secret);
    assert.deepEqual(
      { ...secret, ticketSecret: secret.ticketSecret.length },
      {
        version: 1,
        trustVersion: 1,
        certificateChainPem: leaf.chainPem,
        privateKeyPem: leaf.keyPem,
        bundles: { 'cluster.local': ca.rootPem, 'old.local': ca.rootPem },
        ticketSecret: 32,
      },
    );
    assert.deepEqual(structuredClone(secret), secret);
  });

  it('reject with the reason if the files cannot be used', async () => {
    const table: readonly (readonly [what: RegExp, spoil: () => Promise<void>])[] = [
      [
        /Cannot read ".*key\.pem": .*ENOENT.*; correct the path or the permissions/,
        async () => rm(join(folder, 'key.pem')),
      ],
      [/it is empty/, async () => writeFile(join(folder, 'cert.pem'), '')],
      [/longer than/, async () => writeFile(join(folder, 'root.pem'), 'x'.repeat(1_100_000))],
      [/does not fit/, async () => writeFile(join(folder, 'key.pem'), (await ca.issue()).keyPem)],
      [/has expired/, async () => write(folder, await ca.issue({ expired: true }))],
      [
        /is of trust domain "elsewhere", this mesh's are "cluster.local", "old.local"; /,
        async () => write(folder, await ca.issue({ spiffeId: 'spiffe://elsewhere/x' })),
      ],
    ];
    for (const [pattern, spoil] of table) {
      await write(folder, await ca.issue());
      await spoil();
      await assert.rejects(start(folder), { code: 'identity_invalid', detail: pattern });
    }
  });

  it('accept a certificate of an alias', async () => {
    await write(folder, await ca.issue({ spiffeId: 'spiffe://old.local/ns/foo/sa/sleep' }));
    assert.equal((await start(folder)).secrets.length, 1);
  });
});

describe('file secrets while running', () => {
  it('give out a certificate that was written in place, under the same trust', async () => {
    await write(folder, await ca.issue());
    const heard = await start(folder);
    const first = await heard.nextSecret();
    const leaf = await ca.issue();
    await write(folder, leaf);
    const second = await heard.nextSecret();
    assert.equal(second.certificateChainPem, leaf.chainPem);
    assert.equal(second.privateKeyPem, leaf.keyPem);
    assert.deepEqual([second.version, second.trustVersion], [2, 1]);
    assert.deepEqual(second.ticketSecret, first.ticketSecret);
    assert.deepEqual(heard.errors, []);
  });

  it('give out a certificate that was renamed over', async () => {
    await write(folder, await ca.issue());
    const heard = await start(folder);
    await heard.next();
    const leaf = await ca.issue();
    const fresh = join(folder, 'fresh');
    await mkdir(fresh);
    await write(fresh, leaf);
    for (const name of ['cert.pem', 'key.pem', 'root.pem'])
      await rename(join(fresh, name), join(folder, name));
    assert.equal((await heard.nextSecret()).certificateChainPem, leaf.chainPem);
  });

  it('follow the swap of ..data, again and again, as Kubernetes does it', async () => {
    const at = join(folder, 'certs');
    await mkdir(at);
    const swap = async (name: string, leaf: Issued): Promise<void> => {
      await mkdir(join(at, name));
      await write(join(at, name), leaf);
      await symlink(name, join(at, '..tmp'));
      await rename(join(at, '..tmp'), join(at, '..data'));
    };
    await swap('..1', await ca.issue());
    for (const name of ['cert.pem', 'key.pem', 'root.pem'])
      await symlink(join('..data', name), join(at, name));
    const heard = await start(at);
    await heard.next();
    for (let i = 2; i < 6; i++) {
      const leaf = await ca.issue();
      await swap(`..${i}`, leaf);
      await rm(join(at, `..${i - 1}`), { recursive: true });
      assert.equal((await heard.nextSecret()).certificateChainPem, leaf.chainPem);
    }
    assert.deepEqual(heard.errors, []);
  });

  it('follow the swap of a folder above them, and writes behind the link', async () => {
    for (const name of ['a', 'b']) {
      await mkdir(join(folder, name));
      await write(join(folder, name), await ca.issue());
    }
    await symlink('a', join(folder, 'current'));
    const heard = await start(join(folder, 'current'));
    await heard.next();
    await symlink('b', join(folder, 'next'));
    await rename(join(folder, 'next'), join(folder, 'current'));
    await heard.nextSecret();
    const leaf = await ca.issue();
    await write(join(folder, 'b'), leaf);
    assert.equal((await heard.nextSecret()).certificateChainPem, leaf.chainPem);
  });

  it('raise the trust version with the roots alone, with a new ticket secret', async () => {
    const next = await TestCa.create('cluster.local');
    const leaf = await ca.issue();
    await write(folder, leaf);
    const heard = await start(folder);
    const first = await heard.nextSecret();
    await writeFile(join(folder, 'root.pem'), next.rootPem + ca.rootPem);
    const second = await heard.nextSecret();
    assert.deepEqual([second.version, second.trustVersion], [2, 2]);
    assert.notDeepEqual(second.ticketSecret, first.ticketSecret);
    assert.equal(second.bundles['old.local'], next.rootPem + ca.rootPem);
    // The same roots in another order, and a comment: nothing new. A new leaf then is the next thing heard.
    await writeFile(join(folder, 'root.pem'), `# the same\n${ca.rootPem}${next.rootPem}`);
    await write(folder, await ca.issue(), `${ca.rootPem}${next.rootPem}`);
    const third = await heard.nextSecret();
    assert.deepEqual([third.version, third.trustVersion], [3, 2]);
    assert.deepEqual(third.ticketSecret, second.ticketSecret);
  });

  it('keep the last good one on every error, tell each once, and recover', async () => {
    const good = await ca.issue();
    await write(folder, good);
    const heard = await start(folder);
    await heard.next();
    await writeFile(join(folder, 'cert.pem'), '');
    assert.match(await heard.nextError(), /it is empty/);
    await writeFile(join(folder, 'cert.pem'), (await ca.issue()).chainPem);
    assert.match(await heard.nextError(), /does not fit/);
    await rm(join(folder, 'cert.pem'));
    assert.match(await heard.nextError(), /Cannot read/);
    // Back to what is in force: nothing new is given out.
    await write(folder, good);
    const leaf = await ca.issue();
    await write(folder, leaf);
    assert.equal((await heard.nextSecret()).certificateChainPem, leaf.chainPem);
    assert.equal(heard.secrets.length, 2);
    assert.equal(heard.errors.length, 3);
    for (const error of heard.errors) assert.ok(!error.includes(good.keyPem.slice(30, 60)));
  });

  it('say nothing of a rewrite that is half done for less than the quiet time', async () => {
    await write(folder, await ca.issue());
    const heard = await start(folder, { settleMs: 300 });
    await heard.next();
    for (let i = 0; i < 5; i++) await write(folder, await ca.issue());
    const leaf = await ca.issue();
    await write(folder, leaf);
    assert.equal((await heard.nextSecret()).certificateChainPem, leaf.chainPem);
    assert.equal(heard.secrets.length, 2);
    assert.deepEqual(heard.errors, []);
  });

  it('see changes by polling where no watch can be had', async () => {
    // A plain folder above the files is not watched: its replacement is seen by the poll alone.
    const inner = join(folder, 'x', 'y');
    await mkdir(inner, { recursive: true });
    await write(inner, await ca.issue());
    const heard = await start(inner, { pollMs: 20 });
    await heard.next();
    const leaf = await ca.issue();
    await mkdir(join(folder, 'z', 'y'), { recursive: true });
    await write(join(folder, 'z', 'y'), leaf);
    await rename(join(folder, 'x'), join(folder, 'gone'));
    await rename(join(folder, 'z'), join(folder, 'x'));
    for (;;) {
      // Between the two renames the files are absent, which may be told first.
      const what = await heard.next();
      if (typeof what === 'string') continue;
      assert.equal(what.certificateChainPem, leaf.chainPem);
      break;
    }
    const last = await ca.issue();
    await write(inner, last);
    assert.equal((await heard.nextSecret()).certificateChainPem, last.chainPem);
  });

  it('leave nothing behind once stopped', async () => {
    await write(folder, await ca.issue());
    const before = process.getActiveResourcesInfo().filter((name) => name !== 'Timeout').length;
    const heard = await start(folder);
    await heard.next();
    await write(folder, await ca.issue());
    source?.stop();
    await write(folder, await ca.issue());
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    assert.ok(process.getActiveResourcesInfo().filter((name) => name !== 'Timeout').length <= before);
    assert.equal(heard.secrets.length, 1);
  });
});
