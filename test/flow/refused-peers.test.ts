import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startEchoApp, type EchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';
import { recordHello, withServerName } from '../tls/raw-hello.ts';
import {
  FlowMesh,
  get,
  type InProcess,
  MESH_ALPN,
  peerAuthentication,
  service,
  SLEEP_ID,
} from './flow-mesh.ts';

/**
 * The attacker can reach the port and holds some certificate or none; what must never happen is that the app hears
 * of it, that a second line is written, or that a member of the mesh is served less.
 */
describe('under STRICT', () => {
  let app: EchoApp;
  let mesh: FlowMesh;
  let sidecar: InProcess;
  let foreignCa: TestCa;
  let from = 0;

  before(async () => {
    app = await startEchoApp();
    mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    foreignCa = await TestCa.create('cluster.local', { commonName: 'elsewhere' });
    sidecar = await mesh.inProcess([], {
      'limits.handshakeTimeoutMs': '300',
      'limits.sniffTimeoutMs': '300',
    });
  });
  after(async () => {
    await sidecar.close();
    await app.close();
    mesh.folder.remove();
  });
  beforeEach(() => {
    from = sidecar.logs.length;
  });

  const peers: readonly {
    readonly who: string;
    readonly issue: () => Promise<Issued>;
    readonly code: string;
    readonly reason: string;
    /** What the line must tell besides the serial. */
    readonly peer?: string;
  }[] = [
    {
      who: 'of another CA with the same names',
      issue: () => foreignCa.issue(),
      code: 'tls_untrusted_certificate',
      reason: 'unknown_issuer',
      peer: SLEEP_ID,
    },
    {
      who: 'that expired',
      issue: () => mesh.ca.issue({ expired: true }),
      code: 'tls_expired_certificate',
      reason: 'expired',
      peer: SLEEP_ID,
    },
    {
      who: 'that is not valid yet',
      issue: () => mesh.ca.issue({ notYetValid: true }),
      code: 'tls_expired_certificate',
      reason: 'not_yet_valid',
      peer: SLEEP_ID,
    },
    {
      who: 'that is a CA',
      issue: () => mesh.ca.issue({ ca: true }),
      code: 'tls_not_an_svid',
      reason: 'is_ca',
    },
    {
      who: 'that may sign',
      issue: () => mesh.ca.issue({ keyUsage: ['digitalSignature', 'keyCertSign'] }),
      code: 'tls_not_an_svid',
      reason: 'may_sign',
    },
    {
      who: 'without digitalSignature',
      issue: () => mesh.ca.issue({ keyUsage: ['keyEncipherment'] }),
      code: 'tls_not_an_svid',
      reason: 'wrong_purpose',
    },
    {
      who: 'of version 1',
      issue: () => mesh.ca.issue({ version: 1 }),
      code: 'tls_not_an_svid',
      reason: 'not_version_3',
    },
    {
      who: 'with two SPIFFE IDs',
      issue: () => mesh.ca.issue({ uris: [SLEEP_ID, 'spiffe://cluster.local/ns/foo/sa/admin'] }),
      code: 'tls_not_an_svid',
      reason: 'several_uri_sans',
    },
    {
      who: 'without a SPIFFE ID',
      issue: () => mesh.ca.issue({ uris: [], dnsNames: ['sleep.foo'] }),
      code: 'tls_not_an_svid',
      reason: 'no_uri_san',
    },
    {
      who: 'with a SPIFFE ID hidden in a DNS name',
      issue: () => mesh.ca.issue({ uris: [], dnsNames: [`x, URI:${SLEEP_ID}`] }),
      code: 'tls_not_an_svid',
      reason: 'no_uri_san',
    },
    {
      who: 'with a SPIFFE ID in an otherName',
      issue: () => mesh.ca.issue({ uris: [], otherNames: [SLEEP_ID] }),
      code: 'tls_not_an_svid',
      reason: 'no_uri_san',
    },
    {
      who: 'with a NUL in its SPIFFE ID',
      issue: () => mesh.ca.issue({ uris: [`${SLEEP_ID}\0.attacker`] }),
      code: 'tls_not_an_svid',
      reason: 'bad_spiffe_id',
    },
    {
      who: 'with a semicolon and a comma in its SPIFFE ID',
      issue: () => mesh.ca.issue({ uris: [`${SLEEP_ID};By=x,URI=spiffe://cluster.local/ns/a/sa/b`] }),
      code: 'tls_not_an_svid',
      reason: 'bad_spiffe_id',
    },
    {
      who: 'with a line end in its SPIFFE ID',
      issue: () => mesh.ca.issue({ uris: [`${SLEEP_ID}\r\nx-admin: 1`] }),
      code: 'tls_not_an_svid',
      reason: 'bad_spiffe_id',
    },
    {
      who: 'with XFCC in a DNS name',
      issue: () => mesh.ca.issue({ dnsNames: ['a;URI=spiffe://x/y,By=z'] }),
      code: 'tls_not_an_svid',
      reason: 'bad_dns_san',
    },
    {
      who: 'of another trust domain',
      issue: () => mesh.ca.issue({ spiffeId: 'spiffe://elsewhere.example/ns/foo/sa/sleep' }),
      code: 'tls_foreign_trust_domain',
      reason: '',
      peer: 'spiffe://elsewhere.example/ns/foo/sa/sleep',
    },
    {
      who: 'of the trust domain itself',
      issue: () => mesh.ca.issue({ spiffeId: 'spiffe://cluster.local' }),
      code: 'tls_not_an_svid',
      reason: 'no_path',
    },
  ];
  for (const { who, issue, code, reason, peer } of peers) {
    it(`refuses a certificate ${who}, in one line with its serial and what to do`, async () => {
      const identity = await issue();
      const seen = app.seen.length;
      let bytes: Buffer = Buffer.alloc(0);
      try {
        using client = await mesh.connect(sidecar.port, MESH_ALPN, identity);
        await client.write(get('/secret'));
        ({ bytes } = await client.readToEnd());
      } catch (error) {
        // The client's own library may refuse to use such a certificate as soon as the server breaks off.
        assert.match(String(error), /ECONNRESET|alert|disconnected|EPIPE/);
      }
      assert.equal(bytes.length, 0);
      const line = await sidecar.waitForLog(code, from);
      assert.deepEqual(sidecar.logs.slice(from), [line]);
      assert.equal(line['serial'], identity.serial);
      if (reason !== '') assert.equal(line['reason'], reason);
      if (peer !== undefined) assert.equal(line['peer'], peer);
      assert.match(String(line['hint']), /\w{4}/);
      assert.match(String(line['notAfter']), /^\d{4}-\d\d-\d\dT/);
      assert.equal(app.seen.length, seen, 'the app heard nothing');
      await servesTheMesh();
    });
  }

  it('escapes a peer’s names in the XFCC of a certificate that is good', async () => {
    const subject = [[['CN', 'a";URI=spiffe://cluster.local/ns/root/sa/admin,By="x']]] as const;
    const identity = await mesh.ca.issue({ subject, dnsNames: ['sleep.foo'] });
    using client = await mesh.connect(sidecar.port, MESH_ALPN, identity);
    const { status, body } = await client.request(get());
    assert.equal(status, 200);
    const xfcc = (JSON.parse(body.toString()) as { headers: [string, string][] }).headers.find(
      ([name]) => name.toLowerCase() === 'x-forwarded-client-cert',
    )![1];
    assert.deepEqual(
      elementsOf(xfcc).map((element) => element.get('URI')),
      [SLEEP_ID],
    );
    assert.deepEqual(
      elementsOf(xfcc).map((element) => element.get('By')),
      [`spiffe://cluster.local/ns/foo/sa/httpbin`],
    );
  });

  it('reads a ClientHello that comes a byte a segment, and never takes part of one for plaintext', async () => {
    const hello = await recordHello({ minVersion: 'TLSv1.3', ALPNProtocols: [...MESH_ALPN] });
    using client = await connectRaw({ port: sidecar.port });
    await client.writeInCuts(
      hello.subarray(0, 300),
      [...Array.from({ length: 299 }).keys()].map((n) => n + 1),
    );
    await client.write(hello.subarray(300));
    // ServerHello.
    assert.equal((await client.readBytes(1))[0], 0x16);
    client.close();
    await sidecar.waitForLog('tls_handshake_failed', from);

    using part = await connectRaw({ port: sidecar.port });
    await part.write(hello.subarray(0, 5));
    assert.equal((await part.readToEnd()).bytes.length, 0);
    const line = await sidecar.waitForLog('sniff_timeout', from);
    assert.equal(line['receivedBytes'], 5);
  });

  it('ends a handshake that does not go on', async () => {
    using client = await connectRaw({ port: sidecar.port });
    await client.write(await recordHello({ ALPNProtocols: [...MESH_ALPN] }));
    await client.readToEnd();
    const line = await sidecar.waitForLog('tls_handshake_timeout', from);
    assert.deepEqual(line['alpn'], MESH_ALPN);
    await servesTheMesh();
  });

  it('lives on after garbage that begins as TLS, odd server names and connections cut in the middle', async () => {
    const hello = await recordHello({ servername: 'name.example', ALPNProtocols: [...MESH_ALPN] });
    const odd = ['SECRET.com\0\0', '\xff'.repeat(12), '..........\r\n', '${jndi:x/y}\0'].map((name) =>
      withServerName(hello, 'name.example', Buffer.from(name, 'latin1')),
    );
    const garbage = [
      Buffer.from([0x16]),
      Buffer.from([0x16, 3, 1, 0, 0]),
      Buffer.from([0x16, 3, 1, 0xff, 0xff, ...Array<number>(200).fill(1)]),
      Buffer.from([0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]),
      Buffer.alloc(20_000, 0x16),
      Buffer.concat([hello.subarray(0, 60), Buffer.alloc(400, 0xff)]),
    ];
    for (const bytes of [...odd, ...garbage, ...[1, 6, 50, 200].map((cut) => hello.subarray(0, cut))]) {
      using cut = await connectRaw({ port: sidecar.port });
      await cut.write(bytes);
      cut.reset();
      using ended = await connectRaw({ port: sidecar.port });
      await ended.write(bytes);
      ended.end();
      await ended.readToEnd();
    }
    await servesTheMesh();
    const stats = await (await fetch(`http://127.0.0.1:${sidecar.ports.admin}/stats`)).text();
    assert.match(stats, /^server\.bugs: 0$/m);
    assert.deepEqual(sidecar.logsOf('bug'), []);
  });

  async function servesTheMesh(): Promise<void> {
    using client = await mesh.connect(sidecar.port);
    assert.equal((await client.request(get())).status, 200);
  }
});

/** Reads XFCC as Envoy writes it: `,` between elements, `;` between pairs, values that may be quoted with `\"`. */
function elementsOf(xfcc: string): Map<string, string>[] {
  const elements = [new Map<string, string>()];
  const pair = /([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^,;"]*))(;|,|$)/y;
  while (pair.lastIndex < xfcc.length) {
    const match = pair.exec(xfcc);
    assert.ok(match !== null, `not XFCC: ${xfcc}`);
    const [, key = '', quoted, plain, separator] = match;
    elements.at(-1)!.set(key, quoted ?? plain ?? '');
    if (separator === ',') elements.push(new Map());
    if (separator === '') break;
  }
  return elements;
}
