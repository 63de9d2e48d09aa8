/** What is negotiated and what is not: suites, groups, ALPN answers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TLS12_SUITES } from '../../src/tls/tls-parameters.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TestCa } from '../support/test-ca.ts';
import {
  type ClientOptions,
  connect,
  HTTP_CHAIN,
  secretOf,
  TCP_CHAIN,
  TestTerminator,
} from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const ISSUER = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const ecdsa = await ca.issue({ spiffeId: ISSUER });
const rsa = await ca.issue({ spiffeId: ISSUER, key: 'rsa-2048' });
const client = await ca.issue();

checkLeaks();

async function startTerminator(answerable = HTTP_CHAIN, own = ecdsa): Promise<TestTerminator> {
  const terminator = await TestTerminator.start({ answerable });
  terminator.tls.setSecret(secretOf(own, { 'cluster.local': ca.rootPem }), ['cluster.local']);
  return terminator;
}

describe('TLS 1.2', () => {
  it("speaks each of Istio's six suites", async () => {
    await using withEcdsa = await startTerminator(HTTP_CHAIN, ecdsa);
    await using withRsa = await startTerminator(HTTP_CHAIN, rsa);
    assert.equal(TLS12_SUITES.length, 6);
    for (const suite of TLS12_SUITES) {
      const terminator = suite.includes('ECDSA') ? withEcdsa : withRsa;
      const view = await connect(terminator.port, ca, client, { maxVersion: 'TLSv1.2', ciphers: suite });
      assert.deepEqual([view.text, view.protocol, view.cipher], ['ok', 'TLSv1.2', suite]);
      assert.equal(terminator.counters.sslCiphers[suite], 1);
    }
  });

  it('speaks no other suite', async () => {
    await using withEcdsa = await startTerminator(HTTP_CHAIN, ecdsa);
    await using withRsa = await startTerminator(HTTP_CHAIN, rsa);
    const others = [
      'ECDHE-ECDSA-CHACHA20-POLY1305',
      'ECDHE-RSA-CHACHA20-POLY1305',
      'ECDHE-ECDSA-AES128-SHA256',
      'ECDHE-ECDSA-AES256-SHA',
      'ECDHE-RSA-AES128-SHA',
      'ECDHE-ECDSA-AES128-CCM',
      'DHE-RSA-AES128-GCM-SHA256',
      'AES128-SHA',
      'AES256-SHA256',
    ];
    for (const suite of others) {
      for (const terminator of [withEcdsa, withRsa]) {
        const answered = terminator.next();
        const options: ClientOptions = { maxVersion: 'TLSv1.2', ciphers: `${suite}:@SECLEVEL=0` };
        await connect(terminator.port, ca, client, options);
        const answer = await answered;
        assert.ok(!answer.ok, suite);
        assert.equal(answer.reason, 'cipher_mismatch', suite);
      }
    }
  });
});

describe('key exchange', () => {
  it('is post-quantum with every client that offers it, whatever it would rather have', async () => {
    await using terminator = await startTerminator();
    const offers = [
      [undefined, 'X25519MLKEM768'],
      ['X25519MLKEM768:X25519:P-256', 'X25519MLKEM768'],
      ['P-256:X25519:X25519MLKEM768', 'X25519MLKEM768'],
      ['X25519', 'X25519'],
      ['P-256', 'prime256v1'],
    ] as const;
    for (const [ecdhCurve, wanted] of offers) {
      const view = await connect(terminator.port, ca, client, ecdhCurve === undefined ? {} : { ecdhCurve });
      assert.deepEqual([view.text, view.group], ['ok', wanted], `offered ${ecdhCurve ?? 'by default'}`);
    }
  });
});

describe('the ALPN answer', () => {
  const cases: readonly (readonly [readonly string[], readonly string[], string])[] = [
    [HTTP_CHAIN, ['istio-http/1.1', 'istio', 'http/1.1'], 'http/1.1'],
    [HTTP_CHAIN, ['h2', 'http/1.1'], 'http/1.1'],
    [HTTP_CHAIN, ['istio-http/1.1', 'istio'], ''],
    [HTTP_CHAIN, [], ''],
    [TCP_CHAIN, ['istio-peer-exchange', 'istio'], 'istio-peer-exchange'],
    [TCP_CHAIN, ['istio', 'istio-peer-exchange'], 'istio-peer-exchange'],
    [TCP_CHAIN, ['http/1.1', 'h2'], 'h2'],
    [TCP_CHAIN, ['unheard-of'], ''],
  ];
  for (const [answerable, offered, wanted] of cases) {
    it(`to "${offered.join(',')}" of a chain with ${answerable.join(',')} is "${wanted}"`, async () => {
      await using terminator = await startTerminator(answerable);
      const answered = terminator.next();
      const view = await connect(terminator.port, ca, client, { ALPNProtocols: [...offered] });
      const answer = await answered;
      assert.ok(answer.ok);
      assert.equal(answer.secure.alpn, wanted);
      assert.equal(view.alpn === false ? '' : view.alpn, wanted);
      assert.equal(view.text, 'ok');
    });
  }
});
