import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import {
  checkSvid,
  isSvidProblem,
  type SvidFacts,
  type SvidProblem,
  type SvidPurpose,
  type SvidReason,
} from '../../src/svid/check-svid.ts';
import * as der from '../support/der-writer.ts';
import { type IssueOptions, TestCa } from '../support/test-ca.ts';

let ca: TestCa;
before(async () => {
  ca = await TestCa.create('cluster.local');
});

const SLEEP = 'spiffe://cluster.local/ns/foo/sa/sleep';

async function check(options: IssueOptions, purpose?: SvidPurpose): Promise<SvidFacts | SvidProblem> {
  return checkSvid((await ca.issue(options)).der, Date.now(), purpose);
}

async function reasonOf(options: IssueOptions, purpose?: SvidPurpose): Promise<SvidReason | 'accepted'> {
  const answer = await check(options, purpose);
  return isSvidProblem(answer) ? answer.reason : 'accepted';
}

describe('checkSvid on a good leaf', () => {
  it("gives the facts as OpenSSL's reading has them", async () => {
    const leaf = await ca.issue({ spiffeId: SLEEP, dnsNames: ['sleep.foo.svc', '*.foo.svc'] });
    const facts = checkSvid(leaf.der, Date.now());
    assert.ok(!isSvidProblem(facts));
    const known = new X509Certificate(leaf.der);
    assert.deepEqual(facts, {
      spiffeId: SLEEP,
      trustDomain: 'cluster.local',
      namespace: 'foo',
      serviceAccount: 'sleep',
      dnsNames: ['sleep.foo.svc', '*.foo.svc'],
      subject: '',
      hash: known.fingerprint256.replaceAll(':', '').toLowerCase(),
      serial: known.serialNumber.toLowerCase(),
      notBeforeMs: known.validFromDate.getTime(),
      notAfterMs: known.validToDate.getTime(),
    });
    assert.equal(facts.serial, leaf.serial);
  });

  it('reads a certificate that lies inside a larger buffer', async () => {
    const leaf = await ca.issue();
    const padded = Buffer.concat([Buffer.alloc(13, 0xff), leaf.der, Buffer.alloc(5, 0xff)]);
    const inside = new Uint8Array(padded.buffer, padded.byteOffset + 13, leaf.der.length);
    assert.deepEqual(checkSvid(inside, Date.now()), checkSvid(leaf.der, Date.now()));
  });

  it('leaves namespace and service account empty for other paths', async () => {
    const facts = await check({ spiffeId: 'spiffe://example.org/spire/agent' });
    assert.ok(!isSvidProblem(facts));
    assert.deepEqual([facts.trustDomain, facts.namespace, facts.serviceAccount], ['example.org', '', '']);
  });

  it('writes serials as OpenSSL does', async () => {
    for (const serial of ['01', '7f', '80', '0123', 'ff'.repeat(20), '00ab']) {
      const leaf = await ca.issue({ serial });
      const facts = checkSvid(leaf.der, Date.now());
      assert.ok(!isSvidProblem(facts), serial);
      assert.equal(facts.serial, new X509Certificate(leaf.der).serialNumber.toLowerCase());
    }
  });

  it('reads both forms of time', async () => {
    for (const year of [2049, 2050, 9999]) {
      const notAfter = new Date(Date.UTC(year, 11, 31, 23, 59, 59));
      const facts = await check({ notAfter });
      assert.ok(!isSvidProblem(facts));
      assert.equal(facts.notAfterMs, notAfter.getTime());
    }
  });

  const good: readonly (readonly [what: string, options: IssueOptions])[] = [
    ['an RSA key', { key: 'rsa-2048' }],
    ['a P-384 key', { key: 'ecdsa-p384' }],
    ['no basicConstraints', { ca: null }],
    ['no extendedKeyUsage', { extendedKeyUsage: null }],
    ['digitalSignature alone', { keyUsage: ['digitalSignature'] }],
    ['names of other types', { emails: ['a@b'], rawNames: [der.tlv(0x87, Buffer.from([10, 0, 0, 1]))] }],
    [
      'an extension that is not critical and not known',
      { extensions: [der.extension('1.2.3.4', false, der.nothing())] },
    ],
    ['critical certificatePolicies', { extensions: [der.extension('2.5.29.32', true, der.sequence())] }],
    ['an otherName that looks like a SPIFFE ID', { otherNames: ['spiffe://cluster.local/ns/foo/sa/admin'] }],
    ['an e-mail name that looks like a SPIFFE ID', { emails: ['spiffe://cluster.local/ns/foo/sa/admin'] }],
  ];
  for (const [what, options] of good)
    it(`accepts ${what}, and the identity stays the URI's`, async () => {
      const facts = await check({ ...options, spiffeId: SLEEP });
      assert.ok(!isSvidProblem(facts), JSON.stringify(facts));
      assert.equal(facts.spiffeId, SLEEP);
      assert.deepEqual(facts.dnsNames, []);
    });
});

describe('checkSvid refuses', () => {
  const bad: readonly (readonly [what: string, options: IssueOptions, reason: SvidReason])[] = [
    ['a version 1 certificate', { version: 1 }, 'not_version_3'],
    ['no URI SAN', { uris: [] }, 'no_uri_san'],
    ['no subjectAltName', { san: false }, 'no_uri_san'],
    ['a DNS SAN alone', { uris: [], dnsNames: ['sleep.foo.svc'] }, 'no_uri_san'],
    ['a DNS SAN that is text of a URI SAN', { uris: [], dnsNames: [`x, URI:${SLEEP}`] }, 'no_uri_san'],
    ['an otherName in place of a URI', { uris: [], otherNames: [SLEEP] }, 'no_uri_san'],
    ['two URI SANs', { uris: [SLEEP, 'spiffe://cluster.local/ns/foo/sa/admin'] }, 'several_uri_sans'],
    ['the same URI SAN twice', { uris: [SLEEP, SLEEP] }, 'several_uri_sans'],
    ['a URI SAN of another scheme beside it', { uris: [SLEEP, 'https://example.org'] }, 'several_uri_sans'],
    ['a URI of another scheme', { uris: ['https://example.org/x'] }, 'bad_spiffe_id'],
    ['a URI with NUL', { uris: [`${SLEEP}\0.evil`] }, 'bad_spiffe_id'],
    ['a URI with CR LF', { uris: [`${SLEEP}\r\nx: y`] }, 'bad_spiffe_id'],
    ['a URI with a semicolon', { uris: [`${SLEEP};By=x`] }, 'bad_spiffe_id'],
    ['a URI with a comma', { uris: [`${SLEEP},By=x`] }, 'bad_spiffe_id'],
    ['a URI with a quote', { uris: [`${SLEEP}"`] }, 'bad_spiffe_id'],
    ['a URI with a byte past ASCII', { uris: [`${SLEEP}\u00e9`] }, 'bad_spiffe_id'],
    ['an empty URI', { uris: [''] }, 'bad_spiffe_id'],
    ['a SPIFFE ID without a path', { uris: ['spiffe://cluster.local'] }, 'no_path'],
    ['an XFCC element in a DNS SAN', { dnsNames: [`a,By=x;URI=spiffe://td/sa/admin`] }, 'bad_dns_san'],
    ['a second, bad DNS SAN', { dnsNames: ['good.example', 'a\0b'] }, 'bad_dns_san'],
    ['an empty DNS SAN', { dnsNames: [''] }, 'bad_dns_san'],
    ['an endless DNS SAN', { dnsNames: ['a'.repeat(256)] }, 'bad_dns_san'],
    ['a CA', { ca: true }, 'is_ca'],
    ['a CA that says so with a path length', { ca: true, pathLength: 0 }, 'is_ca'],
    ['no keyUsage', { keyUsage: null }, 'no_key_usage'],
    ['keyUsage without digitalSignature', { keyUsage: ['keyEncipherment'] }, 'no_digital_signature'],
    ['empty keyUsage', { keyUsage: [] }, 'no_digital_signature'],
    ['keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'] }, 'may_sign'],
    ['cRLSign', { keyUsage: ['digitalSignature', 'cRLSign'] }, 'may_sign'],
    ['serverAuth alone of a client', { extendedKeyUsage: ['serverAuth'] }, 'wrong_purpose'],
    ['another purpose alone', { extendedKeyUsage: ['codeSigning'] }, 'wrong_purpose'],
    ['any purpose alone, as OpenSSL does', { extendedKeyUsage: ['any'] }, 'wrong_purpose'],
    ['an expired one', { expired: true }, 'expired'],
    ['one of the future', { notYetValid: true }, 'not_yet_valid'],
    [
      'a critical extension that nobody knows',
      { extensions: [der.extension('1.2.840.1', true, der.nothing())] },
      'unknown_critical_extension',
    ],
    [
      'critical name constraints on a leaf',
      { extensions: [der.extension('2.5.29.30', true, der.sequence())] },
      'unknown_critical_extension',
    ],
    [
      'a second subjectAltName',
      { extensions: [der.extension('2.5.29.17', false, der.sequence(der.tlv(0x86, Buffer.from(SLEEP))))] },
      'duplicate_extension',
    ],
    [
      'a second basicConstraints',
      { ca: true, extensions: [der.extension('2.5.29.19', true, der.sequence())] },
      'duplicate_extension',
    ],
    [
      'a second extension that nobody knows',
      {
        extensions: [
          der.extension('1.2.3.4', false, der.nothing()),
          der.extension('1.2.3.4', false, der.nothing()),
        ],
      },
      'duplicate_extension',
    ],
    ['a constructed URI name', { rawNames: [der.tlv(0xa6, der.octets(Buffer.from('x')))] }, 'malformed'],
    ['a universal tag among the names', { rawNames: [der.tlv(0x16, Buffer.from(SLEEP))] }, 'malformed'],
    ['a serial of 21 bytes', { serial: '7f'.repeat(21) }, 'malformed'],
    ['a path length without cA', { ca: false, pathLength: 1 }, 'malformed'],
    ['257 names', { dnsNames: Array.from({ length: 257 }, (_, i) => `h${i}`) }, 'malformed'],
    [
      '80 extensions',
      { extensions: Array.from({ length: 80 }, (_, i) => der.extension(`1.2.3.${i}`, false, der.nothing())) },
      'malformed',
    ],
    [
      'empty extendedKeyUsage',
      { extendedKeyUsage: null, extensions: [der.extension('2.5.29.37', false, der.sequence())] },
      'malformed',
    ],
    [
      'keyUsage with a set bit that is unused',
      { keyUsage: null, extensions: [der.extension('2.5.29.15', true, der.bits(Buffer.from([0x81]), 7))] },
      'malformed',
    ],
    [
      'a BOOLEAN that is neither',
      {
        ca: null,
        extensions: [der.extension('2.5.29.19', true, der.sequence(der.tlv(0x01, Buffer.from([1]))))],
      },
      'malformed',
    ],
    [
      'bytes after the extension value',
      {
        ca: null,
        extensions: [der.extension('2.5.29.19', true, Buffer.concat([der.sequence(), der.nothing()]))],
      },
      'malformed',
    ],
  ];
  for (const [what, options, reason] of bad)
    it(`${what} (${reason})`, async () => {
      const leaf = await ca.issue(options);
      const answer = checkSvid(leaf.der, Date.now());
      assert.ok(isSvidProblem(answer));
      assert.equal(answer.reason, reason);
      const isOutdated = reason === 'expired' || reason === 'not_yet_valid';
      assert.equal(answer.code, isOutdated ? 'tls_expired_certificate' : 'tls_not_an_svid');
      assert.notEqual(answer.wanted, '');
      // What is shown may go into a log line: one line, printable, bounded.
      assert.match(answer.got, /^[\u0020-\u007E\u2026]{1,600}$/);
      assert.equal(answer.serial, reason === 'malformed' ? '' : leaf.serial);
    });

  it('every unsafe byte of a DNS SAN, wherever it stands', async () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      const isSafe = byte > 0x20 && byte < 0x7f && !'",;=\\'.includes(char);
      for (const dnsName of [`${char}ab`, `a${char}b`, `ab${char}`])
        assert.equal(
          await reasonOf({ dnsNames: [dnsName] }),
          isSafe ? 'accepted' : 'bad_dns_san',
          `byte ${byte}`,
        );
    }
  });

  it('what the purpose does not allow, and no more', async () => {
    const table: readonly (readonly ['serverAuth' | 'clientAuth', SvidPurpose, boolean])[] = [
      ['serverAuth', 'server', true],
      ['serverAuth', 'client', false],
      ['serverAuth', 'both', false],
      ['clientAuth', 'client', true],
      ['clientAuth', 'server', false],
      ['clientAuth', 'both', false],
    ];
    for (const [has, purpose, isOk] of table)
      assert.equal(await reasonOf({ extendedKeyUsage: [has] }, purpose), isOk ? 'accepted' : 'wrong_purpose');
    assert.equal(await reasonOf({}, 'both'), 'accepted');
  });

  it('from the first millisecond of notAfter on, and before notBefore', async () => {
    const notBefore = new Date('2030-01-01T00:00:00Z');
    const notAfter = new Date('2030-01-02T00:00:00Z');
    const leaf = await ca.issue({ notBefore, notAfter });
    const reasonAt = (ms: number): string => {
      const answer = checkSvid(leaf.der, ms);
      return isSvidProblem(answer) ? answer.reason : 'accepted';
    };
    assert.equal(reasonAt(notBefore.getTime() - 1), 'not_yet_valid');
    assert.equal(reasonAt(notBefore.getTime()), 'accepted');
    assert.equal(reasonAt(notAfter.getTime() - 1), 'accepted');
    assert.equal(reasonAt(notAfter.getTime()), 'expired');
  });

  it('an outdated certificate with all that a log line needs', async () => {
    const leaf = await ca.issue({ spiffeId: SLEEP, expired: true });
    const answer = checkSvid(leaf.der, Date.now());
    assert.ok(isSvidProblem(answer));
    assert.equal(answer.spiffeId, SLEEP);
    assert.equal(answer.notAfterMs, new X509Certificate(leaf.der).validToDate.getTime());
  });

  it('every cut of a certificate, and bytes after its end', async () => {
    const { der: whole } = await ca.issue({ dnsNames: ['a.b'], subject: [[['CN', 'x']]] });
    for (let length = 0; length < whole.length; length++) {
      const answer = checkSvid(whole.subarray(0, length), Date.now());
      assert.ok(isSvidProblem(answer) && answer.reason === 'malformed', `${length} bytes`);
    }
    const longer = checkSvid(Buffer.concat([whole, Buffer.from([0])]), Date.now());
    assert.ok(isSvidProblem(longer) && longer.reason === 'malformed');
  });

  it('or accepts, but never throws, whatever one byte is changed to', async () => {
    const { der: whole } = await ca.issue({ spiffeId: SLEEP, dnsNames: ['a.b'], subject: [[['CN', 'x']]] });
    let refusals = 0;
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff, whole[at]! ^ 0x20]) {
        const changed = Buffer.from(whole);
        changed[at] = value;
        const answer = checkSvid(changed, Date.now());
        if (isSvidProblem(answer)) refusals++;
        // No change makes another characters' set of an identity.
        else assert.match(answer.spiffeId, /^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)+$/);
      }
    }
    assert.ok(refusals > whole.length);
  });
});

describe('the svid room', () => {
  it('imports no library for X.509', () => {
    const folder = join(import.meta.dirname, '../../src/svid');
    const files = readdirSync(folder).filter((name) => name.endsWith('.ts'));
    assert.ok(files.length >= 8);
    for (const name of files) {
      const imports = readFileSync(join(folder, name), 'utf8').matchAll(
        /from '([^']+)'|import\('([^']+)'\)/g,
      );
      for (const [, from] of imports) assert.match(from ?? '', /^(node:crypto$|\.\/|\.\.\/core\/)/, name);
    }
  });
});
