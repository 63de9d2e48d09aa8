import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ChainFacts, chainEndsInBundle } from '../../src/svid/chain.ts';
import { isSvidProblem, type SvidProblem } from '../../src/svid/check-svid.ts';
import { parseBundles } from '../../src/svid/trust-bundles.ts';
import { TestCa } from '../support/test-ca.ts';

const NOW = Date.now();
const HOUR_MS = 3_600_000;
const past = { notBefore: new Date(NOW - 3 * HOUR_MS), notAfter: new Date(NOW - HOUR_MS) };

const mesh = await TestCa.create('cluster.local');
const partner = await TestCa.create('partner.example');
const bundles = parseBundles({ 'cluster.local': mesh.rootPem, 'partner.example': partner.rootPem });

const outcome = (answer: ChainFacts | SvidProblem): string =>
  isSvidProblem(answer) ? answer.reason : 'accepted';

describe('chainEndsInBundle', () => {
  it('follows a leaf to its root and names the serials on the way', async () => {
    const upper = await mesh.intermediate({ commonName: 'upper' });
    const lower = await upper.intermediate({ commonName: 'lower' });
    const leaf = await lower.issue();
    for (const above of [
      [lower.certDer, upper.certDer],
      [upper.certDer, lower.certDer],
      [lower.certDer, upper.certDer, mesh.certDer],
    ]) {
      const facts = chainEndsInBundle(leaf.der, above, bundles, NOW);
      assert.ok(!isSvidProblem(facts));
      assert.equal(facts.serials.length, 3);
      assert.equal(facts.serials[0], leaf.serial);
    }
    assert.equal(outcome(chainEndsInBundle(leaf.der, [lower.certDer], bundles, NOW)), 'no_chain');
    assert.equal(outcome(chainEndsInBundle(leaf.der, [], bundles, NOW)), 'no_chain');
  });

  it('does not let the root of one trust domain vouch for another', async () => {
    const forged = await partner.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/admin' });
    const answer = chainEndsInBundle(forged.der, [], bundles, NOW);
    assert.ok(isSvidProblem(answer));
    assert.equal(answer.reason, 'no_chain');
    assert.equal(answer.code, 'tls_untrusted_certificate');
    assert.equal(answer.spiffeId, 'spiffe://cluster.local/ns/foo/sa/admin');
    const own = await partner.issue({ spiffeId: 'spiffe://partner.example/ns/foo/sa/admin' });
    assert.equal(outcome(chainEndsInBundle(own.der, [], bundles, NOW)), 'accepted');
  });

  it('refuses a trust domain without a bundle', async () => {
    const leaf = await mesh.issue({ spiffeId: 'spiffe://elsewhere.example/x' });
    const answer = chainEndsInBundle(leaf.der, [], bundles, NOW);
    assert.ok(isSvidProblem(answer));
    assert.deepEqual([answer.reason, answer.code], ['foreign_trust_domain', 'tls_foreign_trust_domain']);
  });

  it('refuses a leaf that is no SVID before it looks at the chain', async () => {
    const leaf = await mesh.issue({ keyUsage: null });
    assert.equal(outcome(chainEndsInBundle(leaf.der, [], bundles, NOW)), 'no_key_usage');
  });

  it('is not fooled by a root of the same name and another key', async () => {
    const impostor = await TestCa.create('cluster.local');
    const leaf = await impostor.issue();
    assert.equal(outcome(chainEndsInBundle(leaf.der, [impostor.certDer], bundles, NOW)), 'no_chain');
  });

  it('accepts either of two roots of one trust domain', async () => {
    const next = await TestCa.create('cluster.local');
    const both = parseBundles({ 'cluster.local': mesh.rootPem + next.rootPem });
    for (const ca of [mesh, next])
      assert.equal(outcome(chainEndsInBundle((await ca.issue()).der, [], both, NOW)), 'accepted');
  });

  it('refuses intermediates that may not sign', async () => {
    const bad = {
      'not a CA': await mesh.intermediate({ ca: false }),
      'no keyCertSign': await mesh.intermediate({ keyUsage: ['digitalSignature'] }),
      expired: await mesh.intermediate(past),
      'not yet valid': await mesh.intermediate({
        notBefore: new Date(NOW + HOUR_MS),
        notAfter: new Date(NOW + 2 * HOUR_MS),
      }),
    };
    for (const [what, intermediate] of Object.entries(bad)) {
      const leaf = await intermediate.issue();
      assert.equal(
        outcome(chainEndsInBundle(leaf.der, [intermediate.certDer], bundles, NOW)),
        'no_chain',
        what,
      );
    }
  });

  it('refuses a leaf that signed another leaf', async () => {
    const leaf = await mesh.intermediate({ ca: false, keyUsage: ['digitalSignature'] });
    const forged = await leaf.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/admin' });
    assert.equal(outcome(chainEndsInBundle(forged.der, [leaf.certDer], bundles, NOW)), 'no_chain');
  });

  it('keeps to path lengths, of intermediates and of roots', async () => {
    const upper = await mesh.intermediate({ commonName: 'upper', pathLength: 0 });
    const lower = await upper.intermediate({ commonName: 'lower' });
    const below = await lower.issue();
    const beside = await upper.issue();
    const above = [lower.certDer, upper.certDer];
    assert.equal(outcome(chainEndsInBundle(beside.der, above, bundles, NOW)), 'accepted');
    assert.equal(outcome(chainEndsInBundle(below.der, above, bundles, NOW)), 'no_chain');
    const flat = await TestCa.create('cluster.local', { pathLength: 0 });
    const flatBundle = parseBundles({ 'cluster.local': flat.rootPem });
    const intermediate = await flat.intermediate();
    const leaf = await intermediate.issue();
    assert.equal(outcome(chainEndsInBundle(leaf.der, [intermediate.certDer], flatBundle, NOW)), 'no_chain');
    assert.equal(outcome(chainEndsInBundle((await flat.issue()).der, [], flatBundle, NOW)), 'accepted');
  });

  it('refuses a root that has expired', async () => {
    const old = await TestCa.create('cluster.local', past);
    const leaf = await old.issue();
    const answer = chainEndsInBundle(leaf.der, [], parseBundles({ 'cluster.local': old.rootPem }), NOW);
    assert.equal(outcome(answer), 'no_chain');
  });

  it('bounds the intermediates and the work on them', async () => {
    const leaf = await mesh.issue();
    const eleven = Array.from({ length: 11 }, () => mesh.certDer);
    assert.equal(outcome(chainEndsInBundle(leaf.der, eleven, bundles, NOW)), 'chain_too_long');
    // Intermediates that all sign one another by name: 10! ways, of which a handful are tried.
    const namesakes = await Promise.all(Array.from({ length: 10 }, async () => mesh.intermediate()));
    const lost = await (await (await TestCa.create('cluster.local')).intermediate()).issue();
    const startedAt = performance.now();
    const answer = chainEndsInBundle(
      lost.der,
      namesakes.map((ca) => ca.certDer),
      bundles,
      NOW,
    );
    assert.equal(outcome(answer), 'no_chain');
    assert.ok(performance.now() - startedAt < 1_000);
  });

  it('passes over intermediates that are not certificates', async () => {
    const leaf = await mesh.issue();
    assert.equal(outcome(chainEndsInBundle(leaf.der, [Buffer.from('junk')], bundles, NOW)), 'accepted');
  });
});

describe('TrustBundles', () => {
  it('keeps roots by trust domain', () => {
    assert.deepEqual(bundles.trustDomains, ['cluster.local', 'partner.example']);
    assert.equal(bundles.rootsOf('cluster.local').length, 1);
    assert.deepEqual(bundles.rootsOf('elsewhere.example'), []);
    assert.deepEqual(bundles.rootsOf('__proto__'), []);
    assert.equal(bundles.poolPem.length, 2);
  });

  it('says when the pool is the bundle', () => {
    assert.equal(bundles.coversPool('cluster.local'), false);
    const aliases = parseBundles({ a: mesh.rootPem, b: mesh.rootPem + mesh.rootPem });
    assert.equal(aliases.coversPool('a') && aliases.coversPool('b'), true);
    assert.equal(aliases.coversPool('c'), false);
    assert.equal(parseBundles({}).coversPool('a'), false);
  });

  it('refuses what cannot be a bundle', async () => {
    const leaf = await mesh.issue();
    for (const [name, pem] of [
      ['cluster.local', ''],
      ['cluster.local', leaf.certPem],
      ['cluster.local', mesh.rootPem + leaf.certPem],
      ['cluster.local', mesh.rootPem.slice(0, 300)],
      ['cluster.local', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
      ['Cluster.Local', mesh.rootPem],
      ['', mesh.rootPem],
    ] as const)
      assert.throws(() => parseBundles({ [name]: pem }), { code: 'identity_invalid' }, `${name} ${pem}`);
  });
});
