import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import type { Echo } from '../support/echo-app.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { TestCa } from '../support/test-ca.ts';
import { FlowMesh, HTTPBIN_ID, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';
import { EGRESS_HTTP, FlowClient, httpbinService } from './flow-pair.ts';

function headerOf(echo: Echo, name: string): string {
  return echo.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? '';
}

describe('outbound HTTP to a service with a sidecar', () => {
  it('arrives by mTLS, and the app sees the SPIFFE ID of the caller', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using server = await mesh.inProcess();
    const documents = EGRESS_HTTP + httpbinService([{ port: server.port, account: 'httpbin' }]);
    await using client = await FlowClient.start(mesh.ca, documents);

    for (const host of [
      'httpbin',
      'httpbin.foo',
      'HTTPBIN.foo:8000',
      'httpbin.foo.svc',
      'httpbin.foo.svc.cluster.local:8000',
    ]) {
      const { body, headers, status } = await client.call(host, '/ip', {
        'x-forwarded-client-cert': 'By=x;URI=spiffe://cluster.local/ns/foo/sa/admin',
      });
      assert.equal(status, 200, host);
      assert.equal(headers['server'], 'envoy');
      const echo = JSON.parse(body) as Echo;
      const xfcc = headerOf(echo, 'x-forwarded-client-cert');
      assert.match(xfcc, new RegExp(`^By=${HTTPBIN_ID};Hash=[0-9a-f]{64};Subject="";URI=${SLEEP_ID}$`));
      assert.equal(headerOf(echo, 'host'), host);
      assert.equal(headerOf(echo, 'x-forwarded-proto'), 'http');
    }
  });

  it('answers 502 for a Host that no service has, also under ALLOW_ANY: a listener does not know where else to go', async () => {
    const ca = await TestCa.create('cluster.local');
    await using client = await FlowClient.start(ca, EGRESS_HTTP);
    const { body, status } = await client.call('nobody.foo');
    assert.deepEqual([status, body], [502, '']);
    const line = await client.sidecar.waitForLog('unknown_destination');
    assert.equal(line['host'], 'nobody.foo');
  });

  it('answers 503 and UH for a service without endpoints', async () => {
    const ca = await TestCa.create('cluster.local');
    await using client = await FlowClient.start(ca, EGRESS_HTTP + httpbinService([]));
    const { body, status } = await client.call('httpbin');
    assert.deepEqual([status, body], [503, 'no healthy upstream']);
    await client.sidecar.waitForLog('no_healthy_upstream');
  });

  it('goes in plaintext to an instance without sidecar: auto mTLS decides by endpoint', async () => {
    await using plain = await startEchoApp();
    const ca = await TestCa.create('cluster.local');
    await using client = await FlowClient.start(ca, EGRESS_HTTP + httpbinService([{ port: plain.port }]));
    const { body, status } = await client.call('httpbin.foo:8000');
    assert.equal(status, 200);
    const echo = JSON.parse(body) as Echo;
    assert.equal(headerOf(echo, 'x-forwarded-client-cert'), '');
    assert.equal(headerOf(echo, 'x-envoy-attempt-count'), '1');
  });

  it('refuses a server that is another service account of the same trust domain, and says both', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using server = await mesh.inProcess();
    const documents = EGRESS_HTTP + httpbinService([{ port: server.port, account: 'other' }]);
    await using client = await FlowClient.start(mesh.ca, documents);
    const { body, status } = await client.call('httpbin');
    assert.equal(status, 503);
    assert.match(body, /^upstream connect error or disconnect\/reset before headers\./);
    assert.equal(app.seen.length, 0);
    const line = await client.sidecar.waitForLog('upstream_identity_mismatch');
    assert.match(JSON.stringify(line), /sa\/other/);
    assert.match(JSON.stringify(line), /sa\/httpbin/);
  });

  it('refuses a server of another authority', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using server = await mesh.inProcess();
    const stranger = await TestCa.create('cluster.local');
    const documents = EGRESS_HTTP + httpbinService([{ port: server.port, account: 'httpbin' }]);
    await using client = await FlowClient.start(stranger, documents);
    assert.equal((await client.call('httpbin')).status, 503);
    await client.sidecar.waitForLog('upstream_untrusted');
    assert.equal(app.seen.length, 0);
  });

  it('tries another endpoint when one refuses the connection', async () => {
    await using app = await startEchoApp();
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address() as AddressInfo;
    closed.close();
    const ca = await TestCa.create('cluster.local');
    const documents = EGRESS_HTTP + httpbinService([{ port }, { port: app.port }]);
    await using client = await FlowClient.start(ca, documents);
    for (let i = 0; i < 20; i++) assert.equal((await client.call('httpbin')).status, 200);
    assert.equal(app.seen.length, 20);
  });

  it('opens and closes egress listeners with the documents, and keeps them when a reload is refused', async () => {
    await using app = await startEchoApp();
    const ca = await TestCa.create('cluster.local');
    const httpbin = httpbinService([{ port: app.port }]);
    await using client = await FlowClient.start(ca, EGRESS_HTTP + httpbin);
    const { egress } = client;
    assert.equal((await client.call('httpbin')).status, 200);
    await client.setDocuments(
      `${EGRESS_HTTP}${httpbin}\nkind: Sidecar\napiVersion: networking.istio.io/v1\n`,
    );
    assert.equal((await client.call('httpbin', '/', {}, egress)).status, 200);
    await client.setDocuments(httpbin);
    await assert.rejects(client.call('httpbin', '/', {}, egress), /ECONNREFUSED/);
  });
});
