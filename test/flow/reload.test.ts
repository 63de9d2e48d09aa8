import assert from 'node:assert/strict';
import { readFileSync, renameSync } from 'node:fs';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, get, meshConfig, MESH_ALPN, peerAuthentication, service } from './flow-mesh.ts';
import type { InProcess } from './flow-mesh.ts';

/** GET on one of the sidecar's own servers. */
async function ask(
  port: number,
  target: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
  const asked = request({ host: '127.0.0.1', port, path: target, agent: false }, (response) => {
    text(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
  });
  asked.on('error', reject);
  asked.end();
  return withDeadline(promise, 5_000, `an answer to ${target}`);
}

interface ReadyState {
  readonly ready: boolean;
  readonly reasons: readonly unknown[];
  readonly config: {
    readonly generation: number;
    readonly loadedAt: string;
    readonly lastError: string | null;
  };
}

async function readyState(sidecar: InProcess): Promise<ReadyState> {
  const { body } = await ask(sidecar.ports.readiness, '/healthz/ready?format=json');
  return JSON.parse(body) as ReadyState;
}

async function stat(sidecar: InProcess, line: RegExp): Promise<string | undefined> {
  const { body } = await ask(sidecar.ports.admin, '/stats/prometheus');
  return line.exec(body)?.[1];
}

/** Writes documents and waits until they are in force. */
async function reloaded(mesh: FlowMesh, sidecar: InProcess, documents: string): Promise<void> {
  const from = sidecar.logs.length;
  mesh.documents(documents);
  await sidecar.waitForLog('reloaded', from);
}

describe('a change of the documents', () => {
  it('closes plaintext connections within a second when PERMISSIVE becomes STRICT, and leaves mTLS alone', async () => {
    await using app = await startEchoApp();
    const port = service('http', app.port);
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + port,
    });
    await using sidecar = await mesh.inProcess();
    using plain = await connectRaw({ port: sidecar.port });
    using member = await mesh.connect(sidecar.port);
    assert.equal((await plain.request(get())).status, 200);
    assert.equal((await member.request(get())).status, 200);

    await reloaded(mesh, sidecar, peerAuthentication('STRICT') + port);
    await withDeadline(plain.readToEnd(), 1_000, 'the plaintext connection to end');
    assert.equal((await member.request(get())).status, 200, 'the same connection goes on');
    const line = sidecar.logsOf('no_filter_chain_match')[0];
    assert.match(String(line?.['chain']), /plaintext under PERMISSIVE \(PeerAuthentication foo\/default\)/);
    assert.equal((await readyState(sidecar)).config.generation, 2);

    await reloaded(mesh, sidecar, peerAuthentication('DISABLE') + port);
    await withDeadline(member.readToEnd(), 1_000, 'the mTLS connection to end');
  });

  it('closes a plaintext TCP tunnel too, and one that only knocked meets the new mode', async () => {
    await using app = await startRecordingUpstream({ script: () => {} });
    const port = service('tcp', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents: port });
    await using sidecar = await mesh.inProcess();
    using tunnel = await connectRaw({ port: sidecar.port });
    await tunnel.write('hello');
    const connection = await app.connection();
    using knocked = await connectRaw({ port: sidecar.port });
    await reloaded(mesh, sidecar, peerAuthentication('STRICT') + port);
    await withDeadline(tunnel.readToEnd(), 1_000, 'the tunnel to end');
    await connection.ended();
    await knocked.write('hello');
    await knocked.readToEnd();
    assert.equal(app.connections.length, 1);
  });

  it('reaches the next request of an open connection: the path is normalised another way', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    const seen = async (): Promise<string> => {
      const { body } = await client.request(get('/a//b%2fc/../d'));
      return (JSON.parse(body.toString()) as Echo).target;
    };
    assert.equal(await seen(), '/a//d');
    await reloaded(
      mesh,
      sidecar,
      service('http', app.port) + meshConfig('pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}'),
    );
    assert.equal(await seen(), '/a/b/d');
    await reloaded(
      mesh,
      sidecar,
      service('http', app.port) + meshConfig('pathNormalization: {normalization: NONE}'),
    );
    assert.equal(await seen(), '/a//b%2fc/../d');
  });

  it('is swapped in whole when the config folder is a link, as Kubernetes does', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: '' });
    mesh.folder.write('v1/a.yaml', service('http', app.port));
    mesh.folder.write('v2/a.yaml', service('http', app.port) + peerAuthentication('STRICT'));
    mesh.folder.swapLink('..data', 'v1');
    const config = mesh.folder.write(
      'linked.yaml',
      readFileSync(mesh.configFile, 'utf8').replace('[./mesh]', '[./..data]'),
    );
    await using sidecar = await mesh.inProcess([], {}, config);
    using client = await connectRaw({ port: sidecar.port });
    assert.equal((await client.request(get())).status, 200);
    const from = sidecar.logs.length;
    mesh.folder.swapLink('..data', 'v2');
    await sidecar.waitForLog('reloaded', from);
    await client.readToEnd();
  });

  it('closes what is open to a port that is now declared HTTP/2', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess();
    using plain = await connectRaw({ port: sidecar.port });
    using member = await mesh.connect(sidecar.port);
    assert.equal((await plain.request(get())).status, 200);
    assert.equal((await member.request(get())).status, 200);
    await reloaded(mesh, sidecar, service('grpc', app.port));
    await plain.readToEnd();
    await member.readToEnd();
  });

  it('takes another trust domain together with a certificate of it, and later certificates after that', async () => {
    await using app = await startEchoApp();
    const documents = peerAuthentication('STRICT') + service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents });
    await using sidecar = await mesh.inProcess();
    using member = await mesh.connect(sidecar.port);
    assert.equal((await member.request(get())).status, 200);

    const id = 'spiffe://new.example/ns/foo/sa/httpbin';
    const early = sidecar.logs.length;
    mesh.writeIdentity(await mesh.ca.issue({ spiffeId: id }));
    const refusal = await sidecar.waitForLog('identity_invalid', early);
    assert.match(String(refusal['why']), /new\.example.*cluster\.local/);
    await reloaded(mesh, sidecar, documents + meshConfig('trustDomain: new.example'));
    await withDeadline(member.readToEnd(), 1_000, 'the member of the old trust domain to go');

    const own = await mesh.ca.issue({ spiffeId: 'spiffe://new.example/ns/foo/sa/sleep' });
    for (let round = 0; round < 2; round++) {
      using client = await mesh.connect(sidecar.port, MESH_ALPN, own);
      assert.equal(client.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(), mesh.own.serial);
      const { body } = await client.request(get());
      const xfcc = echoedHeader(JSON.parse(body.toString()) as Echo, 'x-forwarded-client-cert');
      assert.equal(xfcc?.split(';')[0], `By=${id}`);
      const from = sidecar.logs.length;
      mesh.writeIdentity(await mesh.ca.issue({ spiffeId: id }));
      await sidecar.waitForLog('secret', from);
    }
    const versions = sidecar.logsOf('secret').map((line) => Number(line['version']));
    assert.deepEqual(
      versions,
      versions.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(versions).size, versions.length, 'no version is used twice');
  });

  it('moves the access log, and keeps the old one when the new cannot be opened', async () => {
    await using app = await startEchoApp();
    const port = service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents: '' });
    const logTo = (file: string): string =>
      port + meshConfig(`accessLogFile: ${mesh.path(file)}`, 'accessLogFormat: "%REQ(:PATH)%\\n"');
    mesh.documents(logTo('a.log'));
    {
      await using sidecar = await mesh.inProcess();
      using client = await connectRaw({ port: sidecar.port });
      await client.request(get('/1'));
      await reloaded(mesh, sidecar, logTo('b.log'));
      await client.request(get('/2'));
      const from = sidecar.logs.length;
      mesh.documents(logTo('absent/c.log'));
      const line = await sidecar.waitForLog('config_invalid', from);
      assert.match(JSON.stringify(line['errors']), /absent\/c\.log/);
      await client.request(get('/3'));
      await reloaded(mesh, sidecar, port);
      await client.request(get('/4'));
      await sidecar.drain();
    }
    assert.equal(readFileSync(mesh.path('a.log'), 'utf8'), '/1\n');
    assert.equal(readFileSync(mesh.path('b.log'), 'utf8'), '/2\n/3\n');
  });

  it('moves the root namespace, and with it the policy for the whole mesh', async () => {
    await using app = await startEchoApp();
    const policy = peerAuthentication('STRICT', 'mesh-root') + service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents: policy });
    await using sidecar = await mesh.inProcess();
    using plain = await connectRaw({ port: sidecar.port });
    assert.equal((await plain.request(get())).status, 200, 'another namespace’s policy');
    await reloaded(mesh, sidecar, policy + meshConfig('rootNamespace: mesh-root'));
    await plain.readToEnd();
  });

  it('lets in and closes out the members of an alias', async () => {
    await using app = await startEchoApp();
    const documents = service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents });
    await using sidecar = await mesh.inProcess();
    const old = await mesh.ca.issue({ spiffeId: 'spiffe://old.example/ns/foo/sa/sleep' });
    using refused = await mesh.connect(sidecar.port, MESH_ALPN, old);
    await refused.write(get());
    assert.equal((await refused.readToEnd()).bytes.length, 0);
    const line = await sidecar.waitForLog('tls_foreign_trust_domain');
    assert.equal(line['peer'], 'spiffe://old.example/ns/foo/sa/sleep');
    assert.match(String(line['hint']), /trustDomainAliases/);

    await reloaded(mesh, sidecar, documents + meshConfig('trustDomainAliases: [old.example]'));
    using member = await mesh.connect(sidecar.port, MESH_ALPN, old);
    assert.equal((await member.request(get())).status, 200);
    await reloaded(mesh, sidecar, documents);
    await withDeadline(member.readToEnd(), 1_000, 'the connection of the alias to end');
    assert.equal(app.seen.length, 1);
  });
});

describe('a reload with an error', () => {
  it('changes nothing, and shows in the log, in /ready and in a metric until one is good', async () => {
    await using app = await startEchoApp();
    const good = peerAuthentication('PERMISSIVE') + service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents: good });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    const refusals = /^postern_config_reloads_total\{result="refused"\} (\d+)$/m;

    for (const [bad, why] of [
      [
        peerAuthentication('STRICT').replace('STRICT', 'STRIKT'),
        /documents\.yaml:4:\d+: spec\.mtls\.mode: .*STRIKT.*STRICT/,
      ],
      [
        `${good}apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: foo}\nspec: {action: DENY}\n`,
        /spec\.rules: DENY without rules|rules/,
      ],
      ['a: [', /documents\.yaml:\d+:\d+: /],
    ] as const) {
      const from = sidecar.logs.length;
      mesh.documents(bad);
      const line = await sidecar.waitForLog('config_invalid', from);
      assert.match(String((line['errors'] as string[])[0]), why);
      const state = await readyState(sidecar);
      assert.equal(state.ready, true, 'a refused reload does not make it unready');
      assert.deepEqual(state.reasons, []);
      assert.equal(state.config.generation, 1);
      assert.match(state.config.lastError ?? '', why);
      assert.equal((await client.request(get())).status, 200, 'the old mode is in force');
    }
    assert.equal(await stat(sidecar, refusals), '3');

    const from = sidecar.logs.length;
    mesh.documents(peerAuthentication('STRICT') + service('http', app.port));
    await sidecar.waitForLog('reloaded', from);
    const { config } = await readyState(sidecar);
    assert.deepEqual([config.generation, config.lastError], [2, null]);
    await client.readToEnd();
  });

  it('is one that finds its folder gone: what is in force stays', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess();
    renameSync(mesh.path('mesh'), mesh.path('moved'));
    await sidecar.waitForLog('config_invalid');
    using plain = await connectRaw({ port: sidecar.port });
    await plain.write(get());
    assert.equal((await plain.readToEnd()).bytes.length, 0, 'still STRICT');
    renameSync(mesh.path('moved'), mesh.path('mesh'));
    while ((await readyState(sidecar)).config.lastError !== null);
    assert.equal((await readyState(sidecar)).config.generation, 1);
  });

  it('is refused when the new trust domain is not the certificate’s', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess();
    using client = await mesh.connect(sidecar.port);
    mesh.documents(meshConfig('trustDomain: example.org') + service('http', app.port));
    const line = await sidecar.waitForLog('config_invalid');
    assert.match(JSON.stringify(line['errors']), /trust domain .*cluster\.local.*example\.org/);
    assert.equal((await client.request(get())).status, 200);
  });
});
