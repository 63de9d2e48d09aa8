import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import net from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FlowMesh, get, peerAuthentication, service } from '../flow/flow-mesh.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { spawnPostern } from '../support/spawn-postern.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Resolves once connections to the port are refused. */
async function untilRefused(port: number): Promise<void> {
  for (;;) {
    const socket = net.connect({ host: '127.0.0.1', port });
    try {
      await once(socket, 'connect');
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
      return;
    } finally {
      socket.destroy();
    }
  }
}

describe('SIGTERM', () => {
  it('lets requests under way finish, ends idle connections, refuses new ones, and exits 0 with the access log whole', async () => {
    await using app = await startRecordingUpstream({
      answer: ({ target }) => (target === '/slow' ? null : OK),
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'accessLog: {path: ./access.log, format: json}',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const port = ready.ports.intercept!;
    using idle = await connectRaw({ port });
    assert.equal((await idle.request(get('/first'))).status, 200);
    using untouched = await connectRaw({ port });
    using busy = await mesh.connect(port);
    await busy.write(get('/slow'));
    const slow = await app.request(1);

    proxy.signal('SIGTERM');
    assert.equal((await idle.readToEnd()).ending, 'end');
    await untouched.readToEnd();
    await untilRefused(port);
    const answer = await fetch(`http://127.0.0.1:${ready.ports.readiness}/healthz/ready`);
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /^NOT READY: draining: /);

    slow.connection.socket.write(OK);
    const response = await busy.readResponse();
    assert.equal(response.status, 200);
    assert.equal(response.header('connection'), 'close');
    assert.deepEqual(await proxy.exit(), { code: 0, signal: null });
    const lines = readFileSync(mesh.path('access.log'), 'utf8').trimEnd().split('\n');
    const paths = lines.map((line) => (JSON.parse(line) as { path: string }).path);
    assert.deepEqual(paths, ['/first', '/slow']);
  });

  it('cuts tunnels after drain and requests after drainMax', async () => {
    await using app = await startRecordingUpstream({ script: () => {} });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      // HTTP in the clear, TCP inside Istio's TCP ALPN: both on one port that nothing names.
      documents: peerAuthentication('PERMISSIVE'),
      settings: 'drain: 100ms\ndrainMax: 400ms',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const port = ready.ports.intercept!;
    using tunnel = await mesh.connect(port, ['istio']);
    await tunnel.write('open');
    await app.connection(0);
    using stuck = await connectRaw({ port });
    await stuck.write(get('/never'));
    await app.connection(1);

    const began = performance.now();
    proxy.signal('SIGINT');
    await tunnel.readToEnd();
    const tunnelMs = performance.now() - began;
    assert.equal(stuck.ending, null, 'the request is still waited for');
    await stuck.readToEnd();
    const requestMs = performance.now() - began;
    assert.deepEqual(await proxy.exit(), { code: 0, signal: null });
    assert.ok(tunnelMs >= 95, `the tunnel was cut after ${tunnelMs} ms`);
    assert.ok(requestMs >= 395, `the request was cut after ${requestMs} ms`);
  });

  it('exits at once with 1 at a second signal, but not for the echo that npm and a terminal make of one', async () => {
    await using app = await startRecordingUpstream({ answer: () => null });
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    using busy = await connectRaw({ port: ready.ports.intercept! });
    await busy.write(get('/never'));
    await app.request();
    proxy.signal('SIGINT');
    proxy.signal('SIGTERM');
    const { time } = await proxy.waitForLog(({ code }) => code === 'draining');
    assert.equal(busy.ending, null, 'the second within 200 ms is the same');
    // The signal is counted where it arrives: only time can tell a second one from an echo.
    while (Date.now() - Date.parse(String(time)) < 300) {
      await new Promise((resolve) => {
        setTimeout(resolve, 20);
      });
    }
    assert.deepEqual(await proxy.stop('SIGTERM'), { code: 1, signal: null });
    await busy.readToEnd();
  });

  it('while starting ends in good order, whenever it comes', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    const began = performance.now();
    {
      await using whole = spawnPostern(['proxy', '--config', mesh.configFile]);
      await whole.ready();
      assert.equal((await whole.stop()).code, 0);
    }
    const startMs = performance.now() - began;
    for (const part of [0.3, 0.5, 0.7, 0.8, 0.9]) {
      await using proxy = spawnPostern(['proxy', '--config', mesh.configFile]);
      await new Promise((resolve) => {
        setTimeout(resolve, startMs * part);
      });
      const exit = await proxy.stop();
      // Before the program runs, the signal is Node's own to take.
      assert.ok(exit.code === 0 || exit.signal === 'SIGTERM', JSON.stringify(exit) + proxy.stderr);
      assert.doesNotMatch(proxy.stderr, /exception/);
    }
  });
});

describe('an exception that nobody expected', () => {
  it('ends the process with 70 and one report, whether thrown or rejected', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    for (const fault of ["throw new Error('planted')", "Promise.reject(new Error('planted'))"]) {
      const plant = mesh.folder.write(
        'plant.mjs',
        `process.on('SIGUSR2', () => { setImmediate(() => { ${fault}; }); });`,
      );
      const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
      const { proxy } = await mesh.proxy([], { command: [process.execPath, '--import', plant, main] });
      await using _ = proxy;
      assert.deepEqual(await proxy.stop('SIGUSR2'), { code: 70, signal: null });
      assert.match(proxy.stderr, /^postern: unexpected exception, please report it: Error: planted$/m);
    }
  });
});

describe('SIGUSR1', () => {
  it('opens the access log anew, so that a rotated file is let go', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'accessLog: {path: ./access.log, format: json}',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    using client = await connectRaw({ port: ready.ports.intercept! });
    await client.request(get('/before'));
    renameSync(mesh.path('access.log'), mesh.path('access.log.1'));
    proxy.signal('SIGUSR1');
    while (!existsSync(mesh.path('access.log'))) {
      await new Promise((resolve) => {
        setTimeout(resolve, 5);
      });
    }
    await client.request(get('/after'));
    assert.equal((await proxy.stop()).code, 0);
    // What was not written yet when the signal came goes to the new file: each line is in exactly one.
    const older = readFileSync(mesh.path('access.log.1'), 'utf8');
    const newer = readFileSync(mesh.path('access.log'), 'utf8');
    assert.match(older + newer, /^\{.*"\/before".*\}\n\{.*"\/after".*\}\n$/);
    assert.match(newer, /"\/after"/);
  });
});
