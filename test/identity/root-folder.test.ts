import assert from 'node:assert/strict';
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { X509Certificate } from 'node:crypto';
import { whyOf } from '../../src/core/errors.ts';
import { createAuthority, type KeyAlgorithmName } from '../../src/identity/authority.ts';
import { openRootFolder } from '../../src/identity/root-folder.ts';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';
import { TempFolder } from '../support/temp-folder.ts';

const SLEEP = 'spiffe://cluster.local/ns/foo/sa/sleep';
const DAY_MS = 86_400_000;

function optionsFor(folder: string, keyAlgorithm: KeyAlgorithmName = 'ecdsa-p256') {
  return { folder, trustDomain: 'cluster.local', keyAlgorithm };
}

function modeOf(file: string): number {
  return statSync(file).mode & 0o777;
}

describe('the folder of a root', () => {
  it('is made with a key that only its owner can read, whatever the umask', async () => {
    using temp = new TempFolder();
    const before = process.umask(0);
    try {
      const opened = await openRootFolder(optionsFor(temp.join('deep', 'ca')));
      assert.equal(opened.isNew, true);
    } finally {
      process.umask(before);
    }
    assert.equal(modeOf(temp.join('deep', 'ca')), 0o700);
    assert.equal(modeOf(temp.join('deep', 'ca', 'ca-key.pem')), 0o600);
    assert.equal(modeOf(temp.join('deep', 'ca', 'root-cert.pem')), 0o644);
    assert.deepEqual(readdirSync(temp.join('deep', 'ca')).toSorted(), ['ca-key.pem', 'root-cert.pem']);
  });

  for (const keyAlgorithm of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048'] satisfies KeyAlgorithmName[]) {
    it(`keeps an ${keyAlgorithm} root over a restart, and both sign for one trust`, async () => {
      using temp = new TempFolder();
      const first = await openRootFolder(optionsFor(temp.path, keyAlgorithm));
      const second = await openRootFolder(optionsFor(temp.path));
      assert.equal(second.isNew, false);
      assert.deepEqual(second.warnings, []);
      assert.equal(second.authority.rootPem, first.authority.rootPem);
      const leaf = await second.authority.issueWithKey({ spiffeId: SLEEP });
      const answer = verifyOwnIdentity(
        leaf.chainPem,
        leaf.privateKeyPem,
        first.authority.rootPem,
        Date.now(),
      );
      assert.ok(answer.ok, JSON.stringify(answer));
    });
  }

  it('makes one root when two CAs start at once', async () => {
    using temp = new TempFolder();
    const both = await Promise.allSettled([
      openRootFolder(optionsFor(temp.path)),
      openRootFolder(optionsFor(temp.path)),
    ]);
    const opened = both.filter((one) => one.status === 'fulfilled').map((one) => one.value);
    const roots = new Set(opened.map(({ authority }) => authority.rootPem));
    assert.equal(roots.size, 1);
    assert.equal([...roots][0], readFileSync(temp.join('root-cert.pem'), 'utf8'));
    assert.ok(new X509Certificate([...roots][0]!).ca);
  });

  it('warns of a key that others can read', async () => {
    using temp = new TempFolder();
    await openRootFolder(optionsFor(temp.path));
    chmodSync(temp.join('ca-key.pem'), 0o640);
    const { warnings } = await openRootFolder(optionsFor(temp.path));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /mode 640/);
  });

  it('refuses half a set, says which half, and makes nothing', async () => {
    for (const gone of ['ca-key.pem', 'root-cert.pem']) {
      using temp = new TempFolder();
      await openRootFolder(optionsFor(temp.path));
      rmSync(temp.join(gone));
      await assert.rejects(openRootFolder(optionsFor(temp.path)), (thrown) => {
        assert.match(whyOf(thrown), new RegExp(`"${temp.join(gone)}" is missing`));
        return true;
      });
      assert.equal(readdirSync(temp.path).length, 1);
    }
  });

  it('refuses a root that is expired, no CA, of another key, not a root, or no PEM, and shows nothing of the key', async () => {
    const root = await createAuthority({ trustDomain: 'cluster.local' });
    const other = await createAuthority({ trustDomain: 'cluster.local' });
    const below = await root.createIntermediate();
    const expired = await createAuthority({
      trustDomain: 'cluster.local',
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    const leaf = await root.issueWithKey({ spiffeId: SLEEP });
    const keyOf = (authority: typeof root) => authority.exportPrivateKey();
    const rows: readonly (readonly [string, string, string, RegExp])[] = [
      ['expired', expired.certificatePem, await keyOf(expired), /expired at /],
      ['no CA', leaf.certificatePem, leaf.privateKeyPem, /not a CA's/],
      ['another key', root.certificatePem, await keyOf(other), /does not fit/],
      ['an intermediate', below.certificatePem, await keyOf(below), /not self-signed/],
      ['two', root.certificatePem + other.certificatePem, await keyOf(root), /there are 2 certificates/],
      ['no certificate', 'nonsense', await keyOf(root), /no "-----BEGIN CERTIFICATE/],
      ['no key', root.certificatePem, 'nonsense', /does not fit|cannot be read/],
      ['empty', '', await keyOf(root), /it is empty/],
    ];
    for (const [what, certificate, key, reason] of rows) {
      using temp = new TempFolder();
      writeFileSync(temp.join('root-cert.pem'), certificate);
      writeFileSync(temp.join('ca-key.pem'), key, { mode: 0o600 });
      await assert.rejects(openRootFolder(optionsFor(temp.path)), (thrown) => {
        assert.match(whyOf(thrown), reason, what);
        assert.ok(!whyOf(thrown).includes('PRIVATE KEY'), what);
        return true;
      });
      assert.equal(readFileSync(temp.join('root-cert.pem'), 'utf8'), certificate, what);
    }
  });

  it('refuses a folder that it cannot write', async () => {
    using temp = new TempFolder();
    const file = temp.write('file', '');
    await assert.rejects(openRootFolder(optionsFor(`${file}/ca`)), { code: 'identity_invalid' });
  });
});
