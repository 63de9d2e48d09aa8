import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { chainEndsInBundle } from '../../src/svid/chain.ts';
import { checkSvid, isSvidProblem } from '../../src/svid/check-svid.ts';
import { parseBundles } from '../../src/svid/trust-bundles.ts';
import { type Issued, type IssueOptions, TestCa } from '../support/test-ca.ts';

const mesh = await TestCa.create('cluster.local');
const partner = await TestCa.create('partner.example');
const bundles = parseBundles({ 'cluster.local': mesh.rootPem, 'partner.example': partner.rootPem });
const server = await mesh.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });

interface Seen {
  /** OpenSSL's verdict against the pool of all roots. */
  readonly authorized: boolean;
  readonly leaf: Buffer;
  readonly above: readonly Buffer[];
}

/** One real handshake; what the server saw of the client. */
async function shakeHands(client: Issued): Promise<Seen> {
  const listener = tls.createServer({
    cert: server.chainPem,
    key: server.keyPem,
    ca: [...bundles.poolPem],
    requestCert: true,
    rejectUnauthorized: false,
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const socket = tls.connect({
    port,
    host: '127.0.0.1',
    cert: client.chainPem,
    key: client.keyPem,
    rejectUnauthorized: false,
  });
  socket.on('error', () => {});
  try {
    const [accepted] = (await once(listener, 'secureConnection')) as [tls.TLSSocket];
    accepted.on('error', () => {});
    const leaf = accepted.getPeerX509Certificate();
    assert.ok(leaf);
    const above: Buffer[] = [];
    for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate)
      above.push(next.raw);
    const seen = { authorized: accepted.authorized, leaf: leaf.raw, above };
    accepted.destroy();
    return seen;
  } finally {
    socket.destroy();
    listener.close();
  }
}

describe('after a real handshake', () => {
  it('a chain over an intermediate is proved from what the socket gives', async () => {
    const client = await (await mesh.intermediate()).issue();
    const seen = await shakeHands(client);
    assert.equal(seen.authorized, true);
    const facts = chainEndsInBundle(seen.leaf, seen.above, bundles, Date.now());
    assert.ok(!isSvidProblem(facts), JSON.stringify(facts));
    assert.equal(facts.serials[0], client.serial);
    assert.ok(facts.serials.length >= 2);
  });

  const passedByOpenssl: readonly (readonly [what: string, options: IssueOptions, reason: string])[] = [
    ['a leaf that is a CA', { ca: true, keyUsage: ['digitalSignature', 'keyCertSign'] }, 'is_ca'],
    ['keyCertSign', { keyUsage: ['digitalSignature', 'keyCertSign'], ca: null }, 'may_sign'],
    ['no keyUsage', { keyUsage: null }, 'no_key_usage'],
    ['two URI SANs', { uris: ['spiffe://cluster.local/a', 'spiffe://cluster.local/b'] }, 'several_uri_sans'],
    ['no URI SAN', { uris: [] }, 'no_uri_san'],
    ['an element of XFCC in a DNS SAN', { dnsNames: ['a,By=x;URI=spiffe://x/y'] }, 'bad_dns_san'],
    ['NUL in the URI', { uris: ['spiffe://cluster.local/a\0b'] }, 'bad_spiffe_id'],
    [
      'text of a URI SAN in an otherName',
      { uris: [], otherNames: ['spiffe://cluster.local/a'] },
      'no_uri_san',
    ],
  ];
  for (const [what, options, reason] of passedByOpenssl)
    it(`${what} is refused, though OpenSSL lets it pass`, async () => {
      const seen = await shakeHands(await mesh.issue(options));
      assert.equal(seen.authorized, true);
      const answer = checkSvid(seen.leaf, Date.now());
      assert.ok(isSvidProblem(answer));
      assert.equal(answer.reason, reason);
    });

  it('an identity signed by the root of another trust domain is refused, though the pool lets it pass', async () => {
    const seen = await shakeHands(
      await partner.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/admin' }),
    );
    assert.equal(seen.authorized, true);
    const answer = chainEndsInBundle(seen.leaf, seen.above, bundles, Date.now());
    assert.ok(isSvidProblem(answer));
    assert.equal(answer.reason, 'no_chain');
  });

  it('what OpenSSL refuses, is refused here as well', async () => {
    const stranger = await TestCa.create('cluster.local');
    for (const client of [
      await mesh.issue({ extendedKeyUsage: ['serverAuth'] }),
      await mesh.issue({ extendedKeyUsage: ['any'] }),
      await mesh.issue({ expired: true }),
      await mesh.issue({ notYetValid: true }),
      await stranger.issue(),
      await (await mesh.intermediate({ ca: false })).issue(),
      await (await mesh.intermediate({ keyUsage: ['digitalSignature'] })).issue(),
    ]) {
      const seen = await shakeHands(client);
      assert.equal(seen.authorized, false);
      assert.ok(isSvidProblem(chainEndsInBundle(seen.leaf, seen.above, bundles, Date.now())));
    }
  });
});
