import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StartError } from '../../src/index.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { freePort } from '../support/free-port.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { readFileSync } from 'node:fs';
import type { PosternProcess, ReadyLine } from '../support/spawn-postern.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { WorkerCrash } from '../support/worker-crash.ts';
import { FlowMesh, get, meshConfig, peerAuthentication, service } from './flow-mesh.ts';

type Ports = Required<ReadyLine['ports']>;

interface Dump {
  readonly connections: {
    readonly count: number;
    readonly first: readonly { worker: number; id: string; remote: { port: number } }[];
  };
}

async function dumpOf(admin: number): Promise<Dump['connections']> {
  const response = await fetch(`http://127.0.0.1:${admin}/config_dump`, { headers: { connection: 'close' } });
  return ((await response.json()) as Dump).connections;
}

/** Text of the admin server's answer. */
async function ask(admin: number, target: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${admin}${target}`, { headers: { connection: 'close' } })).text();
}

async function statOf(admin: number, name: string): Promise<number> {
  const text = await ask(admin, '/stats');
  const value = text.split('\n').find((line) => line.replace(/: \d+$/, '').endsWith(name));
  assert.ok(value !== undefined, `${name} in ${text}`);
  return Number(value.slice(value.lastIndexOf(' ')));
}

/** Clients by the number of the worker that has their connection. */
async function byWorker(admin: number, clients: readonly RawClient[]): Promise<Map<number, RawClient[]>> {
  const { first } = await dumpOf(admin);
  const workers = new Map<number, RawClient[]>([
    [1, []],
    [2, []],
  ]);
  for (const client of clients) {
    const shown = first.find(({ remote }) => remote.port === client.tcp.localPort);
    assert.ok(shown !== undefined, 'every connection is in the dump');
    workers.get(shown.worker)!.push(client);
  }
  return workers;
}

/** Plain connections, each with one request answered. */
async function connectMany(port: number, count: number): Promise<RawClient[]> {
  const clients: RawClient[] = [];
  for (let opened = 0; opened < count; opened++) {
    const client = await connectRaw({ port });
    clients.push(client);
    assert.equal((await client.request(get())).status, 200);
  }
  return clients;
}

interface Running extends AsyncDisposable {
  readonly mesh: FlowMesh;
  readonly proxy: PosternProcess;
  readonly ports: Ports;
  readonly crash: WorkerCrash;
}

/** `postern proxy` with two workers before an echo app. */
async function start(documents = '', settings = ''): Promise<Running> {
  const app = await startEchoApp();
  const mesh = await FlowMesh.create({
    appPort: app.port,
    documents: documents + service('http', app.port),
    settings: `concurrency: 2\n${settings}`,
  });
  const crash = new WorkerCrash(mesh.folder);
  const { proxy, ready } = await mesh.proxy([], { command: crash.command });
  return {
    mesh,
    proxy,
    ports: ready.ports as Ports,
    crash,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await app.close();
      mesh.folder.remove();
    },
  };
}

const MANY = 400;

describe('two workers', () => {
  it('each get 40 to 60 % of new connections, and their counters are one sum', async (t) => {
    await using running = await start();
    const { admin, intercept } = running.ports;
    const clients = await connectMany(intercept, MANY);
    try {
      const workers = await byWorker(admin, clients);
      const share = workers.get(1)!.length / MANY;
      t.diagnostic(`worker 1 has ${(share * 100).toFixed(1)} %`);
      assert.ok(share >= 0.4 && share <= 0.6, `${share}`);
      const { count, first } = await dumpOf(admin);
      assert.equal(count, MANY);
      assert.equal(new Set(first.map(({ id }) => id)).size, MANY, 'ids are unique');
      const listener = `listener.127.0.0.1_${intercept}`;
      assert.equal(await statOf(admin, `${listener}.downstream_cx_total`), MANY);
      assert.equal(await statOf(admin, `${listener}.downstream_cx_active`), MANY);
      assert.equal(await statOf(admin, 'downstream_rq_2xx'), MANY);
      assert.equal(await statOf(admin, 'server.concurrency'), 2);
      assert.equal(await statOf(admin, 'server.workers_live'), 2);
    } finally {
      for (const client of clients) client.close();
    }
  });

  it('are told of new documents and of a new certificate, both', async () => {
    await using running = await start(peerAuthentication('PERMISSIVE'));
    const { mesh, ports, proxy } = running;
    const { intercept } = ports;
    const clients = await connectMany(intercept, 24);
    const workers = await byWorker(ports.admin, clients);
    assert.ok(workers.get(1)!.length > 0 && workers.get(2)!.length > 0);

    let from = proxy.logs.length;
    const next = await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    mesh.writeIdentity(next);
    await proxy.waitForLog(({ code, serial }) => code === 'secret' && serial === next.serial, 'it', from);
    for (let handshake = 0; handshake < 24; handshake++) {
      using member = await mesh.connect(intercept);
      assert.equal(member.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(), next.serial);
    }

    from = proxy.logs.length;
    mesh.documents(readFileSync(mesh.path('mesh/documents.yaml'), 'utf8').replace('PERMISSIVE', 'STRICT'));
    await proxy.waitForLog(({ code }) => code === 'reloaded', 'the reload', from);
    await Promise.all(clients.map((client) => withDeadline(client.readToEnd(), 1_000, 'its end')));
    using member = await mesh.connect(intercept);
    assert.equal((await member.request(get())).status, 200);
  });

  it('share one standard output: the ready line, then whole lines of both', async () => {
    await using running = await start('', 'accessLog: {path: /dev/stdout, format: json}');
    const { ports, proxy } = running;
    const clients = await connectMany(ports.intercept, 60);
    for (const client of clients) client.close();
    assert.deepEqual(await proxy.stop(), { code: 0, signal: null });
    const [ready, ...lines] = proxy.stdoutLines;
    assert.match(ready ?? '', /^\{"ready":true/);
    assert.equal(lines.length, 60);
    for (const line of lines)
      assert.equal((JSON.parse(line) as { response_code: number }).response_code, 200);
  });

  it('both drain: what is under way is answered, what idles ends, and the exit is 0', async () => {
    await using app = await startRecordingUpstream({
      answer: ({ target }) => (target === '/late' ? null : 'HTTP/1.1 204 No Content\r\n\r\n'),
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'concurrency: 2',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const clients = await Promise.all(
      Array.from({ length: 16 }, () => connectRaw({ port: ready.ports.intercept! })),
    );
    for (const client of clients.slice(0, 8)) await client.write(get('/late'));
    for (const client of clients.slice(8)) await client.request(get('/now'));
    const late = await Promise.all(Array.from({ length: 16 }, (_none, index) => app.request(index)));
    const workers = await byWorker(ready.ports.admin!, clients);
    assert.ok(workers.get(1)!.length > 0 && workers.get(2)!.length > 0);
    proxy.signal('SIGTERM');
    await Promise.all(clients.slice(8).map((client) => client.readToEnd()));
    for (const { target, connection } of late)
      if (target === '/late') connection.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok');
    const answers = await Promise.all(clients.slice(0, 8).map((client) => client.readResponse()));
    assert.ok(answers.every(({ status }) => status === 200));
    assert.deepEqual(await proxy.exit(), { code: 0, signal: null });
  });

  it('have the limits of the process between them', async () => {
    await using running = await start('', 'limits: {maxConnections: 8}');
    const clients: RawClient[] = [];
    try {
      for (let tried = 0; tried < 40; tried++)
        clients.push(await connectRaw({ port: running.ports.intercept }));
      await running.proxy.waitForLog(({ code }) => code === 'too_many_connections');
      assert.ok((await dumpOf(running.ports.admin)).count <= 8);
    } finally {
      for (const client of clients) client.close();
    }
  });
});

describe('a worker that ends by an exception', () => {
  it('takes its own connections with it and no others, and another one serves in its place', async () => {
    await using running = await start();
    const { crash, ports, proxy } = running;
    const { admin, intercept } = ports;
    const clients = await connectMany(intercept, 40);
    const workers = await byWorker(admin, clients);
    const [lost, kept] = [workers.get(1)!, workers.get(2)!];
    assert.ok(lost.length > 0 && kept.length > 0);
    const totalBefore = await statOf(admin, `${intercept}.downstream_cx_total`);

    const load = new AbortController();
    let requests = 0;
    const carry = async (client: RawClient): Promise<void> => {
      while (!load.signal.aborted) {
        assert.equal((await client.request(get())).status, 200);
        requests++;
      }
    };
    const carried = Promise.all(kept.map(carry));
    crash.endNow(1);
    await Promise.all(lost.map((client) => withDeadline(client.readToEnd(), 5_000, 'its end')));
    const ended = await proxy.waitForLog(({ code }) => code === 'worker_ended');
    crash.letLive(1);
    assert.deepEqual([ended['worker'], ended['connectionsLost']], [1, lost.length]);
    assert.match(String(ended['why']), /an end that the test asks for/);
    await proxy.waitForLog(({ code }) => code === 'worker_restarted');
    const requestsThen = requests;
    while (requests < requestsThen + kept.length * 10) await new Promise((resume) => setImmediate(resume));
    load.abort();
    await carried;

    assert.equal(await statOf(admin, `${intercept}.downstream_cx_active`), kept.length);
    assert.equal(await statOf(admin, `${intercept}.downstream_cx_total`), totalBefore);
    const fresh = await connectMany(intercept, 30);
    const shares = await byWorker(admin, fresh);
    assert.ok(shares.get(1)!.length > 0 && shares.get(2)!.length > 0, 'the new one serves too');
    assert.equal(await statOf(admin, `${intercept}.downstream_cx_total`), totalBefore + 30);
    const prometheus = await ask(admin, '/stats/prometheus');
    assert.match(prometheus, /^postern_worker_restarts_total 1$/m);
    assert.match(prometheus, new RegExp(`^postern_worker_connections_lost_total ${lost.length}$`, 'm'));
    assert.match(prometheus, /^postern_workers_live 2$/m);
    for (const client of [...clients, ...fresh]) client.close();
  });

  it('is brought up to date: documents, certificate and levels as the others have them', async () => {
    await using running = await start(peerAuthentication('PERMISSIVE'));
    const { crash, mesh, ports, proxy } = running;
    const next = await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    mesh.writeIdentity(next);
    await proxy.waitForLog(({ code, serial }) => code === 'secret' && serial === next.serial);
    mesh.documents(readFileSync(mesh.path('mesh/documents.yaml'), 'utf8').replace('PERMISSIVE', 'STRICT'));
    await proxy.waitForLog(({ code }) => code === 'reloaded');
    await fetch(`http://127.0.0.1:${ports.admin}/logging?intercept=debug`, { method: 'POST' });
    for (const worker of [1, 2]) {
      const from = proxy.logs.length;
      crash.endNow(worker);
      await proxy.waitForLog(({ code }) => code === 'worker_ended', 'its end', from);
      crash.letLive(worker);
      await proxy.waitForLog(({ code }) => code === 'worker_restarted', 'its successor', from);
    }
    const from = proxy.logs.length;
    for (let connection = 0; connection < 16; connection++) {
      using member = await mesh.connect(ports.intercept);
      assert.equal(member.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(), next.serial);
      assert.equal((await member.request(get())).status, 200);
      using plain = await connectRaw({ port: ports.intercept });
      await plain.write(get());
      assert.equal((await plain.readToEnd()).bytes.length, 0);
      using silent = await connectRaw({ port: ports.intercept });
      silent.close();
    }
    for (const wanted of [1, 2])
      await proxy.waitForLog(
        ({ code, worker }) => code === 'closed_while_sniffing' && worker === wanted,
        'a debug line',
        from,
      );
  });

  for (const dying of [1, 2]) {
    it(`in the middle of a reload does not keep the new documents from coming into force (worker ${dying})`, async () => {
      await using running = await start(peerAuthentication('PERMISSIVE'));
      const { crash, mesh, ports, proxy } = running;
      crash.endAtSnapshot(dying);
      mesh.documents(readFileSync(mesh.path('mesh/documents.yaml'), 'utf8').replace('PERMISSIVE', 'STRICT'));
      await proxy.waitForLog(({ code }) => code === 'reloaded');
      await proxy.waitForLog(({ code }) => code === 'worker_restarted');
      for (let connection = 0; connection < 16; connection++) {
        using plain = await connectRaw({ port: ports.intercept });
        await plain.write(get());
        assert.equal((await plain.readToEnd()).bytes.length, 0);
      }
      assert.equal(proxy.logs.filter(({ code }) => code === 'worker_ended').length, 1);
    });
  }

  it('makes the sidecar unready when it cannot be started three times in a row, and ready once it can', async () => {
    await using running = await start();
    const { crash, ports, proxy } = running;
    crash.failStarts(2, true);
    crash.endNow(2);
    await proxy.waitForLog(({ code }) => code === 'not_ready');
    crash.letLive(2);
    const ready = `http://127.0.0.1:${ports.readiness}/healthz/ready`;
    const refused = await fetch(ready, { headers: { connection: 'close' } });
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /worker_failed: worker 2 ended 3 times.*a start that the test fails/);
    const clients = await connectMany(ports.intercept, 10);
    for (const client of clients) client.close();
    const from = proxy.logs.length;
    crash.failStarts(2, false);
    await proxy.waitForLog(({ code }) => code === 'ready', 'to be ready again', from);
    assert.equal((await fetch(ready, { headers: { connection: 'close' } })).status, 200);
    assert.equal(proxy.stdoutLines.length, 1, 'the ready line comes once');
  });
});

describe('createSidecar with workers', () => {
  it('refuses filters, which cannot go to another thread', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    const filter = { name: 'mine' };
    for (const concurrency of ['2', '0'])
      await assert.rejects(mesh.inProcess([filter], { concurrency }), (error) => {
        assert.ok(error instanceof StartError);
        assert.match(error.message, /filters.*set concurrency: 1/);
        return true;
      });
  });

  it('gives the log lines of workers to writeLog, and ends every thread', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess([], { concurrency: '2' });
    for (let connection = 0; connection < 16; connection++) {
      using plain = await connectRaw({ port: sidecar.port });
      await plain.write(get());
      await plain.readToEnd();
    }
    const seen = new Set(sidecar.logsOf('no_filter_chain_match').map(({ worker }) => worker));
    assert.deepEqual(seen, new Set([1, 2]));
    await sidecar.close();
    await assert.rejects(connectRaw({ port: sidecar.port }), /ECONNREFUSED/);
  });

  it('opens a listener that a reload adds in all of them, at one port', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess([], { concurrency: '2' });
    assert.equal(sidecar.ports.ingress, undefined);
    const port = await freePort();
    const from = sidecar.logs.length;
    mesh.documents(service('http', app.port) + ingress(port, app.port));
    await sidecar.waitForLog('reloaded', from);
    assert.deepEqual(sidecar.ports.ingress, { [port]: port });
    const clients = await connectMany(port, 24);
    const workers = await byWorker(sidecar.ports.admin, clients);
    assert.ok(workers.get(1)!.length > 0 && workers.get(2)!.length > 0);
    for (const client of clients) client.close();
  });

  it('keeps what is in force in all of them when new documents cannot be used', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess([], { concurrency: '2' });
    const from = sidecar.logs.length;
    mesh.documents(service('http', app.port) + meshConfig('accessLogFile: /nowhere/a/b'));
    const line = await sidecar.waitForLog('config_invalid', from);
    assert.match(JSON.stringify(line['errors']), /\/nowhere\/a\/b/);
    for (const client of await connectMany(sidecar.port, 16)) client.close();
  });
});

describe('the ready line', () => {
  it('has the listeners of Sidecar documents by the port that they name', async () => {
    await using app = await startEchoApp();
    const port = await freePort();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port) + ingress(port, app.port),
      settings: 'concurrency: 2',
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const { ports } = ready as unknown as { ports: Record<string, unknown> };
    assert.deepEqual(Object.keys(ports), ['intercept', 'admin', 'readiness', 'metrics', 'ingress']);
    assert.deepEqual(ports['ingress'], { [port]: port });
    using client = await connectRaw({ port });
    assert.equal((await client.request(get())).status, 200);
  });
});

/** A Sidecar document with one listener of its own. */
function ingress(port: number, appPort: number): string {
  return [
    'apiVersion: networking.istio.io/v1',
    'kind: Sidecar',
    'metadata: {name: default, namespace: foo}',
    'spec:',
    '  ingress:',
    `  - {port: {number: ${port}, protocol: HTTP, name: http}, captureMode: NONE, bind: 127.0.0.1, defaultEndpoint: "127.0.0.1:${appPort}"}`,
    '---',
    '',
  ].join('\n');
}
