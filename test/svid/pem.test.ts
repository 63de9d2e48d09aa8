import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatCertificate, parseCertificates, parsePem } from '../../src/svid/pem.ts';
import { TestCa } from '../support/test-ca.ts';

const ca = await TestCa.create('cluster.local');
const leaf = await ca.issue();

describe('PEM', () => {
  it('comes back as it went out', () => {
    const ders = parseCertificates(leaf.chainPem + ca.rootPem);
    assert.ok(!('problem' in ders));
    assert.deepEqual(ders, [leaf.der, ca.certDer]);
    assert.equal(formatCertificate(leaf.der), leaf.certPem);
  });

  it('passes over text between blocks, CR LF, and blocks of other labels', () => {
    const text = `Certificate:\n  Data: x\n${leaf.keyPem}${leaf.certPem}\n# root\n${ca.rootPem}`;
    const ders = parseCertificates(text.replaceAll('\n', '\r\n'));
    assert.deepEqual(ders, [leaf.der, ca.certDer]);
  });

  const body = leaf.certPem.split('\n').slice(1, -2).join('\n');
  const bad: readonly (readonly [what: string, text: string])[] = [
    ['nothing', ''],
    ['white space', ' \n\n'],
    ['no PEM at all', 'hello'],
    ['a key alone', leaf.keyPem],
    ['a file cut off', leaf.certPem.slice(0, 200)],
    ['a file cut off in the end line', leaf.certPem.slice(0, -8)],
    ['a second block cut off', leaf.certPem + ca.rootPem.slice(0, 200)],
    ['a block within a block', `-----BEGIN CERTIFICATE-----\n${leaf.certPem}`],
    ['an end that fits no begin', `-----BEGIN CERTIFICATE-----\n${body}\n-----END X-----\n`],
    ['an end without a begin', `${body}\n-----END CERTIFICATE-----\n`],
    ['characters that are not base64', leaf.certPem.replace(/\nMII/, '\n!!!')],
    ['a missing character', leaf.certPem.replace(/\nMII/, '\nMI')],
    ['an empty block', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'],
  ];
  for (const [what, text] of bad)
    it(`does not take ${what} for certificates`, () => {
      const answer = parseCertificates(text);
      assert.ok('problem' in answer);
      assert.notEqual(answer.problem, '');
    });

  it('tells a key that is encrypted the old way', () => {
    const blocks = parsePem(
      '-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n',
    );
    assert.ok(!('problem' in blocks));
    assert.equal(blocks[0]?.label, 'ENCRYPTED PRIVATE KEY');
  });

  it('is bounded', () => {
    assert.ok('problem' in parsePem('-----BEGIN X-----\nAAAA\n-----END X-----\n'.repeat(1025)));
  });
});
