import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { FlowMesh, get, HTTPBIN_ID, MESH_ALPN, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

const run = promisify(execFile);

const bodyOf = (body: Buffer | string): Echo => JSON.parse(body.toString()) as Echo;

function xfccOf(leaf: Buffer, uri: string): string {
  const hash = createHash('sha256').update(leaf).digest('hex');
  return `By=${HTTPBIN_ID};Hash=${hash};Subject="";URI=${uri}`;
}

describe('a port named http under STRICT', () => {
  it('answers curl with a certificate, and the app sees who asked; plaintext is closed and explained once', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    mesh.folder.write('client.pem', mesh.sleep.chainPem);
    mesh.folder.write('client.key', mesh.sleep.keyPem);
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    assert.equal(ready.workload, 'foo/httpbin-1');
    assert.equal(ready.pid, proxy.pid);
    const { intercept, admin, readiness, metrics } = ready.ports;
    assert.deepEqual(Object.keys(ready.ports), ['intercept', 'admin', 'readiness', 'metrics']);
    assert.equal(new Set([intercept, admin, readiness, metrics, 0]).size, 5, 'five different numbers');

    const url = `https://127.0.0.1:${intercept}/headers?a=1`;
    const identity = ['--cert', mesh.path('client.pem'), '--key', mesh.path('client.key')];
    // The certificate names a SPIFFE ID and no host, so curl is told not to look for one.
    const { stdout } = await run('curl', ['-sS', '-k', '-w', '\n%{http_code}', ...identity, url]);
    const [json = '', status] = stdout.trimEnd().split(/\n(?=\d+$)/);
    assert.equal(status, '200', stdout);
    const echo = bodyOf(json);
    assert.equal(echo.target, '/headers?a=1');
    assert.equal(echoedHeader(echo, 'x-forwarded-client-cert'), xfccOf(mesh.sleep.der, SLEEP_ID));
    assert.equal(echoedHeader(echo, 'x-forwarded-proto'), 'https');
    assert.match(echoedHeader(echo, 'x-request-id') ?? '', /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/);

    const before = proxy.logs.length;
    await assert.rejects(
      run('curl', ['-sS', `http://127.0.0.1:${intercept}/`]),
      (error: Error & { code: number }) =>
        // 52: empty reply, 56: reset.
        error.code === 52 || error.code === 56,
    );
    const line = await proxy.waitForLog(({ code }) => code === 'no_filter_chain_match');
    assert.deepEqual(proxy.logs.slice(before), [line], 'one line and no other');
    assert.equal(line['level'], 'info');
    assert.equal(line['destination'], `127.0.0.1:${app.port}`);
    assert.match(String(line['remote']), /^127\.0\.0\.1:\d+$/);
    assert.match(String(line['why']), new RegExp(`plaintext came to port ${app.port}.*mTLS only`));
    assert.match(String(line['hint']), /PeerAuthentication foo\/default sets STRICT.*PERMISSIVE/);
    assert.equal(app.seen.length, 1, 'the app saw the request of the mesh and no other');
    assert.deepEqual(proxy.stdoutLines.length, 1, 'nothing on stdout but the ready line');
  });

  it('takes any ALPN, as STRICT asks for a certificate and nothing else', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http-web', app.port),
    });
    await using sidecar = await mesh.inProcess();
    for (const alpn of [[], ['http/1.1'], ['h2', 'http/1.1'], ['istio'], MESH_ALPN]) {
      using client = await mesh.connect(sidecar.port, alpn);
      const response = await client.request(get());
      assert.equal(response.status, 200, `offering ${alpn.join(', ')}`);
      assert.equal(client.secured.alpnProtocol, alpn.includes('http/1.1') ? 'http/1.1' : false);
    }
  });

  it('closes a client without a certificate and says what to present', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess();
    // Under TLS 1.3 the client is done before the server has seen that nothing was presented.
    using client = await mesh.connect(sidecar.port, MESH_ALPN, null);
    await client.write(get());
    const { bytes } = await client.readToEnd();
    assert.equal(bytes.length, 0);
    const line = await sidecar.waitForLog('tls_no_certificate');
    assert.match(String(line['hint']), /certificate/);
    assert.deepEqual(line['alpn'], MESH_ALPN);
    assert.equal(sidecar.logsOf('tls_no_certificate').length, 1);
    assert.equal(app.seen.length, 0);
  });

  it('appends to the element that a mesh client forwards, and never lets it pose as its own', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess();
    using client = await mesh.connect(sidecar.port);
    const forged =
      'By=spiffe://cluster.local/ns/x/sa/y;Hash=00;Subject="";URI=spiffe://cluster.local/ns/admin/sa/root';
    const response = await client.request(
      get('/', `x-forwarded-client-cert: ${forged}`, 'X_Forwarded_Client_Cert: z'),
    );
    const xfcc = echoedHeader(bodyOf(response.body), 'x-forwarded-client-cert');
    assert.equal(xfcc, `${forged},${xfccOf(mesh.sleep.der, SLEEP_ID)}`);
    assert.equal(echoedHeader(bodyOf(response.body), 'x_forwarded_client_cert'), undefined);
  });
});

describe('a port named http under PERMISSIVE', () => {
  it('closes curl, whose ALPN is not Istio’s, serves Istio’s, and serves plaintext without an identity', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + service('http', app.port),
    });
    mesh.folder.write('client.pem', mesh.sleep.chainPem);
    mesh.folder.write('client.key', mesh.sleep.keyPem);
    await using sidecar = await mesh.inProcess();

    const identity = ['--cert', mesh.path('client.pem'), '--key', mesh.path('client.key')];
    await assert.rejects(run('curl', ['-sS', '-k', ...identity, `https://127.0.0.1:${sidecar.port}/`]));
    const line = await sidecar.waitForLog('no_filter_chain_match');
    assert.equal(line['sniffed'], 'tls');
    assert.deepEqual(line['alpn'], ['h2', 'http/1.1']);
    assert.match(String(line['why']), /ALPN "h2, http\/1\.1"/);
    assert.match(String(line['hint']), /istio-http\/1\.1.*plaintext.*STRICT/);

    using member = await mesh.connect(sidecar.port, ['istio-http/1.1']);
    const served = await member.request(get());
    assert.equal(served.status, 200);
    // Istio's server list is h2 and http/1.1: with no overlap it answers none, and goes on.
    assert.equal(member.secured.alpnProtocol, false);
    assert.equal(
      echoedHeader(bodyOf(served.body), 'x-forwarded-client-cert'),
      xfccOf(mesh.sleep.der, SLEEP_ID),
    );

    using stranger = await connectRaw({ port: sidecar.port });
    const plain = await stranger.request(get('/', `x-forwarded-client-cert: By=a;URI=${SLEEP_ID}`));
    assert.equal(plain.status, 200);
    assert.equal(echoedHeader(bodyOf(plain.body), 'x-forwarded-client-cert'), undefined);
    assert.equal(echoedHeader(bodyOf(plain.body), 'x-forwarded-proto'), 'http');
    assert.equal(sidecar.logsOf('no_filter_chain_match').length, 1);
  });
});
