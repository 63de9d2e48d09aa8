import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { describe, it } from 'node:test';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';
import { type Issued, TestCa } from '../support/test-ca.ts';

const ca = await TestCa.create('cluster.local');
const other = await TestCa.create('cluster.local');
const leaf = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
const pkcs8 = createPrivateKey(leaf.keyPem);

function reasonsOf(parts: { chain?: string; key?: string; bundle?: string }): string {
  const answer = verifyOwnIdentity(
    parts.chain ?? leaf.chainPem,
    parts.key ?? leaf.keyPem,
    parts.bundle ?? ca.rootPem,
    Date.now(),
  );
  return answer.ok ? 'accepted' : answer.reasons.join('\n');
}

function ask(chain: Issued, bundle: string): boolean | 'accepted' {
  const answer = verifyOwnIdentity(chain.chainPem, chain.keyPem, bundle, Date.now());
  return answer.ok ? 'accepted' : answer.needsOtherBundle;
}

const withLeaf = (bad: Issued): { chain: string; key: string } => ({ chain: bad.chainPem, key: bad.keyPem });

describe('verifyOwnIdentity', () => {
  it('accepts a good identity and writes it anew, each part with its own alone', () => {
    const answer = verifyOwnIdentity(
      `# chain\n${leaf.keyPem}${leaf.chainPem}`,
      `${leaf.chainPem}${leaf.keyPem}`,
      `${ca.rootPem}\n# again\n${ca.rootPem}`,
      Date.now(),
    );
    assert.ok(answer.ok);
    assert.equal(answer.identity.facts.spiffeId, 'spiffe://cluster.local/ns/foo/sa/httpbin');
    assert.equal(answer.identity.chainPem, leaf.chainPem);
    assert.equal(answer.identity.keyPem, leaf.keyPem);
    assert.equal(answer.identity.bundlePem, ca.rootPem);
  });

  it('accepts intermediates, RSA, and SEC1 keys with their parameters before them', async () => {
    const intermediate = await ca.intermediate();
    assert.equal(reasonsOf(withLeaf(await intermediate.issue())), 'accepted');
    assert.equal(reasonsOf(withLeaf(await ca.issue({ key: 'rsa-2048' }))), 'accepted');
    const sec1 = pkcs8.export({ type: 'sec1', format: 'pem' });
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
    assert.equal(reasonsOf({ key: parameters + sec1 }), 'accepted');
  });

  it('says what is wrong, and what to do', async () => {
    const intermediate = await ca.intermediate();
    const below = await intermediate.issue();
    const encrypted = pkcs8.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
    const table: readonly (readonly [Parameters<typeof reasonsOf>[0], RegExp])[] = [
      [{ chain: '' }, /certificate chain cannot be used: it is empty; /],
      [{ chain: 'hello' }, /certificate chain cannot be used: it has no "-----BEGIN/],
      [{ chain: leaf.chainPem.slice(0, 300) }, /certificate chain cannot be used: .*cut off; /],
      [{ key: '' }, /private key cannot be used: it is empty; /],
      [{ key: leaf.certPem }, /the file has 0 private keys; /],
      [{ key: leaf.keyPem + leaf.keyPem }, /the file has 2 private keys; /],
      [{ key: encrypted }, /it is encrypted; decrypt it with/],
      [
        { key: leaf.keyPem.replace(/\nM.{20}/, `\n${'A'.repeat(21)}`) },
        /not a private key that can be read; /,
      ],
      [{ key: (await ca.issue()).keyPem }, /does not fit the first certificate of the chain; /],
      [{ bundle: '' }, /trust bundle cannot be used: it is empty; /],
      [{ bundle: leaf.certPem }, /trust bundle cannot be used: certificate 1 is not a CA's; /],
      [{ bundle: other.rootPem }, /does not reach the trust bundle: .*; add the intermediates/],
      [{ chain: below.certPem, key: below.keyPem }, /does not reach the trust bundle: .*; add/],
      [withLeaf(await ca.issue({ expired: true })), /has expired: .*; issue a new one/],
      [withLeaf(await ca.issue({ notYetValid: true })), /not valid yet: .*; check the clock/],
      [withLeaf(await ca.issue({ ca: true })), /is a CA's: .*; put the leaf first/],
      [{ chain: ca.rootPem + leaf.certPem }, /not a valid X.509-SVID|is a CA's/],
      [withLeaf(await ca.issue({ uris: [] })), /not a valid X.509-SVID \(no_uri_san\): .*; issue one/],
      [withLeaf(await ca.issue({ extendedKeyUsage: ['serverAuth'] })), /\(wrong_purpose\): .*; issue/],
    ];
    for (const [parts, pattern] of table) assert.match(reasonsOf(parts), pattern);
  });

  it('names everything that is wrong at once', () => {
    const reasons = reasonsOf({ chain: 'x', key: 'y', bundle: 'z' }).split('\n');
    assert.equal(reasons.length, 3);
  });

  it('never tells a byte of the key', () => {
    const secret = leaf.keyPem.split('\n')[1]!;
    for (const key of [leaf.keyPem.replace('\nM', '\nA'), leaf.keyPem.replace('-----END', '----END'), secret])
      for (let at = 0; at + 8 <= secret.length; at++)
        assert.ok(!reasonsOf({ key }).includes(secret.slice(at, at + 8)));
  });

  it('tells a bundle that is of somebody else from everything that no bundle would cure', async () => {
    assert.equal(ask(leaf, ca.rootPem), 'accepted');
    assert.equal(ask(leaf, other.rootPem), true);
    assert.equal(ask(await ca.issue({ expired: true }), other.rootPem), false);
    assert.equal(ask({ ...leaf, keyPem: (await ca.issue()).keyPem }, other.rootPem), false);
    assert.equal(ask(leaf, ''), false);
  });
});
