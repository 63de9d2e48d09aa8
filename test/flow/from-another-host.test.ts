import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  buildNetwork,
  CLIENT,
  deleteNetwork,
  HOST,
  inside,
  ROUTER,
  runIn,
  skipNetns,
} from '../netns/network.ts';
import { startProxy, type PosternProcess, type ReadyLine } from '../support/spawn-postern.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

const runFile = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const APP_PORT = 8080;
const OPEN_PORT = 9090;
const PRIVATE_PORT = 9091;
const HOST_IP = '10.77.2.2';

/** Answers with its XFCC and the address of who connected; ends with its standard input. */
const APP = `
  process.stdin.on('end', () => process.exit()).resume();
  require('node:http').createServer((request, response) => {
    response.end(request.socket.remoteAddress + ' ' + (request.headers['x-forwarded-client-cert'] ?? 'none'));
  }).listen(${APP_PORT}, '127.0.0.1', () => console.log('listening'));
  // A port that no Service names, on the host's address, and two services that are for this host alone.
  const say = (text) => (request, response) => response.end(text);
  require('node:http').createServer(say('for everybody')).listen(${OPEN_PORT}, '${HOST_IP}');
  for (const port of [${OPEN_PORT}, ${PRIVATE_PORT}])
    require('node:http').createServer(say('for this host')).listen(port, '127.0.0.1');`;

interface Answer {
  readonly exit: number;
  readonly status: number;
  readonly body: string;
}

/** curl on another host of the network. */
async function curl(...args: readonly string[]): Promise<Answer> {
  const format = ['-sS', '-k', '--max-time', '5', '-w', '\n%{http_code}'];
  const words = [...inside(CLIENT), 'curl', ...format, ...args];
  try {
    return { exit: 0, ...split((await runFile(words[0]!, words.slice(1))).stdout) };
  } catch (thrown) {
    const { code, stdout } = thrown as { code: number; stdout: string };
    return { exit: code, ...split(stdout) };
  }
}

function split(stdout: string): { readonly status: number; readonly body: string } {
  const at = stdout.lastIndexOf('\n');
  return { status: Number(stdout.slice(at + 1)), body: stdout.slice(0, at) };
}

describe('a sidecar behind a redirect, asked from another host', { skip: skipNetns }, () => {
  let mesh: FlowMesh;
  let proxy: PosternProcess;
  let ports: ReadyLine['ports'];
  let app: ReturnType<typeof spawn>;
  let identity: readonly string[] = [];

  before(async () => {
    buildNetwork();
    mesh = await FlowMesh.create({
      appPort: APP_PORT,
      documents: peerAuthentication('STRICT') + service('http', APP_PORT),
    });
    mesh.folder.write('client.pem', mesh.sleep.chainPem);
    mesh.folder.write('client.key', mesh.sleep.keyPem);
    identity = ['--cert', mesh.path('client.pem'), '--key', mesh.path('client.key')];
    const [ip, ...words] = [...inside(HOST), process.execPath];
    app = spawn(ip, [...words, '-e', APP], { stdio: ['pipe', 'pipe', 'inherit'] });
    await withDeadline(once(app.stdout!, 'data'), 5_000, 'the app');
    const started = await startProxy(
      mesh.configFile,
      [
        '--intercept.bind',
        '0.0.0.0',
        '--intercept.port',
        '15001',
        '--readiness.bind',
        '0.0.0.0',
        '--metrics.bind',
        '0.0.0.0',
      ],
      { command: [ip, ...words, MAIN] },
    );
    proxy = started.proxy;
    ports = started.ready.ports;
    // Everything from outside but readiness and metrics, as a user's rules have it.
    const open = `${ports.readiness},${ports.metrics}`;
    runIn(
      HOST,
      `iptables -t nat -A PREROUTING -i h0 -p tcp -m multiport ! --dports ${open} -j REDIRECT --to-ports 15001`,
    );
  });
  after(async () => {
    await proxy?.[Symbol.asyncDispose]();
    const exited = app === undefined ? null : once(app, 'exit');
    app?.stdin?.end();
    await exited;
    deleteNetwork();
    mesh?.folder.remove();
  });

  it('serves the app’s own port to a member of the mesh, and nobody else', async () => {
    const served = await curl(...identity, `https://${HOST_IP}:${APP_PORT}/`);
    assert.equal(served.status, 200, JSON.stringify(served) + proxy.stderr);
    assert.match(served.body, new RegExp(`^127\\.0\\.0\\.1 By=\\S+;URI=${SLEEP_ID}$`));
    const from = proxy.logs.length;
    const plain = await curl(`http://${HOST_IP}:${APP_PORT}/`);
    assert.ok(plain.exit === 52 || plain.exit === 56, JSON.stringify(plain));
    const line = await proxy.waitForLog(({ code }) => code === 'no_filter_chain_match', 'the refusal', from);
    assert.equal(line['destination'], `${HOST_IP}:${APP_PORT}`);
    assert.match(String(line['remote']), /^10\.77\.1\.2:/);
  });

  it('shows its admin server to nobody outside: neither directly, nor through itself, mTLS or not', async () => {
    for (const [port, scheme, args] of [
      [ports.admin, 'http', []],
      [ports.admin, 'https', identity],
      [15001, 'http', ['-H', `Host: localhost:${ports.admin}`]],
    ] as const) {
      const from = proxy.logs.length;
      const { exit, status, body } = await curl(...args, `${scheme}://${HOST_IP}:${port}/config_dump`);
      assert.notEqual(exit, 0);
      assert.deepEqual([status, body], [0, ''], `${scheme} to ${port}`);
      const codes = port === 15001 ? ['no_filter_chain_match', 'not_redirected'] : ['own_port'];
      await proxy.waitForLog(({ code }) => codes.includes(String(code)), codes.join(), from);
    }
    // Addressed to loopback by a route through this host, as a neighbour may try.
    const foreign = await curl('--interface', '10.77.1.2', `http://127.0.0.1:${ports.admin}/config_dump`);
    assert.notEqual(foreign.exit, 0);
  });

  it('shows readiness and metrics, which hold no secret, on ports of their own', async () => {
    const ready = await curl(`http://${HOST_IP}:${ports.readiness}/healthz/ready`);
    assert.deepEqual(ready, { exit: 0, status: 200, body: 'LIVE\n' });
    const metrics = await curl(`http://${HOST_IP}:${ports.metrics}/stats/prometheus`);
    assert.equal(metrics.status, 200);
    assert.match(metrics.body, /^istio_requests_total\{/m);
    for (const port of [ports.readiness, ports.metrics]) {
      assert.equal((await curl(`http://${HOST_IP}:${port}/config_dump`)).status, 404);
    }
  });

  it('carries a port that no Service names to where it was addressed, never to loopback', async () => {
    const open = await curl('--http1.1', ...identity, `https://${HOST_IP}:${OPEN_PORT}/`);
    assert.deepEqual(open, { exit: 0, status: 200, body: 'for everybody' }, proxy.stderr);
    const from = proxy.logs.length;
    const kept = await curl('--http1.1', ...identity, `https://${HOST_IP}:${PRIVATE_PORT}/`);
    assert.notEqual(kept.exit, 0);
    const line = await proxy.waitForLog(
      ({ code }) => code === 'upstream_connect_failed',
      'the failure',
      from,
    );
    assert.equal(line['upstream'], `${HOST_IP}:${PRIVATE_PORT}`);
  });

  it('closes what is addressed to another host and lends it no identity', async () => {
    runIn(CLIENT, 'ip route add 10.99.0.0/24 via 10.77.1.1');
    runIn(ROUTER, 'ip route add 10.99.0.0/24 via 10.77.2.2');
    const from = proxy.logs.length;
    const { exit } = await curl(...identity, `https://10.99.0.7:${APP_PORT}/`);
    assert.notEqual(exit, 0);
    const line = await proxy.waitForLog(({ code }) => code === 'foreign_destination', 'the refusal', from);
    assert.equal(line['destination'], `10.99.0.7:${APP_PORT}`);
  });
});
