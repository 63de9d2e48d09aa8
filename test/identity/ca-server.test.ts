import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import net from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { type ServiceError, status } from '@grpc/grpc-js';
import { createAuthority } from '../../src/identity/authority.ts';
import { CaCounters } from '../../src/identity/ca-counters.ts';
import { MAX_CONNECTIONS, MAX_REQUEST_BYTES, openCaServer } from '../../src/identity/ca-server.ts';
import { createCaService } from '../../src/identity/ca-service.ts';
import { startCa } from '../../src/identity/ca-start.ts';
import { createCsr } from '../../src/identity/csr-request.ts';
import { DEVELOPMENT_ISSUER, signToken } from '../../src/identity/token-sign.ts';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempFolder } from '../support/temp-folder.ts';
import {
  ask,
  CaFixture,
  caOptions,
  CapturedLog,
  DAY_MS,
  HOUR_MS,
  type TestCall,
  tokenFor,
  tokenKey,
} from './ca-fixture.ts';
import { CA_WISHES, makeCsr } from './hostile-csr.ts';

const SLEEP = 'spiffe://cluster.local/ns/foo/sa/sleep';
const token = await tokenFor('foo', 'sleep');
const BEARER = [`Bearer ${token}`];
const own = await createCsr(SLEEP, 'ecdsa-p256');

interface Refused {
  readonly status: string;
  readonly details: string;
}

async function refused(fixture: CaFixture, call: TestCall): Promise<Refused> {
  try {
    await ask(fixture.ca, call);
  } catch (thrown) {
    const { code, details } = thrown as ServiceError;
    return { status: status[code], details };
  }
  throw new Error('the call was answered');
}

async function handshake(port: number, options: tls.ConnectionOptions): Promise<tls.PeerCertificate> {
  const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], ...options });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate();
  } finally {
    socket.destroy();
  }
}

function extensionsOf(pem: string): readonly string[] {
  const { stdout } = spawnSync('openssl', ['x509', '-noout', '-text'], { input: pem });
  return stdout.toString().match(/X509v3 .*\n.*/g) ?? [];
}

describe('the CA', () => {
  checkLeaks();

  it("answers with the leaf and the root, and the leaf has every row of Istio's profile", async () => {
    await using fixture = await CaFixture.start();
    const before = Date.now();
    const chain = await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER });
    assert.equal(chain.length, 2);
    assert.equal(chain[1], fixture.ca.rootPem);
    const answer = verifyOwnIdentity(chain.join(''), own.keyPem, fixture.ca.rootPem, Date.now());
    assert.ok(answer.ok, JSON.stringify(answer));
    assert.equal(answer.identity.facts.spiffeId, SLEEP);

    const leaf = new X509Certificate(chain[0]!);
    assert.equal(leaf.subject ?? '', '');
    assert.equal(leaf.subjectAltName, `URI:${SLEEP}`);
    assert.equal(leaf.ca, false);
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    assert.ok(Math.abs(leaf.validFromDate.getTime() - (before - 120_000)) < 5_000);
    assert.ok(Math.abs(leaf.validToDate.getTime() - (before + DAY_MS)) < 5_000);
    assert.match(leaf.serialNumber, /^[4-7][0-9A-F]{31}$/);

    const shown = spawnSync('openssl', ['x509', '-noout', '-text'], { input: chain[0]! });
    const text = shown.stdout.toString().replaceAll(/\s+/g, ' ');
    assert.match(text, /Subject: X509v3|Subject: Subject Public Key Info/);
    assert.match(text, /X509v3 Key Usage: critical Digital Signature, Key Encipherment X509v3/);
    assert.match(
      text,
      /X509v3 Extended Key Usage: TLS Web Server Authentication, TLS Web Client Authentication X509v3/,
    );
    assert.match(text, /X509v3 Basic Constraints: critical CA:FALSE X509v3/);
    assert.match(text, /X509v3 Authority Key Identifier: (keyid:)?[0-9A-F:]{59} /);
    assert.match(
      text,
      /X509v3 Subject Alternative Name: critical URI:spiffe:\/\/cluster.local\/ns\/foo\/sa\/sleep Signature/,
    );
    assert.doesNotMatch(text, /CRL|OCSP/);
  });

  it('puts nothing of a request into the certificate but its key', async () => {
    await using fixture = await CaFixture.start();
    const { pem } = await makeCsr({
      uris: [SLEEP, 'https://evil.example/'],
      dnsNames: ['istiod.istio-system.svc', 'localhost'],
      subject: [{ CN: ['admin'] }, { O: ['system:masters'] }],
      extensions: CA_WISHES,
    });
    const plain = (await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER }))[0]!;
    const got = (await ask(fixture.ca, { csr: pem, authorization: BEARER }))[0]!;
    assert.deepEqual(extensionsOf(got), extensionsOf(plain));
    const leaf = new X509Certificate(got);
    assert.equal(leaf.subjectAltName, `URI:${SLEEP}`);
    assert.equal(leaf.ca, false);
    assert.equal(leaf.subject, `CN=${SLEEP}`, "with a CN in the request, the name is the certificate's own");
  });

  it('gives a common name only if the name fits into one', async () => {
    await using fixture = await CaFixture.start();
    const account = 'a'.repeat(60);
    const { pem } = await makeCsr({ subject: [{ CN: ['x'] }] });
    const authorization = [`Bearer ${await tokenFor('foo', account)}`];
    const [leaf = ''] = await ask(fixture.ca, { csr: pem, authorization });
    assert.equal(new X509Certificate(leaf).subject ?? '', '');
    assert.equal(new X509Certificate(leaf).subjectAltName, `URI:spiffe://cluster.local/ns/foo/sa/${account}`);
  });

  it("signs for the caller's identity in its own trust domain, whichever the request names", async () => {
    await using fixture = await CaFixture.start({ trustDomain: 'mesh.example' });
    const { csrPem } = await createCsr('spiffe://elsewhere.example/ns/foo/sa/sleep', 'ecdsa-p256');
    const [leaf = ''] = await ask(fixture.ca, { csr: csrPem, authorization: BEARER });
    assert.equal(new X509Certificate(leaf).subjectAltName, 'URI:spiffe://mesh.example/ns/foo/sa/sleep');
  });

  it('refuses a request in the name of somebody else', async () => {
    await using fixture = await CaFixture.start();
    for (const uri of [
      'spiffe://cluster.local/ns/foo/sa/admin',
      'spiffe://elsewhere.example/ns/bar/sa/sleep',
    ]) {
      const { csrPem } = await createCsr(uri, 'ecdsa-p256');
      const answer = await refused(fixture, { csr: csrPem, authorization: BEARER });
      assert.equal(answer.status, 'PERMISSION_DENIED');
      assert.match(answer.details, /^csr_identity_mismatch: /);
    }
    const line = await fixture.log.waitFor('csr_identity_mismatch');
    assert.equal(line.fields['caller'], 'foo/sleep');
    assert.match(String(line.fields['why']), /ns\/foo\/sa\/admin/);
    assert.equal(fixture.ca.counters.refused.get('csr_identity_mismatch'), 2);
    assert.equal(fixture.ca.counters.issued, 0);
  });

  it('tells those who prove nothing only that, and the log why', async () => {
    await using fixture = await CaFixture.start();
    const expired = await signToken({
      namespace: 'foo',
      serviceAccount: 'sleep',
      privateKeyPem: tokenKey.privateKeyPem,
      ttlMs: HOUR_MS,
      nowMs: Date.now() - 2 * HOUR_MS,
    });
    const elsewhere = await signToken({
      namespace: 'foo',
      serviceAccount: 'sleep',
      privateKeyPem: tokenKey.privateKeyPem,
      ttlMs: HOUR_MS,
      audience: 'vault',
    });
    const rows: readonly (readonly [authorization: readonly string[], code: string])[] = [
      [[], 'token_missing'],
      [[`Bearer ${expired}`], 'token_expired'],
      [[`Bearer ${elsewhere}`], 'token_wrong_audience'],
      [[`Basic ${token}`], 'token_invalid'],
      [[token], 'token_invalid'],
      [['Bearer'], 'token_invalid'],
      [['Bearer x.y.z'], 'token_invalid'],
    ];
    for (const [authorization, code] of rows) {
      const from = fixture.log.lines.length;
      const answer = await refused(fixture, { csr: own.csrPem, authorization });
      assert.deepEqual(answer, { status: 'UNAUTHENTICATED', details: 'request authenticate failure' });
      assert.deepEqual(fixture.log.codes().slice(from), [code]);
    }
  });

  it('refuses two authorization headers rather than choosing one', async () => {
    const counters = new CaCounters();
    const service = createCaService({
      authority: await createAuthority({ trustDomain: 'cluster.local' }),
      verifier: { verify: () => Promise.resolve({ namespace: 'foo', serviceAccount: 'sleep' }) },
      ttl: { defaultMs: DAY_MS, maxMs: DAY_MS },
      counters,
      log: new CapturedLog(),
    });
    const call = { csrPem: own.csrPem, validitySeconds: 0n, metadata: {}, peer: '' };
    assert.equal((await service.createCertificate({ ...call, authorization: BEARER })).length, 2);
    await assert.rejects(service.createCertificate({ ...call, authorization: [...BEARER, ...BEARER] }), {
      code: 'token_invalid',
      status: 'UNAUTHENTICATED',
    });
  });

  it('answers INTERNAL, and says nothing, when it cannot sign', async () => {
    const log = new CapturedLog();
    const expired = await createAuthority({
      trustDomain: 'cluster.local',
      notBefore: new Date(Date.now() - 2 * DAY_MS),
      notAfter: new Date(Date.now() - DAY_MS),
    });
    const service = createCaService({
      authority: expired,
      verifier: { verify: () => Promise.resolve({ namespace: 'foo', serviceAccount: 'sleep' }) },
      ttl: { defaultMs: DAY_MS, maxMs: DAY_MS },
      counters: new CaCounters(),
      log,
    });
    const call = { csrPem: own.csrPem, validitySeconds: 0n, metadata: {}, peer: '', authorization: BEARER };
    await assert.rejects(service.createCertificate(call), {
      code: 'signing_failed',
      status: 'INTERNAL',
      message: 'CSR signing error (the CA cannot sign now)',
    });
    assert.match(String(log.lines[0]!.fields['why']), /expired at/);
  });

  it('lets nobody act for somebody else', async () => {
    await using fixture = await CaFixture.start();
    for (const ImpersonatedIdentity of ['spiffe://cluster.local/ns/foo/sa/admin', 1, [''], {}]) {
      const metadata = { ImpersonatedIdentity };
      assert.deepEqual(await refused(fixture, { csr: own.csrPem, authorization: BEARER, metadata }), {
        status: 'UNAUTHENTICATED',
        details: 'request impersonation authentication failure',
      });
    }
    const metadata = { ImpersonatedIdentity: '', CertSigner: 'other', Unknown: [1] };
    const chain = await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER, metadata });
    assert.equal(chain.length, 2);
  });

  it('gives the time that is asked for, the default for none, and an error for too much', async () => {
    await using fixture = await CaFixture.start();
    const lifeS = async (validityDuration: bigint): Promise<number> => {
      const [leaf = ''] = await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER, validityDuration });
      return Math.round((new X509Certificate(leaf).validToDate.getTime() - Date.now()) / 1000);
    };
    for (const [seconds, wanted] of [
      [0n, 86_400],
      [-1n, 86_400],
      [-(2n ** 63n), 86_400],
      [60n, 60],
      [7_776_000n, 7_776_000],
    ] as const)
      assert.ok(Math.abs((await lifeS(seconds)) - wanted) <= 2, String(seconds));
    for (const [seconds, text] of [
      [8_640_000n, '2400h0m0s'],
      [7_776_001n, '2160h0m1s'],
      [2n ** 63n - 1n, '2562047788015215h30m7s'],
    ] as const)
      assert.deepEqual(
        await refused(fixture, { csr: own.csrPem, authorization: BEARER, validityDuration: seconds }),
        {
          status: 'INVALID_ARGUMENT',
          details: `CSR signing error (requested TTL ${text} is greater than the max allowed TTL 2160h0m0s)`,
        },
      );
  });

  it('refuses requests that are none, weak, or larger than they have reason to be', async () => {
    await using fixture = await CaFixture.start();
    const weak = await makeCsr({
      algorithm: {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 1024,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
    });
    for (const [csr, wanted] of [
      ['', 'INVALID_ARGUMENT'],
      ['nonsense', 'INVALID_ARGUMENT'],
      [own.csrPem + own.csrPem, 'INVALID_ARGUMENT'],
      [weak.pem, 'INVALID_ARGUMENT'],
      ['A'.repeat(MAX_REQUEST_BYTES - 100), 'INVALID_ARGUMENT'],
      ['A'.repeat(MAX_REQUEST_BYTES + 1), 'RESOURCE_EXHAUSTED'],
      ['A'.repeat(4_000_000), 'RESOURCE_EXHAUSTED'],
    ] as const)
      assert.equal((await refused(fixture, { csr, authorization: BEARER })).status, wanted);
    // Size is judged before the caller, and the caller before the request.
    assert.equal((await refused(fixture, { csr: 'A'.repeat(4_000_000) })).status, 'RESOURCE_EXHAUSTED');
    assert.equal((await refused(fixture, { csr: 'nonsense' })).status, 'UNAUTHENTICATED');
    assert.equal((await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER })).length, 2);
  });

  it('shows nothing of a token or a key in its log', async () => {
    await using fixture = await CaFixture.start();
    await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER });
    const [header = '', payload = '', signature = ''] = token.split('.');
    await refused(fixture, {
      csr: own.csrPem,
      authorization: [`Bearer ${header}.${payload}.${'A'.repeat(86)}`],
    });
    await refused(fixture, { csr: `${own.csrPem}${own.keyPem}`, authorization: BEARER });
    const { text } = fixture.log;
    assert.ok(fixture.log.codes().includes('csr_invalid'));
    for (const secret of [payload, signature, own.keyPem.split('\n')[1]!, 'PRIVATE KEY'])
      assert.ok(!text.includes(secret), secret.slice(0, 20));
  });

  it('logs and counts each certificate with caller, serial and end', async () => {
    await using fixture = await CaFixture.start({ admin: { bind: '127.0.0.1', port: 0 } });
    const [leaf = ''] = await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER });
    await refused(fixture, { csr: own.csrPem });
    const { fields } = await fixture.log.waitFor('certificate_issued');
    const { serialNumber, validToDate } = new X509Certificate(leaf);
    assert.equal(fields['caller'], 'foo/sleep');
    assert.equal(fields['serial'], serialNumber.toLowerCase());
    assert.equal(fields['notAfter'], validToDate.toISOString());
    assert.match(String(fields['peer']), /^127\.0\.0\.1:\d+$/);
    const url = `http://127.0.0.1:${fixture.ca.ports.admin}`;
    const metrics = await (await fetch(`${url}/stats/prometheus`)).text();
    assert.match(metrics, /^postern_ca_certificates_issued_total 1$/m);
    assert.match(metrics, /^postern_ca_requests_refused_total\{code="token_missing"\} 1$/m);
    for (const path of ['/ready', '/healthz/ready'])
      assert.equal(await (await fetch(url + path)).text(), 'LIVE\n');
  });

  it('keeps its root in a folder over a restart', async () => {
    using temp = new TempFolder();
    const roots: string[] = [];
    const leafs: string[] = [];
    for (let run = 0; run < 2; run++) {
      await using fixture = await CaFixture.start({ rootFolder: temp.join('ca') });
      roots.push(fixture.ca.rootPem);
      leafs.push((await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER }))[0]!);
    }
    assert.equal(roots[0], roots[1]);
    for (const leaf of leafs) assert.ok(verifyOwnIdentity(leaf, own.keyPem, roots[0]!, Date.now()).ok);
  });

  it('says which setting to change when it cannot start, and leaves nothing open', async () => {
    await using taken = await CaFixture.start();
    const log = new CapturedLog();
    const port = taken.ca.ports.ca;
    const listen = { bind: '127.0.0.1', port, names: [] };
    await assert.rejects(startCa(caOptions(log, { listen })), (thrown) => {
      assert.match((thrown as { detail: string }).detail, /EADDRINUSE.*listen\.port/);
      return true;
    });
    await assert.rejects(startCa(caOptions(log, { admin: { bind: '127.0.0.1', port } })), (thrown) => {
      assert.match((thrown as { detail: string }).detail, /EADDRINUSE.*admin\.port/);
      return true;
    });
    const publicKey = { file: '/nonexistent/token.key.pub' };
    const tokens = [{ issuer: DEVELOPMENT_ISSUER, publicKey, audiences: ['istio-ca'] }];
    await assert.rejects(startCa(caOptions(log, { tokens })), { code: 'token_invalid' });
  });
});

describe('the TLS of the CA', () => {
  checkLeaks();

  it("has Istio's name, localhost, its address and the names that were configured", async () => {
    await using fixture = await CaFixture.start({
      listen: { bind: '127.0.0.1', port: 0, names: ['ca.example.com', '10.1.2.3'] },
    });
    const { ca: port } = fixture.ca.ports;
    for (const servername of ['istiod.istio-system.svc', 'localhost', 'ca.example.com'])
      await handshake(port, { ca: fixture.ca.rootPem, servername });
    for (const ip of ['127.0.0.1', '10.1.2.3'])
      await handshake(port, {
        ca: fixture.ca.rootPem,
        checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(ip, certificate),
      });
    await assert.rejects(handshake(port, { ca: fixture.ca.rootPem, servername: 'evil.example' }), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('is no identity of the mesh: its certificate has no SPIFFE ID and no clientAuth', async () => {
    await using fixture = await CaFixture.start();
    const { raw } = await handshake(fixture.ca.ports.ca, {
      ca: fixture.ca.rootPem,
      servername: 'localhost',
    });
    const certificate = new X509Certificate(raw);
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    assert.doesNotMatch(certificate.subjectAltName ?? '', /URI/);
  });

  it('renews its certificate while it runs', async () => {
    const authority = await createAuthority({ trustDomain: 'cluster.local' });
    const log = new CapturedLog();
    let offsetMs = 0;
    const server = await openCaServer({
      bind: '127.0.0.1',
      port: 0,
      names: [],
      authority,
      service: { createCertificate: () => Promise.reject(new Error('not asked')) },
      log,
      nowMs: () => Date.now() + offsetMs,
      renewalCheckMs: 5,
    });
    try {
      const serial = async (): Promise<string> =>
        (await handshake(server.port, { ca: authority.rootPem, servername: 'localhost' })).serialNumber;
      const first = await serial();
      offsetMs = 11 * HOUR_MS;
      assert.equal(await serial(), first);
      offsetMs = 13 * HOUR_MS;
      await log.waitFor('server_certificate_renewed');
      assert.notEqual(await serial(), first);
    } finally {
      await server.close();
    }
  });

  it('takes no plain text, no old TLS and no HTTP/1.1', async () => {
    await using fixture = await CaFixture.start();
    const { ca: port } = fixture.ca.ports;
    const ca = fixture.ca.rootPem;
    const plain = net.connect(port, '127.0.0.1');
    plain.end('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
    plain.on('error', () => {});
    plain.resume();
    await once(plain, 'close');
    const old = { ca, servername: 'localhost', minVersion: 'TLSv1', maxVersion: 'TLSv1.1' } as const;
    await assert.rejects(handshake(port, old));
    await assert.rejects(handshake(port, { ca, servername: 'localhost', ALPNProtocols: ['http/1.1'] }));
    const none = tls.connect({ port, host: '127.0.0.1', ca, servername: 'localhost' });
    none.on('error', () => {});
    none.resume();
    await once(none, 'close');
    assert.equal((await ask(fixture.ca, { csr: own.csrPem, authorization: BEARER })).length, 2);
  });

  it('holds no more connections than it says', async () => {
    await using fixture = await CaFixture.start();
    const { ca: port } = fixture.ca.ports;
    const sockets: net.Socket[] = [];
    try {
      for (let i = 0; i < MAX_CONNECTIONS; i++) {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('error', () => {});
        sockets.push(socket);
        await once(socket, 'connect');
      }
      const extra = net.connect(port, '127.0.0.1');
      extra.on('error', () => {});
      extra.resume();
      await once(extra, 'close');
      await fixture.log.waitFor('too_many_connections');
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  it('allows a bounded number of calls on a connection, and ends one that never says its whole message', async () => {
    const authority = await createAuthority({ trustDomain: 'cluster.local' });
    const server = await openCaServer({
      bind: '127.0.0.1',
      port: 0,
      names: [],
      authority,
      service: { createCertificate: () => Promise.reject(new Error('not asked')) },
      log: new CapturedLog(),
      callTimeoutMs: 50,
    });
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, {
      ca: authority.rootPem,
      servername: 'localhost',
    });
    session.on('error', () => {});
    try {
      const [settings] = (await once(session, 'remoteSettings')) as [{ maxConcurrentStreams: number }];
      assert.equal(settings.maxConcurrentStreams, 16);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/istio.v1.auth.IstioCertificateService/CreateCertificate',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      // Five bytes that announce a message, and half of it.
      stream.write(Buffer.from([0, 0, 0, 0, 100, ...Array.from({ length: 50 }, () => 0x41)]));
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
      assert.equal(headers['grpc-status'], String(status.DEADLINE_EXCEEDED));
    } finally {
      session.destroy();
      await server.close();
    }
  });
});

describe('the counters of a CA', () => {
  it('are Prometheus text before anything happened', async () => {
    const text = await new CaCounters().render(5_000, 6_000);
    assert.match(text, /^postern_ca_certificates_issued_total 0$/m);
    assert.match(text, /^postern_ca_root_not_after_seconds 5$/m);
  });
});
