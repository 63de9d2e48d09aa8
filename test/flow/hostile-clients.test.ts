import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { recordHello } from '../tls/raw-hello.ts';
import { FlowMesh, get, MESH_ALPN, peerAuthentication, service } from './flow-mesh.ts';
import type { InProcess } from './flow-mesh.ts';

/**
 * The attacker opens connections without end, slowly or never finished. What must hold: bounded connections and log
 * lines, nothing left behind, and members of the mesh are served afterwards.
 */
checkLeaks();

async function stat(sidecar: InProcess, name: RegExp): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${sidecar.ports.admin}/stats`, {
    headers: { connection: 'close' },
  });
  const found = new RegExp(`^\\S*${name.source}: (\\d+)$`, 'm').exec(await response.text());
  assert.ok(found !== null, `no counter ${name.source}`);
  return Number(found[1]);
}

/** Waits until no downstream connection is left. */
async function untilEmpty(sidecar: InProcess): Promise<void> {
  const loop = async (): Promise<void> => {
    while ((await stat(sidecar, /listener\.\S+\.downstream_cx_active/)) > 0);
  };
  await withDeadline(loop(), 5_000, 'all connections to be gone');
}

/** The same numbers for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('a client without manners', () => {
  it('meets maxConnections: one more is closed at once, and room is made when others go', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess([], { 'limits.maxConnections': '8' });
    const held: RawClient[] = [];
    for (let n = 0; n < 8; n++) held.push(await connectRaw({ port: sidecar.port }));
    using refused = await connectRaw({ port: sidecar.port });
    assert.equal((await refused.readToEnd()).bytes.length, 0);
    const line = await sidecar.waitForLog('too_many_connections');
    assert.match(String(line['hint']), /limits\.maxConnections/);
    assert.equal((await held[7]!.request(get())).status, 200, 'who is in is served');
    for (const client of held) client.close();
    await untilEmpty(sidecar);
    using welcome = await connectRaw({ port: sidecar.port });
    assert.equal((await welcome.request(get())).status, 200);
    assert.equal(await stat(sidecar, /downstream_cx_overflow/), 1);
  });

  it('meets a deadline at each step: silence, half a ClientHello, half a handshake, half a head, no answer read', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using sidecar = await mesh.inProcess([], {
      'limits.sniffTimeoutMs': '150',
      'limits.handshakeTimeoutMs': '150',
      'limits.headTimeoutMs': '150',
      'limits.idleTimeoutMs': '150',
      'limits.bodyStallTimeoutMs': '150',
    });
    const hello = await recordHello({ ALPNProtocols: [...MESH_ALPN] });
    const steps: readonly (readonly [string, Buffer | string, string])[] = [
      ['silence', '', ''],
      ['half a ClientHello', hello.subarray(0, 30), ''],
      ['half a handshake', hello, ''],
      ['half a head', 'GET / HTTP/1.1\r\nhost: a\r\nx-slow: ', '408'],
      ['half a body', 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf', '408'],
    ];
    await Promise.all(
      steps.map(async ([what, bytes, status]) => {
        using client = await connectRaw({ port: sidecar.port });
        await client.write(bytes);
        const answer = (await client.readToEnd()).bytes.toString('latin1');
        if (status !== '') assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), `${what}: ${answer}`);
      }),
    );
    using idle = await connectRaw({ port: sidecar.port });
    assert.equal((await idle.request(get())).status, 200);
    assert.equal((await idle.readToEnd()).bytes.length, 0, 'an idle connection is closed');
    await untilEmpty(sidecar);
    for (const code of ['sniff_timeout', 'tls_handshake_timeout', 'head_timeout', 'body_stalled']) {
      assert.ok(sidecar.logsOf(code).length >= 1, code);
    }
  });

  it('floods with what is cut anywhere, and leaves no connection, no upstream connection and few lines', async () => {
    await using app = await startRecordingUpstream({
      answer: ({ target }) =>
        target === '/large'
          ? `HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n${'x'.repeat(300_000)}`
          : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess([], { 'limits.maxIdlePerEndpoint': '4' });
    const random = randomNumbers(20_260_417);
    const hello = await recordHello({ ALPNProtocols: [...MESH_ALPN] });
    const noise = Buffer.from(Array.from({ length: 2_000 }, () => random(256)));
    const inputs: readonly Buffer[] = [
      hello,
      Buffer.concat([hello, noise]),
      noise,
      Buffer.from(get('/large').repeat(3)),
      Buffer.from('POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nZ\r\n'),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      Buffer.from('GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n'),
    ];
    const one = async (): Promise<void> => {
      const socket = net.connect({ host: '127.0.0.1', port: sidecar.port, allowHalfOpen: random(2) === 0 });
      socket.on('error', () => {});
      if (random(3) > 0) socket.resume();
      const closed = once(socket, 'close');
      const bytes = inputs[random(inputs.length)]!;
      socket.write(bytes.subarray(0, 1 + random(bytes.length)));
      for (let turns = random(6); turns > 0; turns--) {
        await new Promise((resume) => {
          setImmediate(resume);
        });
      }
      switch (random(3)) {
        case 0:
          socket.resetAndDestroy();
          break;
        case 1:
          socket.destroy();
          break;
        default:
          socket.end();
          socket.resume();
          setTimeout(() => socket.destroy(), 100);
      }
      await closed;
    };
    for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 25 }, one));
    await untilEmpty(sidecar);
    const upstream = await stat(sidecar, /cluster\.inbound\|\d+\|\|\.upstream_cx_active/);
    assert.ok(upstream <= 4, `${upstream} upstream connections are kept`);
    assert.equal(await stat(sidecar, /server\.bugs/), 0);
    assert.deepEqual(sidecar.logsOf('bug'), []);
    for (const code of [
      'bad_client_hello',
      'no_filter_chain_match',
      'http2_not_supported',
      'bad_request_line',
      'bad_chunk',
    ]) {
      assert.ok(sidecar.logsOf(code).length <= 100, `${sidecar.logsOf(code).length} lines of ${code}`);
    }
    using member = await mesh.connect(sidecar.port);
    assert.equal((await member.request(get())).status, 200);
  });

  it('cannot fill the log: after a hundred lines of a kind they are counted only', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    const sidecar = await mesh.inProcess();
    try {
      for (let round = 0; round < 15; round++) {
        await Promise.all(
          Array.from({ length: 10 }, async () => {
            using client = await connectRaw({ port: sidecar.port });
            await client.write(get());
            await client.readToEnd();
          }),
        );
      }
      assert.equal(await stat(sidecar, /no_filter_chain_match/), 150);
    } finally {
      await sidecar.close();
    }
    assert.equal(sidecar.logsOf('no_filter_chain_match').length, 100);
    const { of: code, leftOut } = await sidecar.waitForLog('log_lines_left_out');
    assert.deepEqual([code, leftOut], ['no_filter_chain_match', 50]);
    assert.equal(app.connections.length, 0);
  });
});
