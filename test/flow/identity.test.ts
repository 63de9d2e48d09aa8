import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { startEchoApp } from '../support/echo-app.ts';
import type { RawClient } from '../support/raw-client.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, get, MESH_ALPN, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

const SWAPS = 20;

function serialOf(client: RawClient): string {
  return client.secured.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
}

describe('a certificate replaced while serving', () => {
  it('is on every new handshake, resumed ones too, 20 times under load without a failed request', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const port = ready.ports.intercept!;
    const serials = new Set<string>();
    let requests = 0;
    const load = new AbortController();
    const keepAlive = async (): Promise<void> => {
      using client = await mesh.connect(port);
      while (!load.signal.aborted) {
        assert.equal((await client.request(get())).status, 200);
        requests++;
      }
    };
    const reconnect = async (): Promise<void> => {
      while (!load.signal.aborted) {
        using client = await mesh.connect(port);
        serials.add(serialOf(client));
        assert.equal((await client.request(get())).status, 200);
        requests++;
      }
    };
    const swaps = async (): Promise<void> => {
      let session: Buffer | null = null;
      for (let swap = 0; swap < SWAPS; swap++) {
        const from = proxy.logs.length;
        mesh.writeIdentity(await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' }));
        const { serial } = mesh.own;
        await proxy.waitForLog(
          (line) => line['code'] === 'secret' && line['serial'] === serial,
          'the swap',
          from,
        );
        // Who resumes sees no certificate, so the ticket of the one before must lead to a full handshake.
        const seen = await resume(mesh, port, session);
        assert.equal(seen.serial, serial);
        if (swap > 0) assert.equal(seen.reused, false, 'resumed across a swap');
        session = seen.session;
        const again = await resume(mesh, port, session);
        assert.deepEqual([again.reused, again.answered], [true, true], 'resumed while nothing changes');
        // The load meets each certificate as well.
        while (!serials.has(serial)) await nextTurn();
      }
      load.abort();
    };
    await Promise.all([keepAlive(), keepAlive(), reconnect(), swaps()]);
    assert.ok(serials.size >= SWAPS, `${serials.size} serials`);
    assert.ok(requests > SWAPS * 3);
    assert.deepEqual(
      proxy.logs.filter(({ level }) => level !== 'info'),
      [],
    );
  });

  it('stays the old one when the new files are no pair, are cut short or of another mesh', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess();
    const { serial } = mesh.own;
    const other = await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    const foreign = await (await TestCa.create('cluster.local')).issue();
    const expired = await mesh.ca.issue({ expired: true });
    for (const [files, why] of [
      [{ 'chain.pem': other.chainPem }, /key/],
      [{ 'chain.pem': other.chainPem.slice(0, 200) }, /chain\.pem/],
      [{ 'key.pem': '' }, /key/],
      [{ 'chain.pem': foreign.chainPem, 'key.pem': foreign.keyPem }, /root|bundle|chain/],
      [{ 'chain.pem': expired.chainPem, 'key.pem': expired.keyPem }, /expired/],
      [{ 'root.pem': '' }, /root\.pem/],
    ] as const) {
      const from = sidecar.logs.length;
      for (const [name, content] of Object.entries(files)) mesh.folder.write(name, content);
      const line = await sidecar.waitForLog('identity_invalid', from);
      assert.match(String(line['why']), why);
      assert.doesNotMatch(JSON.stringify(line), /PRIVATE KEY/);
      using client = await mesh.connect(sidecar.port);
      assert.equal(serialOf(client), serial);
      assert.equal((await client.request(get())).status, 200);
      mesh.folder.write('root.pem', mesh.ca.rootPem);
    }
  });
});

describe('a root taken out of the bundle', () => {
  it('closes its members’ connections within a second and refuses them from then on', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    const old = await TestCa.create('cluster.local', { commonName: 'old root' });
    const member = await old.issue({ spiffeId: SLEEP_ID });
    mesh.folder.write('root.pem', mesh.ca.rootPem + old.rootPem);
    await using sidecar = await mesh.inProcess();
    using leaving = await mesh.connect(sidecar.port, MESH_ALPN, member);
    using staying = await mesh.connect(sidecar.port);
    assert.equal((await leaving.request(get())).status, 200);
    assert.equal((await staying.request(get())).status, 200);
    const { session } = await resume(mesh, sidecar.port, null, member);

    const from = sidecar.logs.length;
    mesh.folder.write('root.pem', mesh.ca.rootPem);
    const { time } = await sidecar.waitForLog('secret', from);
    await withDeadline(leaving.readToEnd(), 1_000, 'the connection of the old root to end');
    const line = await sidecar.waitForLog('tls_untrusted_certificate', from);
    assert.ok(Date.parse(String(line['time'])) - Date.parse(String(time)) < 1_000);
    assert.equal((await staying.request(get())).status, 200);

    for (const given of [null, session]) {
      const seen = await resume(mesh, sidecar.port, given, member);
      assert.equal(seen.answered, false, given === null ? 'a new handshake' : 'a resumed one');
    }
    assert.equal(app.seen.length, 4, 'only what was let in');
  });
});

describe('an own certificate that runs out', () => {
  it('makes the sidecar unready and says so, and a new one makes it ready again', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const id = 'spiffe://cluster.local/ns/foo/sa/httpbin';
    // Seconds are the grain of X.509 times: what is left is between two and three of them.
    const notAfter = new Date(Date.now() + 3_000);
    mesh.writeIdentity(await mesh.ca.issue({ spiffeId: id, notAfter }));
    await using sidecar = await mesh.inProcess();
    const ask = async (): Promise<Response> =>
      fetch(`http://127.0.0.1:${sidecar.ports.readiness}/healthz/ready?format=json`, {
        headers: { connection: 'close' },
      });
    const first = await ask();
    assert.equal(first.status, 200);
    await first.arrayBuffer();
    let state: unknown = null;
    await withDeadline(
      (async () => {
        for (;;) {
          const response = await ask();
          state = await response.json();
          if (response.status === 503) return;
        }
      })(),
      6_000,
      'the sidecar to be unready',
    );
    const { reasons } = state as { reasons: { code: string; message: string }[] };
    assert.deepEqual(
      reasons.map(({ code }) => code),
      ['identity_expired'],
    );
    const end = new X509Certificate(readFileSync(mesh.path('chain.pem'))).validToDate.toISOString();
    assert.match(reasons[0]!.message, new RegExp(end));

    const from = sidecar.logs.length;
    mesh.writeIdentity(await mesh.ca.issue({ spiffeId: id }));
    await sidecar.waitForLog('secret', from);
    const last = await ask();
    assert.equal(last.status, 200);
    await last.arrayBuffer();
  });
});

interface Resumed {
  readonly serial: string;
  readonly reused: boolean;
  readonly answered: boolean;
  readonly session: Buffer | null;
}

/** One request on a connection that offers a session, if any, and what the server gave. */
async function resume(
  mesh: FlowMesh,
  port: number,
  session: Buffer | null,
  identity = mesh.sleep,
): Promise<Resumed> {
  const socket = tls.connect({
    ...mesh.clientTls(MESH_ALPN, identity),
    host: '127.0.0.1',
    port,
    // Raw sessions are only taken by a client that does not verify; what is tested is the server.
    rejectUnauthorized: false,
    ...(session === null ? {} : { session }),
  });
  const given: Buffer[] = [];
  let text = '';
  socket.on('session', (fresh: Buffer) => {
    given.push(fresh);
  });
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  await withDeadline(
    Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]),
    5_000,
    'a handshake to end',
  );
  const serial = socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
  const reused = socket.isSessionReused();
  const closed = once(socket, 'close');
  socket.write(get('/', 'connection: close'));
  await withDeadline(closed, 5_000, 'the answer');
  return { serial, reused, answered: text.startsWith('HTTP/1.1 200'), session: given.at(-1) ?? null };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

describe('a certificate of another service account than the workload has', () => {
  it('is served, with a warning that names both', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    mesh.writeIdentity(await mesh.ca.issue({ spiffeId: SLEEP_ID }));
    await using sidecar = await mesh.inProcess();
    const warning = await sidecar.waitForLog('identity_of_another_workload');
    assert.match(String(warning['msg']), /sa\/sleep".*\/ns\/foo\/sa\/httpbin"/);
  });
});
