/** ext_authz in a whole sidecar: the provider is a service of the mesh, and Istio's documents say when it is asked. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createSecureServer } from 'node:http2';
import type { Http2SecureServer, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { answerCall, startGrpcProvider } from '../filters/ext-authz-fixture.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { Issued, TestCa } from '../support/test-ca.ts';
import { TestIssuer } from '../support/test-tokens.ts';
import { askingDocuments, customPolicy, NOT_OPEN } from './ext-authz-mesh.ts';
import { FlowMesh, get, SLEEP_ID } from './flow-mesh.ts';
import { requestAuthentication } from './jwt-mesh.ts';
import type { InProcess } from './flow-mesh.ts';

checkLeaks();

const AUTHZ_ID = 'spiffe://cluster.local/ns/foo/sa/authz';

/** Status of one plaintext request on a connection of its own. */
async function statusOf(sidecar: InProcess, target = '/', ...fields: string[]): Promise<number> {
  using client = await connectRaw({ port: sidecar.port });
  await client.write(get(target, ...fields));
  return (await client.readResponse()).status;
}

describe('a CUSTOM policy', () => {
  it('asks the provider whatever its rules match, with the identity of the caller', async () => {
    await using provider = await startGrpcProvider(() => ({
      httpResponse: { case: 'okResponse', value: { headers: [{ header: { key: 'x-user', value: 'u' } }] } },
    }));
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: provider.port }],
        customPolicy('authz', NOT_OPEN),
      ),
    });
    await using sidecar = await mesh.inProcess();
    using client = await mesh.connect(sidecar.port);
    await client.write(get('/a/../b', 'x-user: spoof'));
    assert.equal((await client.readResponse()).status, 200);
    assert.deepEqual(
      app.seen[0]!.headers.filter(([name]) => name === 'x-user'),
      [['x-user', 'u']],
    );
    const { attributes } = (await provider.call()).check;
    assert.equal(attributes?.source?.principal, SLEEP_ID);
    assert.equal(attributes.request?.http?.path, '/b');
    assert.equal((await provider.call()).metadata[':authority'], 'authz.test');
    assert.equal(await statusOf(sidecar, '/open'), 200);
    assert.equal(provider.calls.length, 1);
    const stats = await (await fetch(`http://127.0.0.1:${sidecar.ports.admin}/stats`)).text();
    assert.match(stats, new RegExp(`^http\\.inbound_.*_${app.port}.*ext_authz\\.ok: 1$`, 'm'));
    assert.match(stats, /^cluster\.outbound\|9000\|\|authz\.test.*ext_authz\.ok: 1$/m);
    for (const [result, count] of [
      ['denied', 1],
      ['allowed', 1],
    ])
      assert.match(
        stats,
        new RegExp(
          `^http\\.inbound_.*_${app.port}.*rbac\\.istio_ext_authz_\\.shadow_${result}: ${count}$`,
          'm',
        ),
      );
  });

  it('comes before tokens, DENY and ALLOW, and skips none of them', async () => {
    await using provider = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using app = await startEchoApp();
    const deny = [
      'apiVersion: security.istio.io/v1',
      'kind: AuthorizationPolicy',
      'metadata: {name: no, namespace: foo}',
      'spec: {action: DENY, rules: [{to: [{operation: {paths: ["/no"]}}]}]}',
      '---',
      '',
    ].join('\n');
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: provider.port }],
        customPolicy('authz', NOT_OPEN) + deny,
      ),
    });
    await using sidecar = await mesh.inProcess();
    assert.equal(await statusOf(sidecar, '/no'), 403);
    assert.equal(provider.calls.length, 1);
    assert.equal(app.seen.length, 0);
    provider.script = () => ({
      httpResponse: { case: 'okResponse', value: { headers: [{ header: { key: ':path', value: '/no' } }] } },
    });
    // What the provider makes of a path is judged like any other.
    assert.equal(await statusOf(sidecar, '/yes'), 403);
    assert.equal(app.seen.length, 0);
  });

  it('is asked before tokens are judged, and a token of the provider is judged like any other', async () => {
    const issuer = new TestIssuer('a');
    const good = await issuer.token({});
    const expired = await issuer.token({ exp: 1 });
    const token = { value: '' };
    let code = 0;
    await using provider = await startGrpcProvider(() => ({
      status: { code },
      httpResponse:
        token.value === ''
          ? { case: undefined }
          : {
              case: 'okResponse',
              value: { headers: [{ header: { key: 'Authorization', value: `Bearer ${token.value}` } }] },
            },
    }));
    await using app = await startEchoApp();
    const needsToken = [
      'apiVersion: security.istio.io/v1',
      'kind: AuthorizationPolicy',
      'metadata: {name: token, namespace: foo}',
      'spec: {action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]}',
      '---',
      '',
    ].join('\n');
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: provider.port }],
        customPolicy('authz', NOT_OPEN) +
          needsToken +
          requestAuthentication({ issuer: 'a', jwks: issuer.jwks(), forwardOriginalToken: true }),
      ),
    });
    await using sidecar = await mesh.inProcess();
    const bad = `authorization: Bearer ${expired}`;
    assert.equal(await statusOf(sidecar, '/', bad), 401);
    assert.equal(
      (await provider.call()).check.attributes?.request?.http?.headers['authorization'],
      bad.slice(15),
    );
    code = 7;
    assert.equal(await statusOf(sidecar, '/', bad), 403);
    code = 0;
    token.value = good;
    assert.equal(await statusOf(sidecar, '/', bad), 200);
    assert.equal(await statusOf(sidecar, '/'), 200);
    token.value = expired;
    assert.equal(await statusOf(sidecar, '/', `authorization: Bearer ${good}`), 401);
    assert.equal(provider.calls.length, 5);
    assert.equal(app.seen.length, 2);
  });

  it('lets checks in flight end on what they asked when its address changes, and end with the sidecar', async () => {
    await using first = await startGrpcProvider(() => null);
    await using second = await startGrpcProvider(() => null);
    await using app = await startEchoApp();
    const documents = (port: number): string =>
      askingDocuments(app.port, [{ kind: 'grpc', port }], customPolicy('authz', NOT_OPEN));
    using mesh = await FlowMesh.create({ appPort: app.port, documents: documents(first.port) });
    await using sidecar = await mesh.inProcess();
    const before = statusOf(sidecar);
    const { stream } = await first.call();
    const from = sidecar.logs.length;
    mesh.documents(documents(second.port));
    await sidecar.waitForLog('reloaded', from);
    using client = await connectRaw({ port: sidecar.port });
    await client.write(get('/'));
    const { cancelled } = await second.call();
    answerCall(stream, { status: { code: 0 } });
    assert.equal(await before, 200);
    await sidecar.close();
    await cancelled;
    assert.deepEqual([first.calls.length, app.seen.length], [1, 1]);
  });

  it('asks each of several providers, in the order of their names, and all must allow', async () => {
    const asked: string[] = [];
    const codes = { a: 0, ab: 0 };
    await using first = await startGrpcProvider(() => {
      asked.push('a');
      return { status: { code: codes.a } };
    });
    await using second = await startGrpcProvider(() => {
      asked.push('ab');
      return { status: { code: codes.ab } };
    });
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [
          { kind: 'grpc', port: second.port, name: 'ab' },
          { kind: 'grpc', port: first.port, name: 'a' },
        ],
        customPolicy('ab', NOT_OPEN) + customPolicy('a', '[{to: [{operation: {paths: ["/", "/a"]}}]}]'),
      ),
    });
    await using sidecar = await mesh.inProcess();
    const run = async (target: string): Promise<string> => {
      asked.length = 0;
      return `${await statusOf(sidecar, target)} ${asked.join(' ')}`;
    };
    assert.equal(await run('/'), '200 a ab');
    assert.equal(await run('/b'), '200 ab');
    assert.equal(await run('/open'), '200 ');
    codes.a = 7;
    assert.equal(await run('/'), '403 a');
    assert.equal(await run('/b'), '200 ab');
    codes.a = 0;
    codes.ab = 7;
    assert.equal(await run('/a'), '403 a ab');
  });

  it('asks an HTTP provider over connections that are kept', async () => {
    await using authz = await startRecordingUpstream({
      answer: ({ target }) =>
        target === '/check/no'
          ? 'HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 2\r\n\r\nno'
          : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    });
    const app = await startEchoApp();
    const mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'http', port: authz.port, fields: 'pathPrefix: /check' }],
        customPolicy('authz', NOT_OPEN),
      ),
    });
    const sidecar = await mesh.inProcess();
    assert.equal(await statusOf(sidecar, '/yes'), 200);
    assert.equal(await statusOf(sidecar, '/no'), 302);
    assert.equal(app.seen.length, 1);
    assert.equal(authz.connections.length, 1);
    await sidecar.close();
    await app.close();
    mesh[Symbol.dispose]();
  });

  it('judges TCP connections before the app is dialled', async () => {
    let code = 7;
    await using provider = await startGrpcProvider(() => ({ status: { code } }));
    await using app = await startRecordingUpstream({ script: ({ socket }) => socket.end('hello') });
    const mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: provider.port }],
        customPolicy('authz', '[{}]'),
        'tcp',
      ),
    });
    const sidecar = await mesh.inProcess();
    using refused = await mesh.connect(sidecar.port, ['istio']);
    assert.equal((await refused.readToEnd()).bytes.length, 0);
    assert.equal(app.connections.length, 0);
    const { attributes } = (await provider.call()).check;
    assert.equal(attributes?.source?.principal, SLEEP_ID);
    assert.equal(attributes.request, undefined);
    code = 0;
    using served = await mesh.connect(sidecar.port, ['istio']);
    assert.equal((await served.readToEnd()).bytes.toString(), 'hello');
    await sidecar.close();
    mesh[Symbol.dispose]();
  });

  it('asks another provider from the next request on after a reload', async () => {
    await using first = await startGrpcProvider(() => ({ status: { code: 0 } }));
    await using second = await startGrpcProvider(() => ({ status: { code: 7 } }));
    await using app = await startEchoApp();
    const documents = (port: number): string =>
      askingDocuments(app.port, [{ kind: 'grpc', port }], customPolicy('authz', NOT_OPEN));
    using mesh = await FlowMesh.create({ appPort: app.port, documents: documents(first.port) });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    await client.write(get('/'));
    assert.equal((await client.readResponse()).status, 200);
    mesh.documents(documents(second.port));
    let status = 200;
    while (status === 200) {
      await client.write(get('/'));
      ({ status } = await client.readResponse());
    }
    assert.equal(status, 403);
    assert.equal(first.calls.length, app.seen.length);
  });
});

/** A provider with a certificate of the mesh, as behind its own sidecar. */
class MeshProvider implements AsyncDisposable {
  readonly server: Http2SecureServer;
  /** Serial numbers of the certificates that callers showed, by connection. */
  readonly callers: string[] = [];
  readonly alpn: string[] = [];
  readonly #sockets = new Set<TLSSocket>();

  constructor(own: Issued, ca: TestCa) {
    this.server = createSecureServer({
      cert: own.chainPem,
      key: own.keyPem,
      ca: ca.rootPem,
      requestCert: true,
      rejectUnauthorized: true,
    });
    this.server.on('secureConnection', (socket: TLSSocket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      this.callers.push(socket.getPeerX509Certificate()?.serialNumber ?? '');
      this.alpn.push(String(socket.alpnProtocol));
    });
    this.server.on('sessionError', () => {});
    this.server.on('stream', (stream: ServerHttp2Stream) => {
      stream.on('error', () => {});
      stream.resume();
      stream.on('end', () => answerCall(stream, { status: { code: 0 } }));
    });
  }

  async listen(): Promise<number> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return (this.server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

describe('a provider behind a sidecar', () => {
  it('is asked over mTLS, must be who its service says, and sees a new certificate after a rotation', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: '' });
    await using provider = new MeshProvider(await mesh.ca.issue({ spiffeId: AUTHZ_ID }), mesh.ca);
    const port = await provider.listen();
    const documents = (destinationRule: string): string =>
      askingDocuments(
        app.port,
        [{ kind: 'grpc', port, destinationRule, serviceAccount: 'authz' }],
        customPolicy('authz', NOT_OPEN),
      );
    mesh.documents(documents('trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}'));
    await using sidecar = await mesh.inProcess();
    assert.equal(await statusOf(sidecar), 200);
    assert.equal(await statusOf(sidecar), 200);
    assert.deepEqual(provider.alpn, ['h2']);
    const [before] = provider.callers;

    mesh.writeIdentity(await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' }));
    while (provider.callers.length === 1) assert.equal(await statusOf(sidecar), 200);
    assert.notEqual(provider.callers[1], before);

    mesh.documents(
      documents(
        'trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/foo/sa/other"]}}',
      ),
    );
    const seen = app.seen.length;
    let status = 200;
    let passed = 0;
    while (status === 200) {
      status = await statusOf(sidecar);
      if (status === 200) passed++;
    }
    assert.equal(status, 403);
    assert.equal(await statusOf(sidecar), 403);
    assert.equal(app.seen.length, seen + passed);
    const line = await sidecar.waitForLog('ext_authz_error');
    assert.match(String(line['why']), /cannot connect to 127\.0\.0\.1/);
  });
});
