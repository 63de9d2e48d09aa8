/** Servers that are refused: each for its own reason, and without one byte of a request. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DialTls } from '../../src/core/dialer.ts';
import type { ServerFailure } from '../../src/tls/handshake-failure.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type Issued, TestCa } from '../support/test-ca.ts';
import {
  dial,
  type Dialling,
  externalTls,
  meshTls,
  startRoom,
  startServer,
  targetOf,
  type TestServer,
  useOnce,
  WANTED,
} from './outbound-fixture.ts';
import { secretOf } from './tls-fixture.ts';

const ca: TestCa = await TestCa.create('cluster.local');
const foreign = await TestCa.create('cluster.local');
const partner = await TestCa.create('partner.example');
const own = await ca.issue();
const good = await ca.issue({ spiffeId: WANTED });

checkLeaks();

function roomOf(bundles: Readonly<Record<string, string>> = { 'cluster.local': ca.rootPem }): Dialling {
  const room = startRoom();
  room.tls.setSecret(secretOf(own, bundles), Object.keys(bundles));
  return room;
}

async function failureOf(room: Dialling, server: TestServer, dialTls: DialTls): Promise<ServerFailure> {
  const dialled = await dial(room, targetOf(server.port, dialTls), { handshakeTimeoutMs: 300 });
  assert.equal(dialled.secure, null);
  assert.ok(dialled.failure?.kind === 'handshake', JSON.stringify(dialled.failure));
  assert.deepEqual(room.bugs, []);
  await server.until(() => server.sockets.size === 0, 'the end of the connection at the server');
  assert.equal(server.received, '', 'a refused server is sent nothing');
  return dialled.failure.failure;
}

interface Row {
  readonly what: string;
  readonly issue: () => Promise<Issued>;
  readonly wanted?: readonly string[];
  readonly code: string;
  readonly reason: string;
}

const untrusted = (what: string, reason: string, issue: () => Promise<Issued>): Row => ({
  what,
  issue,
  code: 'upstream_untrusted',
  reason,
});

const ROWS: readonly Row[] = [
  untrusted('of a foreign CA with the right name', 'unknown_issuer', () =>
    foreign.issue({ spiffeId: WANTED }),
  ),
  untrusted('of another trust domain', 'unknown_issuer', () =>
    partner.issue({ spiffeId: 'spiffe://partner.example/ns/foo/sa/httpbin' }),
  ),
  untrusted('whose CA signs for another trust domain', 'foreign_trust_domain', () =>
    ca.issue({ spiffeId: 'spiffe://partner.example/ns/foo/sa/httpbin' }),
  ),
  untrusted('that has expired', 'expired', () => ca.issue({ spiffeId: WANTED, expired: true })),
  untrusted('that is not valid yet', 'not_yet_valid', () =>
    ca.issue({ spiffeId: WANTED, notYetValid: true }),
  ),
  untrusted("with a CA's certificate", 'is_ca', () => ca.issue({ spiffeId: WANTED, ca: true })),
  untrusted('without a SPIFFE ID', 'no_uri_san', () => ca.issue({ uris: [], dnsNames: ['httpbin.foo'] })),
  untrusted('with two SPIFFE IDs', 'several_uri_sans', () =>
    ca.issue({ uris: [WANTED, 'spiffe://cluster.local/ns/foo/sa/other'] }),
  ),
  untrusted('with an ID that has a NUL', 'bad_spiffe_id', () => ca.issue({ uris: [`${WANTED}\0.evil`] })),
  untrusted('whose certificate is for clients only', 'wrong_purpose', () =>
    ca.issue({ spiffeId: WANTED, extendedKeyUsage: ['clientAuth'] }),
  ),
  untrusted('whose key may sign certificates', 'may_sign', () =>
    ca.issue({ spiffeId: WANTED, keyUsage: ['digitalSignature', 'keyCertSign'] }),
  ),
  {
    what: 'with a valid certificate of another service account',
    issue: () => ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/other' }),
    code: 'upstream_identity_mismatch',
    reason: 'identity_mismatch',
  },
  {
    what: 'whose DNS name and not its ID is the one wanted',
    issue: () =>
      ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/other', dnsNames: [`x.${WANTED.slice(9)}`] }),
    code: 'upstream_identity_mismatch',
    reason: 'identity_mismatch',
  },
  {
    what: 'of the mesh CA without an ID, where any member would do',
    issue: () => ca.issue({ uris: [], dnsNames: ['a'] }),
    wanted: [],
    code: 'upstream_untrusted',
    reason: 'no_uri_san',
  },
];

describe('a server of the mesh is refused', () => {
  for (const row of ROWS) {
    it(row.what, async () => {
      const issued = await row.issue();
      await using server = await startServer({ identity: issued });
      const failure = await failureOf(roomOf(), server, meshTls(row.wanted));
      assert.deepEqual([failure.code, failure.reason], [row.code, row.reason]);
      assert.equal(failure.presented?.serial, issued.serial);
      assert.equal(failure.remote, `127.0.0.1:${server.port}`);
      assert.match(failure.hint, /server/);
      assert.doesNotMatch(failure.hint, /client certificate/);
      assert.match(failure.transportReason, /^TLS_error:\|268435581:.*CERTIFICATE_VERIFY_FAILED/);
    });
  }

  it('that names who it is and who was wanted', async () => {
    const other = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/other' });
    await using server = await startServer({ identity: other });
    const failure = await failureOf(roomOf(), server, meshTls());
    assert.deepEqual(failure.wanted, [WANTED]);
    assert.equal(failure.presented?.spiffeId, 'spiffe://cluster.local/ns/foo/sa/other');
    assert.ok(failure.hint.includes(WANTED) && failure.hint.includes('/sa/other'));
  });

  it("that chains to another trust domain's root than its own", async () => {
    const bundles = { 'cluster.local': ca.rootPem, 'partner.example': partner.rootPem };
    const liar = await partner.issue({ spiffeId: WANTED });
    await using server = await startServer({ identity: liar });
    const failure = await failureOf(roomOf(bundles), server, meshTls());
    assert.deepEqual([failure.code, failure.reason], ['upstream_untrusted', 'root_of_other_trust_domain']);
  });
});

describe('a handshake with a server fails', () => {
  it('when it ends in the handshake', async () => {
    for (const end of ['end', 'resetAndDestroy', 'destroy'] as const) {
      await using server = await startServer({
        identity: null,
        script: (socket) => socket.once('data', () => socket[end]()),
      });
      const failure = await failureOf(roomOf(), server, meshTls());
      assert.deepEqual([failure.code, failure.reason], ['upstream_tls_failed', 'server_closed'], end);
      assert.equal(failure.presented, null);
    }
  });

  it('when it stalls', async () => {
    await using server = await startServer({ identity: null, script: (socket) => socket.resume() });
    const failure = await failureOf(roomOf(), server, meshTls());
    assert.deepEqual([failure.code, failure.reason], ['upstream_tls_timeout', 'timeout']);
  });

  it('when it speaks plaintext', async () => {
    await using server = await startServer({
      identity: null,
      script: (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    });
    const failure = await failureOf(roomOf(), server, meshTls());
    assert.deepEqual([failure.code, failure.reason], ['upstream_tls_failed', 'not_tls']);
  });

  it('when no ALPN protocol is common', async () => {
    await using server = await startServer({ identity: good, options: { ALPNProtocols: ['h2'] } });
    const failure = await failureOf(roomOf(), server, meshTls());
    assert.deepEqual(
      [failure.code, failure.reason],
      ['upstream_tls_failed', 'server_alert_no_application_protocol'],
    );
  });

  it('when it speaks only old TLS', async () => {
    await using server = await startServer({
      identity: good,
      options: { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    });
    const failure = await failureOf(roomOf(), server, meshTls());
    assert.equal(failure.code, 'upstream_tls_failed');
    assert.match(failure.reason, /protocol_version/);
  });

  it('when there is no secret yet, without a connection', async () => {
    await using server = await startServer({ identity: good });
    const failure = await failureOf(startRoom(), server, meshTls());
    assert.deepEqual([failure.code, failure.reason], ['upstream_tls_failed', 'no_secret']);
    assert.equal(server.accepted, 0);
  });

  it('when nobody listens, as a connect failure', async () => {
    const server = await startServer({ identity: good });
    const { port } = server;
    await server[Symbol.asyncDispose]();
    const { failure } = await dial(roomOf(), targetOf(port, meshTls()));
    assert.ok(failure?.kind === 'connect');
    assert.equal(failure.code, 'upstream_connect_failed');
  });
});

describe('a server of the mesh is accepted', () => {
  it('with the identity that was wanted, our certificate, SNI and ALPN', async () => {
    await using server = await startServer({ identity: good });
    const room = roomOf();
    const dialled = await dial(room, targetOf(server.port, meshTls(['spiffe://a/b', WANTED])));
    assert.equal(dialled.secure?.peer?.spiffeId, WANTED);
    assert.equal(dialled.secure.socket.alpnProtocol, 'istio');
    await useOnce(dialled);
    assert.equal(dialled.text(), 'ok');
    assert.deepEqual(server.serials, [own.serial]);
    assert.deepEqual(room.bugs, []);
  });

  it('as any member of the mesh where nobody is known', async () => {
    const bundles = { 'cluster.local': ca.rootPem, 'partner.example': partner.rootPem };
    const member = await partner.issue({ spiffeId: 'spiffe://partner.example/any' });
    await using server = await startServer({ identity: member });
    const dialled = await dial(roomOf(bundles), targetOf(server.port, meshTls([])));
    assert.equal(dialled.secure?.peer?.spiffeId, 'spiffe://partner.example/any');
    await useOnce(dialled);
  });

  it('in TLS 1.2 too, by an intermediate, with a server that speaks without ALPN', async () => {
    const issuing = await ca.intermediate();
    const leaf = await issuing.issue({ spiffeId: WANTED });
    await using server = await startServer({
      identity: leaf,
      options: { maxVersion: 'TLSv1.2', ALPNProtocols: [] },
    });
    const dialled = await dial(roomOf(), targetOf(server.port, meshTls()));
    assert.equal(dialled.secure?.socket.getProtocol(), 'TLSv1.2');
    await useOnce(dialled);
  });
});

describe('a server that knows older parameters alone', () => {
  for (const options of [
    { ecdhCurve: 'X25519' },
    { ecdhCurve: 'P-256', minVersion: 'TLSv1.3' },
    { ecdhCurve: 'P-256', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  ] as const) {
    it(`is served: ${JSON.stringify(options)}`, async () => {
      await using server = await startServer({ identity: good, options });
      const dialled = await dial(roomOf(), targetOf(server.port, meshTls()));
      assert.equal(dialled.secure?.peer?.spiffeId, WANTED);
      await useOnce(dialled);
    });
  }
});

describe('a server outside of the mesh', () => {
  const webCa = partner;
  const rows: readonly (readonly [string, () => Promise<Issued>, DialTls, string])[] = [
    [
      'is taken by the name in SNI',
      () => webCa.issue({ uris: [], dnsNames: ['www.example.com'] }),
      externalTls({ caPem: webCa.rootPem }),
      '',
    ],
    [
      'is taken by a wildcard of one label',
      () => webCa.issue({ uris: [], dnsNames: ['*.example.com'] }),
      externalTls({ caPem: webCa.rootPem }),
      '',
    ],
    [
      'is refused under another name',
      () => webCa.issue({ uris: [], dnsNames: ['other.example.com'] }),
      externalTls({ caPem: webCa.rootPem }),
      'name_mismatch',
    ],
    [
      'is refused by a wildcard two labels up',
      () => webCa.issue({ uris: [], dnsNames: ['*.example.com'] }),
      externalTls({ caPem: webCa.rootPem }, { sni: 'a.b.example.com' }),
      'name_mismatch',
    ],
    [
      'is refused by its common name',
      () => webCa.issue({ uris: [], subject: [[['CN', 'www.example.com']]] }),
      externalTls({ caPem: webCa.rootPem }),
      'name_mismatch',
    ],
    [
      'is refused where no name is known',
      () => webCa.issue({ uris: [], dnsNames: ['www.example.com'] }),
      externalTls({ caPem: webCa.rootPem }, { sni: '' }),
      'no_name',
    ],
    [
      'is taken by one of the SANs of the rule',
      () => webCa.issue({ uris: ['spiffe://x/y'], dnsNames: ['b'] }),
      externalTls({ caPem: webCa.rootPem }, { subjectAltNames: ['a', 'spiffe://x/y'] }),
      '',
    ],
    [
      'is refused by a SAN that only its text has',
      () => webCa.issue({ uris: ['http://x/, DNS:www.example.com'] }),
      externalTls({ caPem: webCa.rootPem }, { subjectAltNames: ['www.example.com'] }),
      'name_mismatch',
    ],
    [
      'is taken by the chain alone',
      () => webCa.issue({ uris: [], dnsNames: ['b'] }),
      externalTls({ caPem: webCa.rootPem, verify: 'chain' }),
      '',
    ],
    [
      'is refused by another root',
      () => ca.issue({ uris: [], dnsNames: ['www.example.com'] }),
      externalTls({ caPem: webCa.rootPem, verify: 'chain' }),
      'unable_to_verify_leaf_signature',
    ],
    [
      'is refused by the system roots',
      () => webCa.issue({ uris: [], dnsNames: ['www.example.com'] }),
      externalTls({}),
      'unable_to_verify_leaf_signature',
    ],
    [
      'is taken unverified where the rule says so',
      () => webCa.issue({ uris: [], expired: true }),
      externalTls({ verify: 'none' }),
      '',
    ],
    [
      'is not dialled with files that cannot be used',
      () => webCa.issue({ uris: [] }),
      externalTls({ certificatePem: own.chainPem, privateKeyPem: 'x' }),
      'bad_files',
    ],
  ];
  for (const [what, issue, dialTls, reason] of rows) {
    it(what, async () => {
      await using server = await startServer({ identity: await issue(), options: { ALPNProtocols: [] } });
      const room = startRoom();
      if (reason !== '') {
        assert.equal((await failureOf(room, server, dialTls)).reason, reason);
        return;
      }
      const dialled = await dial(room, targetOf(server.port, dialTls));
      assert.equal(dialled.failure, null);
      assert.equal(dialled.secure?.peer, null);
      await useOnce(dialled);
    });
  }

  it('gets the certificate of the rule, and never our SVID', async () => {
    const card = await webCa.issue({ spiffeId: 'spiffe://partner.example/client' });
    const identity = await webCa.issue({ uris: [], dnsNames: ['www.example.com'] });
    await using server = await startServer({ identity, options: { ALPNProtocols: [] } });
    const room = roomOf();
    const files = { caPem: webCa.rootPem, certificatePem: card.chainPem, privateKeyPem: card.keyPem };
    await useOnce(await dial(room, targetOf(server.port, externalTls(files))));
    await useOnce(await dial(room, targetOf(server.port, externalTls({ caPem: webCa.rootPem }))));
    assert.deepEqual(server.serials, [card.serial, '']);
  });
});
