/** Who is let in and who is not, by certificate: TLS 1.2 and 1.3, each a real handshake. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ErrorCodeName } from '../../src/core/errors.ts';
import * as der from '../support/der-writer.ts';
import { type IssueOptions, TestCa } from '../support/test-ca.ts';
import { connect, secretOf, TestTerminator } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
const bundles = { 'cluster.local': ca.rootPem };
const ID = 'spiffe://cluster.local/ns/foo/sa/sleep';

async function startTerminator(): Promise<TestTerminator> {
  const terminator = await TestTerminator.start();
  terminator.tls.setSecret(secretOf(own, bundles), ['cluster.local']);
  return terminator;
}

const BAD_LEAFS: readonly (readonly [string, IssueOptions, ErrorCodeName, string])[] = [
  ['expired', { expired: true }, 'tls_expired_certificate', 'expired'],
  ['not yet valid', { notYetValid: true }, 'tls_expired_certificate', 'not_yet_valid'],
  ['without a SAN', { san: false }, 'tls_not_an_svid', 'no_uri_san'],
  ['with two URI SANs', { uris: [ID, `${ID}2`] }, 'tls_not_an_svid', 'several_uri_sans'],
  ['with a DNS SAN alone', { uris: [], dnsNames: ['sleep.foo.svc'] }, 'tls_not_an_svid', 'no_uri_san'],
  ['with a wildcard for a name', { uris: [], dnsNames: ['*.foo.svc'] }, 'tls_not_an_svid', 'no_uri_san'],
  ['with its ID in an otherName', { uris: [], otherNames: [ID] }, 'tls_not_an_svid', 'no_uri_san'],
  [
    'with text that looks like a second SAN',
    { uris: [], dnsNames: [`x, URI:${ID}`] },
    'tls_not_an_svid',
    'no_uri_san',
  ],
  ['with a NUL in its ID', { uris: [`${ID}\0.evil`] }, 'tls_not_an_svid', 'bad_spiffe_id'],
  [
    'with an https URI',
    { uris: ['https://cluster.local/ns/foo/sa/sleep'] },
    'tls_not_an_svid',
    'bad_spiffe_id',
  ],
  ['that names a trust domain alone', { uris: ['spiffe://cluster.local'] }, 'tls_not_an_svid', 'no_path'],
  ['that is a CA', { ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] }, 'tls_not_an_svid', 'is_ca'],
  ['that may sign', { keyUsage: ['digitalSignature', 'cRLSign'] }, 'tls_not_an_svid', 'may_sign'],
  ['without keyUsage', { keyUsage: null }, 'tls_not_an_svid', 'no_key_usage'],
  ['for servers only', { extendedKeyUsage: ['serverAuth'] }, 'tls_not_an_svid', 'wrong_purpose'],
  [
    'of another trust domain under our root',
    { spiffeId: 'spiffe://other.example/ns/foo/sa/sleep' },
    'tls_foreign_trust_domain',
    'foreign_trust_domain',
  ],
];

describe('acceptPeer', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`gives the identity of a good client over ${version}`, async () => {
      await using terminator = await startTerminator();
      const client = await ca.issue({ dnsNames: ['sleep.foo.svc'] });
      const answered = terminator.next();
      const view = await connect(terminator.port, ca, client, { minVersion: version, maxVersion: version });
      const answer = await answered;
      assert.ok(answer.ok, JSON.stringify(answer));
      const { peer, alpn, tlsVersion, resumed, chainSerials } = answer.secure;
      assert.equal(peer.spiffeId, ID);
      assert.equal(peer.trustDomain, 'cluster.local');
      assert.equal(peer.namespace, 'foo');
      assert.equal(peer.serviceAccount, 'sleep');
      assert.deepEqual(peer.dnsNames, ['sleep.foo.svc']);
      assert.equal(peer.serial, client.serial);
      assert.equal(chainSerials[0], client.serial);
      assert.deepEqual([alpn, tlsVersion, resumed], ['http/1.1', version, false]);
      assert.equal(view.text, 'ok');
      assert.equal(terminator.counters.sslHandshake, 1);
      assert.equal(terminator.counters.sslVersions[version], 1);
    });

    it(`refuses over ${version} every certificate that is not a valid SVID of ours`, async () => {
      await using terminator = await startTerminator();
      for (const [name, options, code, reason] of BAD_LEAFS) {
        const client = await ca.issue(options);
        const answered = terminator.next();
        const view = await connect(terminator.port, ca, client, { minVersion: version, maxVersion: version });
        const answer = await answered;
        assert.ok(!answer.ok, name);
        assert.deepEqual([name, answer.code, answer.reason], [name, code, reason]);
        assert.equal(answer.presented?.serial, client.serial, name);
        assert.ok(answer.presented.notAfterMs > 0, name);
        assert.match(answer.presented.issuer, /O=cluster\.local/, name);
        assert.ok(answer.hint.length > 40, name);
        assert.equal(view.text, '', name);
      }
      assert.equal(terminator.counters.sslHandshake, 0);
      assert.deepEqual(terminator.bugs, []);
    });
  }

  it('refuses a version 1 certificate', async () => {
    await using terminator = await startTerminator();
    const answered = terminator.next();
    const view = await connect(terminator.port, ca, await ca.issue({ version: 1 }));
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_not_an_svid');
    assert.equal(view.text, '');
  });

  it('refuses a client without a certificate, and says so', async () => {
    await using terminator = await startTerminator();
    const answered = terminator.next();
    await connect(terminator.port, ca, null);
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_no_certificate');
    assert.equal(answer.presented, null);
    assert.equal(terminator.counters.sslFailVerifyNoCert, 1);
  });

  it('names both roots when the client comes from another mesh', async () => {
    await using terminator = await startTerminator();
    const other = await TestCa.create('cluster.local', { commonName: 'other' });
    const answered = terminator.next();
    await connect(terminator.port, ca, await other.issue(), { servername: 'b.foo.svc' });
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_untrusted_certificate');
    assert.match(answer.hint, /"CN=other,O=cluster\.local"/);
    assert.match(answer.hint, /CN=root,O=cluster\.local/);
    assert.match(answer.hint, /same root/);
    assert.equal(answer.sni, 'b.foo.svc');
    assert.equal(answer.direction, 'inbound');
    assert.match(answer.remote, /^127\.0\.0\.1:\d+$/);
    assert.equal(answer.presented?.spiffeId, ID);
    assert.notEqual(answer.libraryError, '');
    assert.deepEqual(answer.trustBundleSubjects, ['CN=root,O=cluster.local']);
    assert.equal(terminator.counters.sslFailVerifyError, 1);
  });

  it('says that a root was made again when its name is known and its key is not', async () => {
    await using terminator = await startTerminator();
    const again = await TestCa.create('cluster.local');
    const answered = terminator.next();
    await connect(terminator.port, ca, await again.issue());
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_untrusted_certificate');
    assert.match(answer.hint, /made again/);
  });

  it('takes a chain over an intermediate and gives its serials', async () => {
    await using terminator = await startTerminator();
    const between = await ca.intermediate();
    const client = await between.issue();
    const answered = terminator.next();
    await connect(terminator.port, ca, client);
    const answer = await answered;
    assert.ok(answer.ok, JSON.stringify(answer));
    assert.equal(answer.secure.chainSerials.length, 2);
    assert.equal(answer.secure.chainSerials[0], client.serial);
  });

  it('refuses a chain whose intermediate may not sign, and one that is expired', async () => {
    await using terminator = await startTerminator();
    const noCa = await ca.intermediate({ ca: false, keyUsage: ['digitalSignature'] });
    const gone = await ca.intermediate({ notAfter: new Date(Date.now() - 60_000) });
    for (const [issuer, code] of [
      [noCa, 'tls_untrusted_certificate'],
      [gone, 'tls_expired_certificate'],
    ] as const) {
      const answered = terminator.next();
      await connect(terminator.port, ca, await issuer.issue());
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.code, code);
    }
  });

  it('refuses a leaf whose key usage is written as garbage', async () => {
    await using terminator = await startTerminator();
    const client = await ca.issue({
      keyUsage: null,
      extensions: [der.extension('2.5.29.15', true, der.octets(Buffer.from('x')))],
    });
    const answered = terminator.next();
    await connect(terminator.port, ca, client);
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.ok(['tls_not_an_svid', 'tls_untrusted_certificate', 'tls_handshake_failed'].includes(answer.code));
  });
});

describe('acceptPeer with several trust domains', () => {
  it('takes an alias of the own trust domain under the own bundle', async () => {
    await using terminator = await TestTerminator.start();
    terminator.tls.setSecret(secretOf(own, bundles), ['cluster.local', 'old.example']);
    const answered = terminator.next();
    await connect(terminator.port, ca, await ca.issue({ spiffeId: 'spiffe://old.example/ns/foo/sa/sleep' }));
    const answer = await answered;
    assert.ok(answer.ok, JSON.stringify(answer));
    assert.equal(answer.secure.peer.trustDomain, 'old.example');
  });

  it('lets each root vouch for its own trust domain only', async () => {
    await using terminator = await TestTerminator.start();
    const other = await TestCa.create('other.example');
    terminator.tls.setSecret(secretOf(own, { ...bundles, 'other.example': other.rootPem }), [
      'cluster.local',
      'other.example',
    ]);
    const between = await other.intermediate();
    const cases = [
      [await ca.issue(), true],
      [await other.issue(), true],
      [await between.issue(), true],
      [await other.issue({ spiffeId: ID }), false],
      [await between.issue({ spiffeId: ID }), false],
      [await ca.issue({ spiffeId: 'spiffe://other.example/ns/foo/sa/sleep' }), false],
    ] as const;
    for (const [client, isGood] of cases) {
      const answered = terminator.next();
      const view = await connect(terminator.port, ca, client);
      const answer = await answered;
      assert.equal(answer.ok, isGood, JSON.stringify(answer.ok ? answer.secure.peer : answer));
      if (!answer.ok) assert.equal(answer.reason, 'root_of_other_trust_domain');
      assert.equal(view.text, isGood ? 'ok' : '');
    }
  });

  it('trusts no root of a trust domain that may not connect', async () => {
    await using terminator = await TestTerminator.start();
    const other = await TestCa.create('other.example');
    terminator.tls.setSecret(secretOf(own, { ...bundles, 'other.example': other.rootPem }), [
      'cluster.local',
    ]);
    const answered = terminator.next();
    await connect(terminator.port, ca, await other.issue());
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_untrusted_certificate');
  });
});
