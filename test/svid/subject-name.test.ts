import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { checkSvid, isSvidProblem } from '../../src/svid/check-svid.ts';
import * as der from '../support/der-writer.ts';
import { TestCa } from '../support/test-ca.ts';

const utf16 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

/** Subject in the order of the certificate → text as the specification has it, checked against OpenSSL below. */
const VECTORS: readonly (readonly [what: string, subject: readonly der.Rdn[], text: string])[] = [
  ['one attribute', [[['CN', 'sleep']]], 'CN=sleep'],
  ['the reverse order', [[['C', 'CH']], [['O', 'Acme']], [['CN', 'sleep']]], 'CN=sleep,O=Acme,C=CH'],
  [
    'a multi-valued part',
    [
      [['O', 'Acme']],
      [
        ['CN', 'a'],
        ['OU', 'b'],
      ],
    ],
    'OU=b+CN=a,O=Acme',
  ],
  ['special characters', [[['CN', ',+"\\<>;=#']]], 'CN=\\,\\+\\"\\\\\\<\\>\\;=#'],
  ['a hash at the front', [[['CN', '#a#']]], 'CN=\\#a#'],
  ['spaces at the ends', [[['CN', '  a b  ']]], 'CN=\\  a b \\ '],
  ['a single space', [[['CN', ' ']]], 'CN=\\ '],
  ['an empty value', [[['CN', '']]], 'CN='],
  ['control characters', [[['CN', 'a\r\n\0\u007Fb']]], 'CN=a\\0D\\0A\\00\\7Fb'],
  ['letters beyond ASCII', [[['CN', 'é€😀']]], 'CN=\\C3\\A9\\E2\\82\\AC\\F0\\9F\\98\\80'],
  ['a T61String as Latin-1', [[['CN', der.tlv(0x14, Buffer.from([0xe9]))]]], 'CN=\\C3\\A9'],
  ['a BMPString', [[['CN', der.tlv(0x1e, utf16('é,x'))]]], 'CN=\\C3\\A9\\,x'],
  ['a UniversalString', [[['CN', der.tlv(0x1c, Buffer.from([0, 0, 0, 0x41]))]]], 'CN=A'],
  ['an unknown attribute in hex', [[['1.2.3.4', 'x']]], '1.2.3.4=#0C0178'],
  ['a value of another type in hex', [[['CN', der.bits(Buffer.from([5]))]]], 'CN=#03020005'],
  [
    'every name that Istio users have',
    [
      [['DC', 'local']],
      [['ST', 'ZH']],
      [['L', 'Zürich']],
      [['street', 'x 1']],
      [['UID', 'u']],
      [['serialNumber', '1']],
      [['emailAddress', 'a@b']],
      [['2.5.4.4', 's']],
      [['2.5.4.42', 'g']],
      [['2.5.4.45', 'q']],
      [['2.5.4.97', 'o']],
    ],
    'organizationIdentifier=o,x500UniqueIdentifier=q,GN=g,SN=s,emailAddress=a@b,serialNumber=1,UID=u,street=x 1,L=Z\\C3\\BCrich,ST=ZH,DC=local',
  ],
];

const ca = await TestCa.create('cluster.local');
const openssl = spawnSync('openssl', ['version']);

function printedByOpenssl(certificate: Buffer): string {
  const run = spawnSync('openssl', ['x509', '-inform', 'DER', '-noout', '-subject', '-nameopt', 'RFC2253'], {
    input: certificate,
  });
  return run.stdout
    .toString('latin1')
    .replace(/^subject=/, '')
    .replace(/\n$/, '');
}

describe('the subject in RFC 2253 form', () => {
  for (const [what, subject, text] of VECTORS) {
    it(`has ${what}`, async () => {
      const { der: certificate } = await ca.issue({ subject });
      const facts = checkSvid(certificate, Date.now());
      assert.ok(!isSvidProblem(facts), JSON.stringify(facts));
      assert.equal(facts.subject, text);
    });
  }

  it(
    'is what OpenSSL prints',
    { skip: openssl.status === 0 ? false : 'no openssl on this machine' },
    async () => {
      for (const [what, subject] of VECTORS) {
        const { der: certificate } = await ca.issue({ subject });
        const facts = checkSvid(certificate, Date.now());
        assert.ok(!isSvidProblem(facts));
        assert.equal(facts.subject, printedByOpenssl(certificate), what);
      }
    },
  );

  const bad: readonly (readonly [what: string, subject: readonly der.Rdn[]])[] = [
    ['a value that is not UTF-8', [[['CN', der.tlv(0x0c, Buffer.from([0xc3]))]]]],
    ['half a surrogate pair', [[['CN', der.tlv(0x1e, Buffer.from([0xd8, 0x00]))]]]],
    ['an odd BMPString', [[['CN', der.tlv(0x1e, Buffer.from([0x00]))]]]],
    ['an empty part', [[]]],
    ['65 attributes', Array.from({ length: 65 }, (): der.Rdn => [['OU', 'x']])],
  ];
  for (const [what, subject] of bad)
    it(`refuses a certificate with ${what}`, async () => {
      const { der: certificate } = await ca.issue({ subject });
      const answer = checkSvid(certificate, Date.now());
      assert.ok(isSvidProblem(answer));
      assert.equal(answer.reason, 'malformed');
    });
});
