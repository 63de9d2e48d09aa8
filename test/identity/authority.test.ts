import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, it } from 'node:test';
import { createAuthority, type KeyAlgorithmName } from '../../src/identity/authority.ts';
import { parsePem } from '../../src/svid/pem.ts';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';

const SLEEP = 'spiffe://cluster.local/ns/foo/sa/sleep';
const DAY_MS = 86_400_000;
const root = await createAuthority({ trustDomain: 'cluster.local' });

function derOf(pem: string): Buffer {
  const blocks = parsePem(pem);
  assert.ok(!('problem' in blocks));
  return blocks[0]!.der;
}

describe('an authority', () => {
  it('issues leafs that are accepted as own identity, with each key algorithm and below an intermediate', async () => {
    for (const keyAlgorithm of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048'] satisfies KeyAlgorithmName[]) {
      const authority = await createAuthority({ trustDomain: 'cluster.local', keyAlgorithm });
      for (const signer of [authority, await authority.createIntermediate({ keyAlgorithm })]) {
        const leaf = await signer.issueWithKey({ spiffeId: SLEEP, keyAlgorithm });
        const answer = verifyOwnIdentity(leaf.chainPem, leaf.privateKeyPem, signer.rootPem, Date.now());
        assert.ok(answer.ok, JSON.stringify(answer));
        assert.equal(answer.identity.facts.spiffeId, SLEEP);
        assert.equal(answer.identity.facts.serial, leaf.serial);
        assert.equal(answer.identity.facts.notAfterMs, leaf.notAfterMs);
      }
    }
  });

  it("has istiod's profile for leafs", async () => {
    const before = Date.now();
    const leaf = await root.issueWithKey({ spiffeId: SLEEP });
    const { notBeforeMs, ...facts } = factsOf(leaf.certificatePem);
    assert.ok(Math.abs(before - 120_000 - notBeforeMs) < 5_000);
    assert.ok(Math.abs(before + DAY_MS - leaf.notAfterMs) < 5_000);
    assert.equal(facts.subject, '');
    assert.match(leaf.serial, /^[4-7][0-9a-f]{31}$/);
    // The bytes of the extensions: critical is 01 01 ff.
    const hex = derOf(leaf.certificatePem).toString('hex');
    assert.ok(
      hex.includes('0603551d0f0101ff0404030205a0'),
      'keyUsage digitalSignature keyEncipherment, critical',
    );
    assert.ok(hex.includes('0603551d130101ff04023000'), 'basicConstraints CA:FALSE, critical');
    assert.ok(
      hex.includes('0603551d250416301406082b0601050507030106082b06010505070302'),
      'extendedKeyUsage serverAuth clientAuth, not critical',
    );
    assert.ok(hex.includes(`0603551d110101ff04`), 'subjectAltName, critical');
    assert.ok(hex.includes('0603551d230418301680'), 'authorityKeyIdentifier');
  });

  it('never repeats a serial', async () => {
    const leafs = await Promise.all(
      Array.from({ length: 50 }, async () => root.issueWithKey({ spiffeId: SLEEP })),
    );
    assert.equal(new Set(leafs.map((leaf) => leaf.serial)).size, 50);
  });

  it('signs for a key that it never sees', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const leaf = await root.issue({
      spiffeId: SLEEP,
      publicKey: publicKey.export({ type: 'spki', format: 'der' }),
    });
    assert.ok(new X509Certificate(leaf.certificatePem).checkPrivateKey(privateKey));
  });

  it('issues expired ones on request', async () => {
    const old = await createAuthority({
      trustDomain: 'cluster.local',
      notBefore: new Date(Date.now() - 3 * DAY_MS),
    });
    const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 - DAY_MS);
    const leaf = await old.issueWithKey({
      spiffeId: SLEEP,
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter,
    });
    assert.equal(leaf.notAfterMs, notAfter.getTime());
  });

  it('never lets a certificate outlive its signer', async () => {
    const end = new Date(Math.floor(Date.now() / 1000) * 1000 + 3_600_000);
    const short = await createAuthority({ trustDomain: 'cluster.local', notAfter: end });
    const leaf = await short.issueWithKey({ spiffeId: SLEEP, ttlMs: DAY_MS });
    assert.equal(leaf.notAfterMs, end.getTime());
    const below = await short.createIntermediate();
    assert.equal(below.notAfterMs, end.getTime());
  });

  it('refuses to sign once it has expired', async () => {
    const expired = await createAuthority({
      trustDomain: 'cluster.local',
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    await assert.rejects(expired.issueWithKey({ spiffeId: SLEEP }), { code: 'identity_expired' });
    await assert.rejects(expired.createIntermediate(), { code: 'identity_expired' });
  });

  it('refuses names that are not of its trust domain, or no SPIFFE ID at all', async () => {
    for (const spiffeId of [
      'spiffe://elsewhere.example/ns/foo/sa/sleep',
      'spiffe://cluster.local',
      'spiffe://cluster.local/a//b',
      'https://cluster.local/x',
      `${SLEEP}\nspiffe://cluster.local/ns/foo/sa/admin`,
      '',
    ])
      await assert.rejects(root.issueWithKey({ spiffeId }), { code: 'identity_invalid' }, spiffeId);
    await assert.rejects(createAuthority({ trustDomain: 'Cluster.Local' }), { code: 'identity_invalid' });
    await assert.rejects(
      root.issueWithKey({ spiffeId: SLEEP, notBefore: new Date(), notAfter: new Date(Date.now() - 1000) }),
      { code: 'identity_invalid' },
    );
  });

  it(
    'is accepted by OpenSSL at its strictest',
    { skip: spawnSync('openssl', ['version']).status === 0 ? false : 'no openssl on this machine' },
    async () => {
      const folder = mkdtempSync(`${tmpdir()}/postern-authority-`);
      try {
        const leaf = await (await root.createIntermediate()).issueWithKey({ spiffeId: SLEEP });
        writeFileSync(`${folder}/root.pem`, root.rootPem);
        writeFileSync(`${folder}/leaf.pem`, leaf.chainPem);
        for (const purpose of ['sslclient', 'sslserver']) {
          const files = [
            '-CAfile',
            `${folder}/root.pem`,
            '-untrusted',
            `${folder}/leaf.pem`,
            `${folder}/leaf.pem`,
          ];
          const run = spawnSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, ...files]);
          assert.equal(run.status, 0, run.stderr.toString());
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

function factsOf(pem: string): { notBeforeMs: number; subject: string } {
  const certificate = new X509Certificate(pem);
  return { notBeforeMs: certificate.validFromDate.getTime(), subject: certificate.subject ?? '' };
}
