import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { FlowMesh, get, MESH_ALPN, peerAuthentication, service, type Mode } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { longSeconds } from '../support/long-seconds.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';

const CLIENTS = 24;
const MODES: readonly Mode[] = ['STRICT', 'PERMISSIVE', 'DISABLE'];
const PORT_NAMES = ['http', 'tcp', 'unnamed', 'grpc'] as const;
const ALPNS: readonly (readonly string[])[] = [MESH_ALPN, ['istio'], ['istio-h2', 'http/1.1'], ['http/1.1']];

/** Numbers for one run; the seed is printed so that the run can be told from others. */
const seed = Date.now() >>> 0;
let state = seed;
function below(limit: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

function oneOf<T>(list: readonly T[]): T {
  return list[below(list.length)]!;
}

describe('a sidecar whose modes, protocols, certificates and roots change without pause', () => {
  it('survives clients that end at any moment, and keeps nothing of them', async (t) => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings:
        'accessLog: {path: ./access.log}\nlimits: {handshakeTimeoutMs: 500, sniffTimeoutMs: 500, headTimeoutMs: 500}',
    });
    const { proxy, ready } = await mesh.proxy([], { timeoutMs: 60_000 });
    await using _ = proxy;
    const other = await TestCa.create('cluster.local', { commonName: 'other' });
    const identities: readonly (Issued | null)[] = [
      mesh.sleep,
      mesh.sleep,
      await other.issue(),
      await mesh.ca.issue({ expired: true }),
      null,
    ];
    const until = Date.now() + longSeconds(120) * 1_000;
    const sessions: Buffer[] = [];
    let connections = 0;
    let answers = 0;

    const client = async (): Promise<void> => {
      while (Date.now() < until) {
        connections++;
        const raw = net.connect({
          host: '127.0.0.1',
          port: ready.ports.intercept!,
          allowHalfOpen: below(2) === 0,
        });
        raw.on('error', () => {});
        const closed = new Promise<void>((resolve) => {
          raw.once('close', () => resolve());
        });
        const timer = setTimeout(() => raw.destroy(), oneOf([below(30), below(30), 400]));
        if (below(5) === 0) {
          raw.resume();
          raw.write(get());
          if (below(2) === 0) raw.end();
        } else {
          speakTls(raw);
        }
        await closed;
        clearTimeout(timer);
      }
    };

    const speakTls = (raw: net.Socket): void => {
      const identity = oneOf(identities);
      const socket = tls.connect({
        socket: raw,
        rejectUnauthorized: false,
        ALPNProtocols: [...oneOf(ALPNS)],
        maxVersion: oneOf(['TLSv1.3', 'TLSv1.2']),
        ...(identity === null ? {} : { cert: identity.chainPem, key: identity.keyPem }),
        ...(sessions.length === 0 || below(2) === 0 ? {} : { session: oneOf(sessions) }),
      });
      socket.on('error', () => {});
      socket.on('session', (session: Buffer) => {
        if (sessions.length < 20) sessions.push(session);
        else sessions[below(20)] = session;
      });
      socket.on('data', (chunk: Buffer) => {
        if (chunk.includes('200 OK')) answers++;
        if (below(4) === 0) socket.destroy();
      });
      socket.on('secureConnect', () => {
        const step = below(5);
        if (step === 0) socket.destroy();
        else if (step === 1) raw.resetAndDestroy();
        else if (step === 2) socket.end(get());
        else if (step === 3) socket.write(get() + get());
        else socket.write('garbage\0'.repeat(below(100)));
      });
    };

    const changes = async (): Promise<void> => {
      while (Date.now() < until) {
        mesh.documents(peerAuthentication(oneOf(MODES)) + service(oneOf(PORT_NAMES), app.port));
        if (below(2) === 0) {
          mesh.writeIdentity(await mesh.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' }));
        }
        mesh.folder.write('root.pem', below(2) === 0 ? mesh.ca.rootPem + other.rootPem : mesh.ca.rootPem);
        await new Promise((resume) => {
          setTimeout(resume, 130 + below(150));
        });
      }
    };
    await Promise.all([changes(), ...Array.from({ length: CLIENTS }, client)]);

    let stats = '';
    const active = /^(?:listener|http|tcp)\.\S+(?:cx|rq)_active: [1-9]/m;
    // A tunnel whose client has gone half lives until the app ends its side: node:http waits six seconds for that.
    const giveUpAt = Date.now() + 15_000;
    const endedAt = Date.now();
    do {
      stats = await (await fetch(`http://127.0.0.1:${ready.ports.admin}/stats`)).text();
    } while (active.test(stats) && Date.now() < giveUpAt);
    t.diagnostic(`at rest after ${Date.now() - endedAt} ms`);
    t.diagnostic(`seed ${seed}: ${connections} connections, ${answers} answers`);
    assert.doesNotMatch(stats, active);
    assert.match(stats, /^cluster\.\S+upstream_rq_active: 0$/m);
    assert.match(stats, /^server\.bugs: 0$/m);
    assert.ok(Number(/^config\.reload_success: (\d+)$/m.exec(stats)?.[1]) >= 1);
    assert.ok(answers > 0);
    assert.deepEqual(await proxy.stop(), { code: 0, signal: null });
  });
});
