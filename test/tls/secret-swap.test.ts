/** New certificates while clients come and go: nobody fails, nobody sees an old one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { checkLeaks } from '../support/leak-check.ts';
import { type Issued, TestCa } from '../support/test-ca.ts';
import { recordHello, sendRaw } from './raw-hello.ts';
import { type ClientView, connect, secretOf, TestTerminator } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const bundles = { 'cluster.local': ca.rootPem };
const client = await ca.issue();
const SWAPS = 20;

checkLeaks();

const issueOwn = (): Promise<Issued> => ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });

describe('a new secret', () => {
  it('is what every new handshake shows, resumed ones too, over 20 swaps under load', async () => {
    await using terminator = await TestTerminator.start();
    const own = await Promise.all(Array.from({ length: SWAPS + 1 }, issueOwn));
    const serials = own.map((issued) => issued.serial);
    let inForce = 0;
    const install = (n: number): void => {
      inForce = n;
      terminator.tls.setSecret(secretOf(own[n]!, bundles, n + 1), ['cluster.local']);
    };
    install(0);
    const over = new AbortController();
    const seen = new Set<string>();
    let resumed = 0;
    const load = async (resumes: boolean): Promise<void> => {
      let last: { view: ClientView; serial: string } | null = null;
      while (!over.signal.aborted) {
        const startedAt = inForce;
        const session = resumes ? last?.view.session : undefined;
        const view: ClientView = await connect(
          terminator.port,
          ca,
          client,
          session === undefined ? {} : { session },
        );
        assert.equal(view.error, null);
        assert.equal(view.text, 'ok');
        // A resumed client holds on to the certificate of the session's first handshake.
        const serial: string = view.reused ? last!.serial : view.serverSerial;
        assert.ok(serials.indexOf(serial) >= startedAt, 'an old certificate was shown');
        seen.add(serial);
        if (view.reused) resumed++;
        last = { view, serial };
      }
    };
    const running = [load(false), load(false), load(true), load(true)];
    for (let n = 0; n <= SWAPS; n++) {
      install(n);
      const enough = terminator.results.length + 8;
      while (terminator.results.length < enough) await terminator.next();
    }
    over.abort();
    await Promise.all(running);
    assert.equal(terminator.results.filter((result) => !result.ok).length, 0);
    assert.equal(seen.size, SWAPS + 1);
    assert.ok(resumed >= SWAPS / 2, `${resumed} resumed`);
    assert.deepEqual(terminator.bugs, []);
  });

  it('leaves open connections alone', async () => {
    await using terminator = await TestTerminator.start({
      onResult: (result) => {
        assert.ok(result.ok);
        result.secure.socket.pipe(result.secure.socket);
      },
    });
    terminator.tls.setSecret(secretOf(await issueOwn(), bundles), ['cluster.local']);
    const socket = tls.connect({
      host: '127.0.0.1',
      port: terminator.port,
      ca: ca.rootPem,
      checkServerIdentity: () => undefined,
      cert: client.chainPem,
      key: client.keyPem,
    });
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    socket.on('error', reject);
    socket.on('data', (chunk: Buffer) => {
      resolve(chunk.toString());
    });
    const answered = terminator.next();
    await answered;
    terminator.tls.setSecret(secretOf(await issueOwn(), bundles, 2, 2), ['cluster.local']);
    socket.write('still here');
    assert.equal(await promise, 'still here');
    socket.destroy();
  });
});

/** Begins a handshake under the first trust and lets it end under the second. */
async function acrossSwap(
  identity: Issued,
  first: string,
  second: string,
): Promise<{ ok: boolean; reason: string }> {
  const own = await issueOwn();
  const terminator = await TestTerminator.start();
  try {
    terminator.tls.setSecret(secretOf(own, { 'cluster.local': first }), ['cluster.local']);
    const answered = terminator.next();
    const connected = connect(terminator.port, ca, identity, {
      // The client verifies the server after the server's flight and before its own: the swap is then.
      checkServerIdentity: () => {
        terminator.tls.setSecret(secretOf(own, { 'cluster.local': second }, 2, 2), ['cluster.local']);
        return undefined;
      },
    });
    const answer = await answered;
    await connected;
    return { ok: answer.ok, reason: answer.ok ? '' : answer.reason };
  } finally {
    await terminator[Symbol.asyncDispose]();
  }
}

describe('a handshake under way while the trust changes', () => {
  it('is refused if its root went, and accepted if its root stayed', async () => {
    const leaving = await TestCa.create('cluster.local', { commonName: 'leaving' });
    const both = ca.rootPem + leaving.rootPem;
    const between = await ca.intermediate();
    assert.deepEqual(await acrossSwap(await leaving.issue(), both, ca.rootPem), {
      ok: false,
      reason: 'root_of_other_trust_domain',
    });
    assert.deepEqual(await acrossSwap(await ca.issue(), both, ca.rootPem), { ok: true, reason: '' });
    assert.deepEqual(await acrossSwap(await between.issue(), ca.rootPem, both), { ok: true, reason: '' });
  });

  it('ends as it would have when a client gives up across the swap', async () => {
    await using terminator = await TestTerminator.start();
    terminator.tls.setSecret(secretOf(await issueOwn(), bundles), ['cluster.local']);
    const hello = await recordHello();
    const answered = terminator.next();
    const sent = sendRaw(terminator.port, hello, 'reset');
    terminator.tls.setSecret(secretOf(await issueOwn(), bundles, 2), ['cluster.local']);
    const answer = await answered;
    await sent;
    assert.ok(!answer.ok);
    assert.equal(answer.reason, 'client_closed');
  });
});
