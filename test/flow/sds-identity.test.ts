import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { createSidecar, StartError } from '../../src/index.ts';
import { certificateOf, give, HandMadeServer, rootsOf, secretOf } from '../identity/sds-fixture.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { activeResources, assertNoLeak } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { spawnPostern, startProxy, type LogLine } from '../support/spawn-postern.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { get, MESH_ALPN, meshConfig, peerAuthentication } from './flow-mesh.ts';
import { SdsMesh } from './sds-mesh.ts';

/** GET of an own server; a connection of its own. */
async function ask(
  port: number,
  target: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${target}`, { headers: { connection: 'close' } });
  return { status: response.status, body: await response.text() };
}

/** Asks until the answer fits. */
async function askUntil(port: number, target: string, fits: RegExp): Promise<string> {
  let body = '';
  const loop = async (): Promise<string> => {
    for (;;) {
      ({ body } = await ask(port, target));
      if (fits.test(body)) return body;
    }
  };
  return withDeadline(loop(), 10_000, String(fits), () => body.slice(0, 2_000));
}

const isCode =
  (code: string) =>
  (line: LogLine): boolean =>
    line['code'] === code;

const READY = '/healthz/ready';

for (const concurrency of [1, 2]) {
  describe(`a sidecar with identity.sds and ${concurrency === 1 ? 'one thread' : 'two workers'}`, () => {
    const settings = `concurrency: ${concurrency}\naccessLog: {path: /dev/stdout}`;

    it('listens before its server is there, refuses mTLS, says what it waits for, and is ready once it came', async () => {
      await using app = await startEchoApp();
      await using sds = await SdsMesh.create(app.port, peerAuthentication('PERMISSIVE'), settings);
      await using proxy = spawnPostern(['proxy', '--config', sds.configFile]);
      const listening = await proxy.waitForLog(isCode('listening'));
      const [intercept, readiness, metrics] = ['intercept', 'readiness', 'metrics'].map((name) =>
        Number(listening[name]),
      );
      assert.ok(intercept !== undefined && readiness !== undefined && metrics !== undefined);
      const state = JSON.parse(await askUntil(readiness, `${READY}?format=json`, /agent\.sock yet: /)) as {
        ready: boolean;
        reasons: { code: string; message: string; since: string }[];
      };
      assert.equal(state.ready, false);
      assert.deepEqual(
        state.reasons.map(({ code }) => code),
        ['identity_missing'],
      );
      assert.match(state.reasons[0]!.message, /^no certificate from unix:.*agent\.sock yet: .*ENOENT/);
      assert.match(state.reasons[0]!.since, /^\d{4}-/);
      assert.equal((await ask(readiness, READY)).status, 503);
      assert.match((await ask(metrics, '/metrics')).body, /^postern_sds_connected 0$/m);
      await assert.rejects(sds.mesh.connect(intercept));
      await proxy.waitForLog(isCode('tls_no_secret'));
      using plain = await connectRaw({ port: intercept });
      assert.equal((await plain.request(get())).status, 200, 'plaintext needs no identity');
      assert.equal(proxy.stdout, '', 'not ready, so nothing is on standard output');

      await sds.startServer();
      const ready = await proxy.ready();
      assert.equal(ready.ports.intercept, intercept);
      assert.equal((await ask(readiness, READY)).body, 'LIVE\n');
      using member = await sds.mesh.connect(intercept);
      assert.equal((await member.request(get())).status, 200);
      assert.match((await ask(metrics, '/metrics')).body, /^postern_sds_connected 1$/m);
      assert.deepEqual(await proxy.stop(), { code: 0, signal: null });
      assert.match(proxy.stdoutLines[0] ?? '', /^\{"ready":true/);
      assert.equal(proxy.stdoutLines.length, 2, 'the ready line and the request after it');
    });

    it('keeps the last good secret while its server is away, says so once, and takes the next one from it', async () => {
      await using app = await startEchoApp();
      await using sds = await SdsMesh.create(app.port, peerAuthentication('STRICT'), settings);
      await sds.startServer();
      const { proxy, ready } = await startProxy(sds.configFile);
      await using _ = proxy;
      const { intercept = 0, metrics = 0, readiness = 0 } = ready.ports;
      const serves = async (serial: string): Promise<void> => {
        for (let handshake = 0; handshake < 8; handshake++) {
          using member = await sds.mesh.connect(intercept);
          assert.equal(member.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(), serial);
          assert.equal((await member.request(get())).status, 200);
        }
      };
      await sds.stopServer();
      await askUntil(metrics, '/metrics', /^postern_sds_connected 0$/m);
      await serves(sds.mesh.own.serial);
      assert.equal((await ask(readiness, READY)).status, 200);
      await sds.startServer();
      await askUntil(metrics, '/metrics', /^postern_sds_connected 1$/m);
      const lost = proxy.logs.filter(isCode('sds_disconnected'));
      assert.ok(lost.length >= 1 && new Set(lost.map(({ error }) => error)).size === lost.length);

      let from = proxy.logs.length;
      const next = await sds.issue();
      sds.provider.set(secretOf(sds.mesh.ca, next));
      await proxy.waitForLog(({ code, serial }) => code === 'secret' && serial === next.serial, 'it', from);
      await serves(next.serial);

      from = proxy.logs.length;
      sds.provider.set({ ...secretOf(sds.mesh.ca, await sds.issue()), keyPem: next.keyPem });
      const refused = await proxy.waitForLog(isCode('identity_invalid'), 'a refusal', from);
      assert.match(String(refused['why']), /key/);
      await serves(next.serial);
      const scraped = (await ask(metrics, '/metrics')).body;
      assert.match(scraped, /^postern_certificate_rotations_total\{result="success"\} 2$/m);
      assert.match(scraped, /^postern_certificate_rotations_total\{result="refused"\} 1$/m);
      assert.match(scraped, /^postern_certificate_last_success_timestamp_seconds \d{10}$/m);
    });
  });
}

describe('an identity over SDS', () => {
  it('is missing while there is a certificate and no bundle', async () => {
    await using app = await startEchoApp();
    await using sds = await SdsMesh.create(app.port, '');
    using server = await HandMadeServer.listen(sds.socket);
    await using proxy = spawnPostern(['proxy', '--config', sds.configFile]);
    const { readiness } = await proxy.waitForLog(isCode('listening'));
    const streams = await server.accept();
    give(streams.certificate, '1', [certificateOf(sds.mesh.own, sds.mesh.ca)]);
    await askUntil(Number(readiness), READY, /identity_missing: no trust bundle "ROOTCA" from unix:/);
    give(streams.bundle, '1', [rootsOf(sds.mesh.ca)]);
    await proxy.ready();
  });

  it('that runs out while the agent is away makes the sidecar unready until it is back', async () => {
    await using app = await startEchoApp();
    await using sds = await SdsMesh.create(app.port, '');
    await sds.startServer();
    const { proxy, ready } = await startProxy(sds.configFile);
    await using _ = proxy;
    const readiness = ready.ports.readiness!;
    const brief = await sds.issue(new Date(Date.now() + 5_000));
    sds.provider.set(secretOf(sds.mesh.ca, brief));
    await proxy.waitForLog(({ code, serial }) => code === 'secret' && serial === brief.serial);
    await sds.stopServer();
    await askUntil(readiness, READY, /^NOT READY: identity_expired: /);
    sds.provider.set(secretOf(sds.mesh.ca, sds.mesh.own));
    await sds.startServer();
    await askUntil(readiness, READY, /^LIVE$/m);
    assert.equal(proxy.logs.filter(isCode('not_ready')).length, 1);
  });

  it('is taken anew when documents name other trust domains, and refuses those that it does not fit', async () => {
    await using app = await startEchoApp();
    await using sds = await SdsMesh.create(app.port, peerAuthentication('STRICT'));
    const { mesh } = sds;
    await sds.startServer();
    await using sidecar = await mesh.inProcess([], {}, sds.configFile);
    const old = await mesh.ca.issue({ spiffeId: 'spiffe://old.example/ns/foo/sa/sleep' });
    const isLetIn = async (): Promise<boolean> => {
      using client = await mesh.connect(sidecar.port, MESH_ALPN, old);
      await client.write(get());
      return await client.readResponse().then(
        ({ status }) => status === 200,
        () => false,
      );
    };
    assert.equal(await isLetIn(), false);
    const documents = readFileSync(mesh.path('mesh/documents.yaml'), 'utf8');
    let from = sidecar.logs.length;
    mesh.documents(documents + meshConfig('trustDomainAliases: [old.example]'));
    await sidecar.waitForLog('reloaded', from);
    assert.equal(await isLetIn(), true);

    from = sidecar.logs.length;
    mesh.documents(documents + meshConfig('trustDomain: elsewhere.example'));
    await sidecar.waitForLog('config_invalid', from);
    assert.equal(await isLetIn(), true, 'what was in force still is');
    from = sidecar.logs.length;
    const next = await sds.issue();
    sds.provider.set(secretOf(mesh.ca, next));
    assert.equal((await sidecar.waitForLog('secret', from))['serial'], next.serial);
  });
});

describe('a sidecar that waits for SDS', () => {
  it('ends in good order at SIGTERM, without ever having been ready', async () => {
    await using sds = await SdsMesh.create(9, '', 'concurrency: 2');
    await using proxy = spawnPostern(['proxy', '--config', sds.configFile]);
    await proxy.waitForLog(isCode('listening'));
    assert.deepEqual(await proxy.stop(), { code: 0, signal: null });
    assert.equal(proxy.stdout, '');
  });

  it('is not resolved by createSidecar before it is ready, and is given up by a signal', async () => {
    await using sds = await SdsMesh.create(9, '');
    const before = activeResources();
    const giveUp = new AbortController();
    const waiting = Promise.withResolvers<void>();
    const options = {
      config: sds.configFile,
      writeLog: (line: string): void => {
        if (line.includes('"listening"')) waiting.resolve();
      },
    };
    const starting = createSidecar({ ...options, signal: giveUp.signal });
    starting.catch(() => {});
    await waiting.promise;
    giveUp.abort();
    await assert.rejects(starting, (error) => error instanceof StartError && /closed/.test(error.message));
    await assertNoLeak(before);
    await assert.rejects(createSidecar({ ...options, signal: AbortSignal.abort() }), StartError);
    await assertNoLeak(before);

    const patient = createSidecar(options);
    await sds.startServer();
    const sidecar = await patient;
    using member = await sds.mesh.connect(sidecar.ports.intercept);
    assert.equal(member.secured.authorized, true);
    await sidecar.close();
  });
});
