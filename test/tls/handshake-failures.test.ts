/** Handshakes that end badly: each is answered once, with a reason that helps, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { MeshError } from '../../src/core/errors.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TestCa } from '../support/test-ca.ts';
import { alertRecord, recordHello, sendRaw, withServerName } from './raw-hello.ts';
import { connect, secretOf, TestTerminator } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
const client = await ca.issue();
const bundles = { 'cluster.local': ca.rootPem };

checkLeaks();

async function startTerminator(handshakeTimeoutMs = 5_000): Promise<TestTerminator> {
  const terminator = await TestTerminator.start({ handshakeTimeoutMs });
  terminator.tls.setSecret(secretOf(own, bundles), ['cluster.local']);
  return terminator;
}

/** After every failure: answered once, socket gone, the next client served. */
async function assertAlive(terminator: TestTerminator, answers: number): Promise<void> {
  const view = await connect(terminator.port, ca, client);
  assert.equal(view.text, 'ok');
  assert.equal(terminator.results.length, answers + 1);
  assert.deepEqual(terminator.bugs, []);
}

describe('a handshake that fails', () => {
  it('names plaintext and garbage', async () => {
    await using terminator = await startTerminator();
    const inputs = [
      Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
      Buffer.from('\x16\x03\x01\x00\x04abcd', 'latin1'),
      Buffer.alloc(200, 0xff),
    ];
    for (const bytes of inputs) {
      const answered = terminator.next();
      await sendRaw(terminator.port, bytes, 'wait');
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.code, 'tls_handshake_failed');
      assert.ok(['not_tls', 'malformed_handshake'].includes(answer.reason), answer.reason);
      assert.match(answer.libraryError, /^ERR_SSL_/);
    }
    assert.equal(terminator.counters.sslConnectionError, inputs.length);
    await assertAlive(terminator, inputs.length);
  });

  it('names a version that nobody speaks any more', async () => {
    await using terminator = await startTerminator();
    const answered = terminator.next();
    const view = await connect(terminator.port, ca, client, {
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.reason, 'protocol_version_mismatch');
    assert.match(view.error?.code ?? '', /ALERT_PROTOCOL_VERSION/);
    await assertAlive(terminator, 1);
  });

  it('names a missing common cipher suite and a missing common group', async () => {
    await using terminator = await startTerminator();
    for (const [options, reason] of [
      [{ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }, 'cipher_mismatch'],
      [{ minVersion: 'TLSv1.3', ecdhCurve: 'P-521' }, 'group_mismatch'],
    ] as const) {
      const answered = terminator.next();
      await connect(terminator.port, ca, client, options);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.reason, reason, answer.libraryError);
    }
    await assertAlive(terminator, 2);
  });

  it("tells what the client's alert means", async () => {
    await using terminator = await startTerminator();
    const alerts = [
      [48, 'client_alert_unknown_ca', /same root/],
      [42, 'client_alert_bad_certificate', /refused our certificate/],
      [45, 'client_alert_certificate_expired', /notAfter/],
      [46, 'client_alert_certificate_unknown', /SPIFFE ID/],
      [70, 'client_alert_protocol_version', /TLS/],
    ] as const;
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const hello = await recordHello({ minVersion: version, maxVersion: version });
      for (const [description, reason, hint] of alerts) {
        const answered = terminator.next();
        await sendRaw(terminator.port, hello, { afterAnswer: alertRecord(description) });
        const answer = await answered;
        assert.ok(!answer.ok);
        assert.deepEqual([answer.code, answer.reason], ['tls_handshake_failed', reason], answer.libraryError);
        assert.match(answer.hint, hint);
      }
    }
    await assertAlive(terminator, 10);
  });

  it('ends at its deadline, however slowly the bytes come', async () => {
    await using terminator = await startTerminator(60);
    const hello = await recordHello();
    const startedAt = performance.now();
    const answered = terminator.next();
    const view = await sendRaw(terminator.port, hello, 'wait');
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.deepEqual([answer.code, answer.reason], ['tls_handshake_timeout', 'timeout']);
    assert.ok(view.bytes.length > 100, 'the server sent its flight');
    assert.ok(performance.now() - startedAt < 2_000);
    assert.equal(terminator.counters.sslConnectionError, 1);
    terminator.options = { handshakeTimeoutMs: 5_000 };
    await assertAlive(terminator, 1);
  });

  it('is noticed at once when the client ends or resets in the middle of it', async () => {
    await using terminator = await startTerminator(30_000);
    const hello = await recordHello();
    for (const then of ['end', 'reset'] as const) {
      const answered = terminator.next();
      await sendRaw(terminator.port, hello, then);
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.deepEqual([answer.code, answer.reason], ['tls_handshake_failed', 'client_closed']);
    }
    await assertAlive(terminator, 2);
  });

  it('is answered once when the caller destroys the socket', async () => {
    await using terminator = await startTerminator();
    const hello = await recordHello();
    const answered = terminator.next();
    const sent = sendRaw(terminator.port, hello, 'wait');
    while (terminator.sockets.size === 0) await new Promise(setImmediate);
    for (const socket of terminator.sockets)
      socket.once('readable', () => setImmediate(() => socket.destroy()));
    const answer = await answered;
    await sent;
    assert.ok(!answer.ok);
    assert.equal(answer.reason, 'client_closed');
    await assertAlive(terminator, 1);
  });

  it('never throws for an odd server name or ALPN list', async () => {
    await using terminator = await startTerminator();
    const name = 'recorded-name.example';
    const hello = await recordHello({ servername: name });
    const odd = [
      Buffer.from(`a\0${'b'.repeat(name.length - 2)}`, 'latin1'),
      Buffer.from('İ'.repeat(name.length / 2).padEnd(name.length - 10, 'x')).subarray(0, name.length),
      Buffer.alloc(name.length, 0xff),
      Buffer.alloc(name.length, 0x2e),
      Buffer.from('*'.repeat(name.length)),
      Buffer.from('127.0.0.1'.padEnd(name.length, '\r\n'), 'latin1'),
    ].filter((bytes) => bytes.length === name.length);
    assert.ok(odd.length >= 5);
    for (const bytes of odd) {
      const answered = terminator.next();
      await sendRaw(terminator.port, withServerName(hello, name, bytes), { afterAnswer: alertRecord(48) });
      const answer = await answered;
      assert.ok(!answer.ok);
      assert.equal(answer.code, 'tls_handshake_failed');
    }
    await assertAlive(terminator, odd.length);
    for (const servername of [
      'SECRET.com',
      'a_b',
      '*.x',
      'xn--nxasmq6b',
      'x'.repeat(255),
      'a.'.repeat(100),
    ]) {
      const answered = terminator.next();
      const view = await connect(terminator.port, ca, client, { servername });
      const answer = await answered;
      assert.ok(answer.ok, servername);
      assert.equal(answer.secure.sni, servername.toLowerCase());
      assert.equal(view.text, 'ok');
    }
  });

  it('destroys the connection and reports a bug when the caller throws', async () => {
    await using terminator = await startTerminator();
    terminator.options = {
      onResult: () => {
        throw new Error('planted');
      },
    };
    const view = await connect(terminator.port, ca, client);
    assert.equal(view.text, '');
    assert.equal(terminator.bugs.length, 1);
    terminator.options = {};
    terminator.bugs.length = 0;
    await assertAlive(terminator, 1);
  });
});

describe('a renegotiation', () => {
  it('is refused by the server', async () => {
    await using terminator = await startTerminator();
    const { promise, resolve } = Promise.withResolvers<string>();
    terminator.options = {
      onResult: (result) => {
        assert.ok(result.ok);
        result.secure.socket.resume();
      },
    };
    const socket = tls.connect({
      host: '127.0.0.1',
      port: terminator.port,
      ca: ca.rootPem,
      checkServerIdentity: () => undefined,
      maxVersion: 'TLSv1.2',
      cert: client.chainPem,
      key: client.keyPem,
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? error.message);
      socket.destroy();
    });
    socket.on('secureConnect', () => {
      socket.renegotiate({}, (error) => {
        resolve(error === null ? 'renegotiated' : error.message);
      });
    });
    assert.match(await promise, /NO_RENEGOTIATION/);
    socket.destroy();
  });
});

function isInvalid(thrown: unknown): boolean {
  assert.ok(thrown instanceof MeshError);
  assert.equal(thrown.code, 'identity_invalid');
  assert.ok(!`${thrown.message}${thrown.detail}${thrown.stack ?? ''}`.includes('PRIVATE KEY-----'));
  return true;
}

describe('without a usable secret', () => {
  it('refuses every connection until there is one', async () => {
    await using terminator = await TestTerminator.start();
    const answered = terminator.next();
    const view = await connect(terminator.port, ca, client);
    const answer = await answered;
    assert.ok(!answer.ok);
    assert.equal(answer.code, 'tls_no_secret');
    assert.equal(view.text, '');
    terminator.tls.setSecret(secretOf(own, bundles), ['cluster.local']);
    await assertAlive(terminator, 1);
  });

  it('keeps the old secret when a new one cannot be used', async () => {
    await using terminator = await startTerminator();
    const other = await ca.issue();
    const good = secretOf(own, bundles, 2);
    const bad = [
      { ...good, privateKeyPem: other.keyPem },
      { ...good, privateKeyPem: '' },
      { ...good, certificateChainPem: 'x' },
      { ...good, bundles: { 'cluster.local': 'x' } },
      { ...good, bundles: {} },
      { ...good, bundles: { 'other.example': ca.rootPem } },
    ];
    for (const secret of bad) {
      assert.throws(() => {
        terminator.tls.setSecret(secret, ['cluster.local']);
      }, isInvalid);
    }
    const view = await connect(terminator.port, ca, client);
    assert.equal(view.serverSerial, own.serial);
  });
});
