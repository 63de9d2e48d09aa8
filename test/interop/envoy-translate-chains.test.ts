/**
 * Which chain of a translation takes a connection, in a real Envoy: every mode, protocol and arrival (Istio's inbound
 * tables). The app tells what reached it: HTTP of a connection manager, bytes as they were, or TLS.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type tls from 'node:tls';
import type { MtlsMode, PortProtocol } from '../../src/mesh/plan.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { port, snapshotOf } from '../translate/plan-fixture.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { startTranslatedEnvoy, staticCluster, type TranslatedEnvoy } from './envoy-translated.ts';

const TLS_HANDSHAKE = 22;
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n';

/** `mtls` and `plain`: HTTP with and without a peer in XFCC. `tcp`: the client's own bytes. `tls`: not terminated. */
type Outcome = 'mtls' | 'plain' | 'tcp' | 'tls' | 'closed';

/** What comes: ALPN of a client with a certificate of the mesh, or something else. */
const ARRIVALS = {
  plaintext: null,
  'mesh HTTP': ['istio-http/1.1', 'istio', 'http/1.1'],
  'mesh TCP': ['istio-peer-exchange', 'istio'],
  'mesh TCP first': ['istio', 'istio-http/1.1', 'http/1.1'],
  'ALPN http/1.1': ['http/1.1'],
  'no ALPN': [],
} as const;
type Arrival = keyof typeof ARRIVALS;

const TABLE: Readonly<Record<`${MtlsMode} ${'http' | 'auto' | 'tcp'}`, Readonly<Record<Arrival, Outcome>>>> =
  {
    'STRICT http': row('closed', 'mtls', 'mtls', 'mtls', 'mtls', 'mtls'),
    'STRICT auto': row('closed', 'mtls', 'tcp', 'mtls', 'tcp', 'tcp'),
    'STRICT tcp': row('closed', 'tcp', 'tcp', 'tcp', 'tcp', 'tcp'),
    'PERMISSIVE http': row('plain', 'mtls', 'mtls', 'mtls', 'closed', 'closed'),
    'PERMISSIVE auto': row('plain', 'mtls', 'tcp', 'tcp', 'tls', 'tls'),
    'PERMISSIVE tcp': row('tcp', 'tcp', 'tcp', 'tcp', 'tls', 'tls'),
    'DISABLE http': row('plain', 'closed', 'closed', 'closed', 'closed', 'closed'),
    'DISABLE auto': row('plain', 'tls', 'tls', 'tls', 'tls', 'tls'),
    'DISABLE tcp': row('tcp', 'tls', 'tls', 'tls', 'tls', 'tls'),
  };

function row(...outcomes: readonly Outcome[]): Record<Arrival, Outcome> {
  const names = Object.keys(ARRIVALS);
  return Object.fromEntries(names.map((name, at) => [name, outcomes[at]])) as Record<Arrival, Outcome>;
}

describe('the chains of a translation', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let ca: TestCa;
  let app: Server;
  let envoy: TranslatedEnvoy;
  /** What the app was last sent: the first bytes of each connection. */
  const seen: Buffer[] = [];

  before(async () => {
    ca = await TestCa.create('cluster.local');
    const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    const secrets = { certificateChain: own.chainPem, privateKey: own.keyPem, trustBundle: ca.rootPem };
    app = createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', (bytes: Buffer) => {
        seen.push(bytes);
        if (bytes[0] === TLS_HANDSHAKE) socket.end();
        else socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
      });
    });
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const listeners = Object.keys(TABLE).map((name) => {
      const [mode, protocol] = name.split(' ') as [MtlsMode, PortProtocol];
      return { name, snapshot: snapshotOf({ ports: [port(protocol, mode)] }), port: 8080, secrets };
    });
    const clusters = [staticCluster('inbound|8080||', (app.address() as AddressInfo).port)];
    envoy = await startTranslatedEnvoy({ listeners, clusters });
  });

  after(async () => {
    await envoy[Symbol.asyncDispose]();
    app.close();
    await once(app, 'close');
  });

  async function arrive(listener: string, arrival: Arrival): Promise<Outcome> {
    seen.length = 0;
    try {
      const tlsOptions = await clientTls(ARRIVALS[arrival]);
      using client = await connectRaw({
        ...envoy.at[listener]!,
        ...(tlsOptions === null ? {} : { tls: tlsOptions }),
      });
      await client.write(REQUEST);
      await withDeadline(client.readToEnd(), 5_000, 'the end');
    } catch {
      // A handshake that the app or nobody answers.
    }
    const [bytes] = seen;
    if (bytes === undefined) return 'closed';
    if (bytes[0] === TLS_HANDSHAKE) return 'tls';
    const text = bytes.toString('latin1');
    if (text === REQUEST) return 'tcp';
    return /^x-forwarded-client-cert: .*URI=spiffe/m.test(text) ? 'mtls' : 'plain';
  }

  async function clientTls(alpn: readonly string[] | null): Promise<tls.ConnectionOptions | null> {
    if (alpn === null) return null;
    const { chainPem: cert, keyPem: key } = await ca.issue();
    const common = { ca: ca.rootPem, cert, key, checkServerIdentity: () => undefined };
    return alpn.length === 0 ? common : { ...common, ALPNProtocols: [...alpn] };
  }

  for (const [listener, arrivals] of Object.entries(TABLE)) {
    it(`under ${listener} take what comes as ${Object.values(arrivals).join(', ')}`, async () => {
      const got: Partial<Record<Arrival, Outcome>> = {};
      for (const arrival of Object.keys(arrivals) as Arrival[])
        got[arrival] = await arrive(listener, arrival);
      assert.deepEqual(got, arrivals);
    });
  }
});
