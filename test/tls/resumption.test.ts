/** What a session ticket may never bring back: a trust, a certificate or a client that is gone. */
import assert from 'node:assert/strict';
import { constants } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Issued, TestCa } from '../support/test-ca.ts';
import { type ClientView, connect, secretOf, TestTerminator } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
const bundles = { 'cluster.local': ca.rootPem };
const client = await ca.issue();
const TRUST = ['cluster.local'];

/** A first handshake; its session is what the attacker keeps. */
async function firstSession(
  terminator: TestTerminator,
  identity: Issued | null,
  version: Version,
): Promise<Buffer> {
  const view = await connect(terminator.port, ca, identity, { minVersion: version, maxVersion: version });
  assert.ok(view.session, `no session over ${version}: ${view.error?.message}`);
  return view.session;
}

type Version = 'TLSv1.2' | 'TLSv1.3';

function resume(
  terminator: TestTerminator,
  identity: Issued | null,
  version: Version,
  session: Buffer,
): Promise<ClientView> {
  return connect(terminator.port, ca, identity, { minVersion: version, maxVersion: version, session });
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`a session over ${version}`, { concurrency: true }, () => {
    it('is resumed with the same identity while nothing changes', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const between = await ca.intermediate();
      const identity = await between.issue();
      const session = await firstSession(terminator, identity, version);
      const answered = terminator.next();
      const view = await resume(terminator, identity, version, session);
      const answer = await answered;
      assert.ok(answer.ok, JSON.stringify(answer));
      assert.equal(view.reused, true);
      assert.equal(answer.secure.resumed, true);
      assert.equal(answer.secure.peer.serial, identity.serial);
      // The intermediate is not in the ticket: it is remembered.
      assert.equal(answer.secure.chainSerials.length, 2);
      assert.equal(terminator.counters.sslSessionReused, 1);
    });

    it('is resumed by another worker that holds the same secret', async () => {
      await using one = await TestTerminator.start();
      await using two = await TestTerminator.start();
      for (const terminator of [one, two]) terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const session = await firstSession(one, client, version);
      const answered = two.next();
      await resume(two, client, version, session);
      const answer = await answered;
      assert.ok(answer.ok && answer.secure.resumed);
      assert.deepEqual(answer.secure.chainSerials, [client.serial]);
    });

    it('is not resumed after a new certificate: the client sees the new serial', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const session = await firstSession(terminator, client, version);
      const next = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
      terminator.tls.setSecret(secretOf(next, bundles, 2), TRUST);
      const view = await resume(terminator, client, version, session);
      assert.deepEqual([view.reused, view.serverSerial, view.text], [false, next.serial, 'ok']);
      const later = await resume(terminator, client, version, view.session!);
      assert.equal(later.reused, true);
    });

    it('of a client whose CA was removed is refused', async () => {
      await using terminator = await TestTerminator.start();
      const leaving = await TestCa.create('cluster.local', { commonName: 'leaving' });
      const both = ca.rootPem + leaving.rootPem;
      terminator.tls.setSecret(secretOf(own, { 'cluster.local': both }), TRUST);
      const identity = await leaving.issue();
      const session = await firstSession(terminator, identity, version);
      assert.equal(terminator.results.at(-1)?.ok, true);
      terminator.tls.setSecret(secretOf(own, bundles, 2, 2), TRUST);
      const answered = terminator.next();
      const view = await resume(terminator, identity, version, session);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.code, 'tls_untrusted_certificate');
      assert.deepEqual([view.reused, view.text], [false, '']);
    });

    it('of a client whose trust domain was removed is refused', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), ['cluster.local', 'old.example']);
      const identity = await ca.issue({ spiffeId: 'spiffe://old.example/ns/foo/sa/sleep' });
      const session = await firstSession(terminator, identity, version);
      assert.equal(terminator.results.at(-1)?.ok, true);
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const answered = terminator.next();
      await resume(terminator, identity, version, session);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.code, 'tls_foreign_trust_domain');
    });

    it('of a client that was refused is refused again', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const stranger = await TestCa.create('cluster.local', { commonName: 'stranger' });
      const refused = [null, await stranger.issue(), await ca.issue({ ca: true })];
      for (const identity of refused) {
        const first = await connect(terminator.port, ca, identity, {
          minVersion: version,
          maxVersion: version,
        });
        // TLS 1.3 may have sent its tickets before anybody looked at the certificate.
        if (first.session === undefined) continue;
        const answered = terminator.next();
        const view = await resume(terminator, identity, version, first.session);
        const answer = await answered;
        assert.ok(!answer.ok, 'a refused client came in by its ticket');
        assert.equal(view.text, '');
      }
    });

    it('is not resumed where trust domains have different bundles', async () => {
      await using terminator = await TestTerminator.start();
      const other = await TestCa.create('other.example');
      terminator.tls.setSecret(secretOf(own, { ...bundles, 'other.example': other.rootPem }), [
        'cluster.local',
        'other.example',
      ]);
      const first = await connect(terminator.port, ca, client, { minVersion: version, maxVersion: version });
      assert.equal(first.text, 'ok');
      if (first.session === undefined) return;
      const view = await resume(terminator, client, version, first.session);
      assert.deepEqual([view.reused, view.text], [false, 'ok']);
    });

    it('of a client whose certificate has expired since is refused', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      // Whole seconds are all that a certificate can say.
      const notAfter = new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000);
      const identity = await ca.issue({ notAfter });
      const session = await firstSession(terminator, identity, version);
      assert.equal(terminator.results.at(-1)?.ok, true);
      await delay(notAfter.getTime() - Date.now() + 5);
      const answered = terminator.next();
      const view = await resume(terminator, identity, version, session);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.deepEqual([answer.code, answer.reason], ['tls_expired_certificate', 'expired']);
      assert.equal(view.text, '');
    });

    it('is refused when an intermediate above the client has expired since', async () => {
      await using terminator = await TestTerminator.start();
      terminator.tls.setSecret(secretOf(own, bundles), TRUST);
      const notAfter = new Date(Math.ceil(Date.now() / 1000) * 1000 + 1000);
      const between = await ca.intermediate({ notAfter });
      const identity = await between.issue();
      const session = await firstSession(terminator, identity, version);
      assert.equal(terminator.results.at(-1)?.ok, true);
      await delay(notAfter.getTime() - Date.now() + 5);
      const answered = terminator.next();
      await resume(terminator, identity, version, session);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.deepEqual([answer.code, answer.reason], ['tls_expired_certificate', 'issuer_expired']);
    });
  });
}

describe('a TLS 1.2 session id', () => {
  it('resumes nothing: no session is kept here that could outlive trust', async () => {
    await using terminator = await TestTerminator.start();
    terminator.tls.setSecret(secretOf(own, bundles), TRUST);
    const options = { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET } as const;
    const first = await connect(terminator.port, ca, client, options);
    assert.equal(first.text, 'ok');
    if (first.session === undefined) return;
    const view = await connect(terminator.port, ca, client, { ...options, session: first.session });
    assert.deepEqual([view.reused, view.text], [false, 'ok']);
  });
});
