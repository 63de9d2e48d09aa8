import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, it } from 'node:test';
import { MeshError, whyOf } from '../../src/core/errors.ts';
import { checkCsr, MAX_CSR_BYTES } from '../../src/identity/csr-check.ts';
import { createCsr } from '../../src/identity/csr-request.ts';
import { CA_WISHES, makeCsr, pemOf } from './hostile-csr.ts';

const CALLER = { namespace: 'foo', serviceAccount: 'sleep' };
const OWN = 'spiffe://cluster.local/ns/foo/sa/sleep';

function codeOf(pem: string): string {
  try {
    checkCsr(pem, CALLER);
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    assert.ok(whyOf(thrown).length < 400);
    return thrown.code;
  }
  return 'ok';
}

function rsa(modulusLength: number, exponent: readonly number[] = [1, 0, 1]) {
  const publicExponent = new Uint8Array(exponent);
  return { name: 'RSASSA-PKCS1-v1_5', modulusLength, publicExponent, hash: 'SHA-256' };
}

describe('a certificate request of ours', () => {
  for (const algorithm of ['ecdsa-p256', 'ecdsa-p384', 'rsa-2048'] as const) {
    it(`is as Istio's agent makes it, with ${algorithm}`, async () => {
      const { csrPem, keyPem } = await createCsr(OWN, algorithm);
      const checked = checkCsr(csrPem, CALLER);
      const own = createPublicKey(createPrivateKey(keyPem)).export({ type: 'spki', format: 'der' });
      assert.deepEqual(checked, { publicKey: own, hasCommonName: false });
      const shown = spawnSync('openssl', ['req', '-noout', '-text', '-verify'], { input: csrPem });
      assert.equal(shown.status, 0, shown.stderr.toString());
      assert.match(shown.stdout.toString(), /Subject: O ?= ?\n/);
      assert.match(
        shown.stdout.toString(),
        /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster.local\/ns\/foo\/sa\/sleep\n/,
      );
    });
  }

  it('has another key every time', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => createCsr(OWN, 'ecdsa-p256')));
    assert.equal(new Set(made.map(({ keyPem }) => keyPem)).size, 5);
  });
});

describe('a certificate request of anybody', () => {
  it('is taken whatever else it asks for, and gives its key and nothing more', async () => {
    const { pem } = await makeCsr({
      uris: [OWN, 'https://example.com/', 'urn:x'],
      dnsNames: ['istiod.istio-system.svc', '*'],
      subject: [{ CN: ['admin'] }, { O: ['system:masters'] }],
      extensions: CA_WISHES,
    });
    const checked = checkCsr(pem, CALLER);
    assert.deepEqual(Object.keys(checked).toSorted(), ['hasCommonName', 'publicKey']);
    assert.equal(checked.hasCommonName, true);
    assert.equal(codeOf((await makeCsr()).pem), 'ok');
    assert.equal(codeOf((await makeCsr({ uris: [OWN] })).pem.replaceAll('\n', '\r\n')), 'ok');
  });

  it('may name another trust domain, and nobody else', async () => {
    const rows: readonly (readonly [uri: string, code: string])[] = [
      [OWN, 'ok'],
      ['spiffe://elsewhere.example/ns/foo/sa/sleep', 'ok'],
      ['https://elsewhere.example/ns/foo/sa/admin', 'ok'],
      ['spiffe://cluster.local/ns/foo/sa/admin', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/ns/bar/sa/sleep', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/ns/foo/sa/sleep/admin', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/ns/foo/sa/SLEEP', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/admin', 'csr_identity_mismatch'],
      ['spiffe://cluster.local', 'csr_identity_mismatch'],
      ['spiffe:/cluster.local/ns/foo/sa/sleep', 'csr_identity_mismatch'],
      ['SPIFFE://cluster.local/ns/foo/sa/admin', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/ns/foo/sa/sleep?x', 'csr_identity_mismatch'],
      ['spiffe://cluster.local/ns/foo/sa/%73leep', 'csr_identity_mismatch'],
    ];
    for (const [uri, code] of rows) {
      assert.equal(codeOf((await makeCsr({ uris: [uri] })).pem), code, uri);
      // Nor can it hide behind the right one.
      assert.equal(codeOf((await makeCsr({ uris: [OWN, uri] })).pem), code, uri);
      assert.equal(codeOf((await makeCsr({ uris: [uri, OWN], dnsNames: ['a'] })).pem), code, uri);
    }
  });

  it('has a key that is worth signing', async () => {
    for (const [what, algorithm, code] of [
      ['P-256', { name: 'ECDSA', namedCurve: 'P-256' }, 'ok'],
      ['P-384', { name: 'ECDSA', namedCurve: 'P-384' }, 'ok'],
      ['P-521', { name: 'ECDSA', namedCurve: 'P-521' }, 'ok'],
      ['Ed25519', { name: 'Ed25519' }, 'ok'],
      ['RSA 2048', rsa(2048), 'ok'],
      ['RSA 3072', rsa(3072), 'ok'],
      ['RSA 2048 with exponent 3', rsa(2048, [3]), 'ok'],
      ['RSA 1024', rsa(1024), 'csr_weak_key'],
      ['RSA 2040', rsa(2040), 'csr_weak_key'],
    ] as const) {
      assert.equal(codeOf((await makeCsr({ uris: [OWN], algorithm })).pem), code, what);
    }
    const secp256k1 = spawnSync(
      'openssl',
      'req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout /dev/null -subj /O=x'.split(
        ' ',
      ),
    );
    assert.equal(secp256k1.status, 0, secp256k1.stderr.toString());
    assert.equal(codeOf(secp256k1.stdout.toString()), 'csr_weak_key');
  });

  it('proves that its sender holds the key', async () => {
    const { der } = await makeCsr({ uris: [OWN] });
    const other = await makeCsr({ uris: [OWN] });
    const changed = Buffer.from(der);
    const at = changed.indexOf('sleep');
    changed[at] = 'S'.charCodeAt(0);
    // Somebody else's key under a signature of one's own: what an attacker has who saw a public key.
    const key = /3059301306072a8648ce3d020106082a8648ce3d030107034200.{130}/;
    const theirs = key.exec(other.der.toString('hex'))![0];
    const stolen = Buffer.from(der.toString('hex').replace(key, theirs), 'hex');
    assert.equal(codeOf(pemOf(changed)), 'csr_invalid');
    assert.equal(codeOf(pemOf(stolen)), 'csr_invalid');
  });

  it('is one PEM block of whole DER and not longer than its bound', async () => {
    const { der, pem } = await makeCsr({ uris: [OWN] });
    const rows: readonly (readonly [what: string, pem: string])[] = [
      ['empty', ''],
      ['no PEM', 'hello'],
      ['two blocks', `${pem}\n${pem}`],
      ['a certificate', pemOf(der, 'CERTIFICATE')],
      ['a key', pemOf(der, 'PRIVATE KEY')],
      ['text before', `hello\n${pem}`],
      ['text behind', `${pem}\nhello`],
      ['cut off', pem.slice(0, -40)],
      ['bytes behind', pemOf(Buffer.concat([der, Buffer.from([0])]))],
      ['version 2', pemOf(Buffer.from(der.toString('hex').replace('020100', '020101'), 'hex'))],
      ['too long', pem + '\n'.repeat(MAX_CSR_BYTES)],
      ['DER that is not a request', pemOf(Buffer.from([0x30, 0x00]))],
    ];
    for (const [what, text] of rows) assert.equal(codeOf(text), 'csr_invalid', what);
  });

  it('cut at any byte, or with any byte changed, is refused and never thrown over', async () => {
    const { der } = await makeCsr({ uris: [OWN], dnsNames: ['a.example'], extensions: CA_WISHES });
    for (let length = 1; length < der.length; length++)
      assert.equal(codeOf(pemOf(der.subarray(0, length))), 'csr_invalid', `cut at ${length}`);
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der);
      changed[at]! ^= 0x55;
      assert.notEqual(codeOf(pemOf(changed)), 'ok', `changed at ${at}`);
    }
  });
});
