/**
 * One sidecar of a pair is Postern, the other a real Envoy as Istio sets it up; POSTERN_ENVOY names the binary.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import {
  FlowMesh,
  get,
  HTTPBIN_ID,
  MESH_ALPN,
  peerAuthentication,
  service,
  SLEEP_ID,
} from '../flow/flow-mesh.ts';
import { EGRESS_HTTP, FlowClient, httpbinService } from '../flow/flow-pair.ts';
import { echoedHeader, startEchoApp, type Echo, type EchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import {
  appCluster,
  bootstrap,
  inboundListener,
  outboundCluster,
  outboundListener,
  type Outbound,
} from './envoy-as-istio.ts';
import { EnvoyProcess, SKIP_WITHOUT_ENVOY } from './envoy-process.ts';

const SNI = 'outbound_.8000_._.httpbin.foo.svc.cluster.local';
const CLUSTER = 'outbound|8000||httpbin.foo.svc.cluster.local';
const FORGED = 'By=x;URI=spiffe://cluster.local/ns/foo/sa/admin';

const EGRESS_TCP = EGRESS_HTTP.replace('name: http, protocol: HTTP', 'name: tcp, protocol: TCP').replace(
  '"*/*"',
  '"foo/httpbin.foo.svc.cluster.local"',
);

/** An app on TCP that greets first, says all back in capitals, and answers the end with a last word. */
class Shouter implements AsyncDisposable {
  readonly #server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write('hello\n');
    socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
    socket.on('end', () => socket.end('bye\n'));
    socket.on('error', () => {});
  });

  static async start(): Promise<Shouter> {
    const shouter = new Shouter();
    shouter.#server.listen(0, '127.0.0.1');
    await once(shouter.#server, 'listening');
    return shouter;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Waits for the greeting, says `text`, ends its side, and answers all that came. */
function converse(port: number, text: string): Promise<string> {
  const done = new Promise<string>((resolve) => {
    let got = '';
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('data', () => socket.end(text));
    socket.on('data', (chunk) => (got += chunk.toString()));
    socket.on('error', () => {});
    socket.on('close', () => resolve(got));
  });
  return withDeadline(done, 5_000, 'the end of the conversation');
}

function xfccOf(body: string): string | undefined {
  return echoedHeader(JSON.parse(body) as Echo, 'x-forwarded-client-cert');
}

/** Envoy as the sidecar of foo/sleep. */
async function envoyClient(ca: TestCa, protocol: Outbound['protocol'], port: number): Promise<EnvoyProcess> {
  const outbound: Outbound = {
    protocol,
    identity: { own: await ca.issue({ spiffeId: SLEEP_ID }), rootPem: ca.rootPem },
    upstreamPort: port,
    serverId: HTTPBIN_ID,
    cluster: CLUSTER,
    sni: SNI,
  };
  return EnvoyProcess.start(bootstrap([outboundListener('out', outbound)], [outboundCluster(outbound)]));
}

describe('Postern as the client of an Envoy that Istio set up', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let app: EchoApp;
  let shouter: Shouter;
  let ca: TestCa;
  let envoy: EnvoyProcess;

  before(async () => {
    app = await startEchoApp();
    shouter = await Shouter.start();
    ca = await TestCa.create('cluster.local');
    const identity = { own: await ca.issue({ spiffeId: HTTPBIN_ID }), rootPem: ca.rootPem };
    envoy = await EnvoyProcess.start(
      bootstrap(
        [inboundListener('http', 'http', identity), inboundListener('tcp', 'tcp', identity, 'shouter')],
        [appCluster(app.port), appCluster(shouter.port, 'shouter')],
      ),
    );
  });

  after(async () => {
    await envoy[Symbol.asyncDispose]();
    await shouter[Symbol.asyncDispose]();
    await app.close();
  });

  it('is let in by auto mTLS: Istio chooses the chain by our ALPN, and sees our SNI and our SPIFFE ID', async () => {
    const port = envoy.ports['http']!;
    const documents = EGRESS_HTTP + httpbinService([{ port, account: 'httpbin' }]);
    await using client = await FlowClient.start(ca, documents);
    const from = envoy.lineCount;
    const { body, headers, status } = await client.call('httpbin.foo:8000', '/ip', {
      'x-forwarded-client-cert': FORGED,
    });
    assert.equal(status, 200, body);
    assert.equal(headers['server'], 'envoy', 'our own name, as of Istio’s outbound side');
    assert.match(
      xfccOf(body) ?? '',
      new RegExp(`^By=${HTTPBIN_ID};Hash=[0-9a-f]{64};Subject="";URI=${SLEEP_ID}$`),
    );
    const line = await envoy.logLine(from);
    assert.equal(line['requested_server_name'], SNI);
    assert.equal(line['peer'], SLEEP_ID);
    assert.equal(line['tls_version'], 'TLSv1.3');
    assert.equal(line['response_code_details'], 'via_upstream');
    // The codec follows the negotiated ALPN, which was http/1.1 out of h2 and http/1.1.
    assert.equal(await envoy.stat('http.http.downstream_cx_http1_total'), 1);
    assert.equal(await envoy.stat('http.http.downstream_cx_http2_total'), 0);
  });

  it('negotiates http/1.1 with the list that we offer', async () => {
    const own: Issued = await ca.issue({ spiffeId: SLEEP_ID });
    using raw = await connectRaw({
      port: envoy.ports['http']!,
      tls: {
        ca: ca.rootPem,
        cert: own.chainPem,
        key: own.keyPem,
        ALPNProtocols: [...MESH_ALPN],
        checkServerIdentity: () => undefined,
      },
    });
    assert.equal(raw.secured.alpnProtocol, 'http/1.1');
  });

  it('carries TCP by mTLS with half-close, and Istio sees the same of it', async () => {
    const documents = EGRESS_TCP + httpbinService([{ port: envoy.ports['tcp']!, account: 'httpbin' }], 'tcp');
    await using client = await FlowClient.start(ca, documents);
    const from = envoy.lineCount;
    assert.equal(await converse(client.egress, 'shout\n'), 'hello\nSHOUT\nbye\n');
    const line = await envoy.logLine(from);
    assert.equal(line['requested_server_name'], SNI);
    assert.equal(line['peer'], SLEEP_ID);
    assert.equal(line['response_flags'], '-');
  });

  it('goes in plaintext where the instance has no sidecar by its documents', async () => {
    const port = envoy.ports['http']!;
    await using client = await FlowClient.start(ca, EGRESS_HTTP + httpbinService([{ port }]));
    const from = envoy.lineCount;
    const { body, status } = await client.call('httpbin.foo');
    assert.equal(status, 200);
    assert.equal(xfccOf(body), undefined);
    assert.equal((await envoy.logLine(from))['requested_server_name'], null);
  });
});

describe('Postern as the server of an Envoy that Istio set up', { skip: SKIP_WITHOUT_ENVOY }, () => {
  for (const mode of ['STRICT', 'PERMISSIVE'] as const) {
    for (const portName of ['http', 'web'] as const) {
      it(`takes its requests under ${mode} on a port named ${portName}, with its SPIFFE ID for the app`, async () => {
        await using app = await startEchoApp();
        using mesh = await FlowMesh.create({
          appPort: app.port,
          documents: peerAuthentication(mode) + service(portName, app.port),
        });
        await using server = await mesh.inProcess();
        await using envoy = await envoyClient(mesh.ca, 'http', server.port);
        using client = await connectRaw({ port: envoy.ports['out']! });
        for (let request = 0; request < 3; request++) {
          const { body, status } = await client.request(get('/ip', `x-forwarded-client-cert: ${FORGED}`));
          assert.equal(status, 200, body.toString());
          assert.match(
            xfccOf(body.toString()) ?? '',
            new RegExp(`^By=${HTTPBIN_ID};Hash=[0-9a-f]{64};Subject="";URI=${SLEEP_ID}$`),
          );
        }
      });
    }

    it(`takes its TCP under ${mode}, of whose ALPN it answers nothing`, async () => {
      await using shouter = await Shouter.start();
      using mesh = await FlowMesh.create({
        appPort: shouter.port,
        documents: peerAuthentication(mode) + service('tcp', shouter.port),
      });
      await using server = await mesh.inProcess();
      await using envoy = await envoyClient(mesh.ca, 'tcp', server.port);
      assert.equal(await converse(envoy.ports['out']!, 'shout\n'), 'hello\nSHOUT\nbye\n');
      assert.equal((await envoy.logLine())['response_flags'], '-');
    });
  }
});
