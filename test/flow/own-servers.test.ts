import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createPrivateKey } from 'node:crypto';
import { startEchoApp, type EchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import type { HttpResponse } from '../support/http-response-reader.ts';
import type { PosternProcess, ReadyLine } from '../support/spawn-postern.ts';
import { FlowMesh, get, HTTPBIN_ID, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

/** One request with exactly these fields on a connection of its own. */
async function ask(port: number, line: string, ...fields: readonly string[]): Promise<HttpResponse> {
  using client = await connectRaw({ port });
  return await client.request([line, ...fields, '', ''].join('\r\n'), line.split(' ')[0]);
}

describe('the servers of a sidecar', () => {
  let app: EchoApp;
  let mesh: FlowMesh;
  let proxy: PosternProcess;
  let ports: Required<Omit<ReadyLine['ports'], 'inbound'>>;
  const host = 'host: localhost';

  before(async () => {
    app = await startEchoApp();
    mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + service('http', app.port),
      settings: 'accessLog: {path: /dev/stdout, format: json}',
    });
    const tmp = mesh.folder.join('tmp');
    mesh.folder.write('tmp/.keep', '');
    const started = await mesh.proxy(['--log-level', 'trace'], {
      cwd: mesh.folder.path,
      env: { TMPDIR: tmp },
    });
    proxy = started.proxy;
    ports = started.ready.ports as typeof ports;
    using client = await mesh.connect(ports.intercept);
    assert.equal((await client.request(get('/one'))).status, 200);
    using plain = await connectRaw({ port: ports.intercept });
    assert.equal((await plain.request(get('/two'))).status, 200);
  });
  after(async () => {
    await proxy[Symbol.asyncDispose]();
    await app.close();
    mesh.folder.remove();
  });

  const admin = async (target: string): Promise<HttpResponse> =>
    ask(ports.admin, `GET ${target} HTTP/1.1`, host);
  const bytesOf = async (name: string): Promise<number> => {
    const stats = (await admin(`/stats?filter=${name}_bytes`)).body.toString();
    return Number(/: (\d+)$/m.exec(stats)?.[1]);
  };

  it('tell readiness on two of them, as text and JSON', async () => {
    for (const [port, target] of [
      [ports.admin, '/ready'],
      [ports.readiness, '/healthz/ready'],
      [ports.readiness, '/ready'],
    ] as const) {
      const live = await ask(port, `GET ${target} HTTP/1.1`, host);
      assert.deepEqual([live.status, live.body.toString()], [200, 'LIVE\n']);
      const json = await ask(port, `GET ${target}?format=json HTTP/1.1`, host);
      const state = JSON.parse(json.body.toString()) as { config: { loadedAt: string } };
      assert.match(state.config.loadedAt, /^\d{4}-.*Z$/);
      assert.deepEqual(state, {
        ready: true,
        reasons: [],
        config: { generation: 1, loadedAt: state.config.loadedAt, lastError: null },
      });
    }
  });

  it('show the certificates in force as Envoy does', async () => {
    const response = await admin('/certs');
    assert.equal(response.header('content-type'), 'application/json');
    const { certificates } = JSON.parse(response.body.toString()) as {
      certificates: { ca_cert: Record<string, unknown>[]; cert_chain: Record<string, unknown>[] }[];
    };
    assert.equal(certificates.length, 1);
    const own = certificates[0]!.cert_chain;
    assert.equal(own.length, 1);
    assert.deepEqual(Object.keys(own[0]!), [
      'path',
      'serial_number',
      'subject_alt_names',
      'days_until_expiration',
      'valid_from',
      'expiration_time',
    ]);
    assert.equal(own[0]!['serial_number'], mesh.own.serial);
    assert.deepEqual(own[0]!['subject_alt_names'], [{ uri: HTTPBIN_ID }]);
    assert.equal(own[0]!['days_until_expiration'], '0');
    assert.equal(certificates[0]!.ca_cert.length, 1);
  });

  it('dump the configuration with what is in force and who is connected, without keys', async () => {
    using client = await mesh.connect(ports.intercept);
    await client.request(get());
    const dump = JSON.parse((await admin('/config_dump')).body.toString()) as {
      bootstrap: { workload: { name: string }; intercept: { port: number } };
      snapshot: {
        generation: number;
        inbound: { ports: Record<string, { protocol: string; mode: string }> };
        policies: readonly unknown[];
      };
      secrets: { dynamic_active_secrets: unknown };
      connections: {
        count: number;
        first: { peer: string; chain: string; requests: number; phase: string }[];
      };
    };
    assert.equal(dump.bootstrap.workload.name, 'httpbin-1');
    assert.equal(dump.snapshot.generation, 1);
    assert.deepEqual(dump.snapshot.policies, []);
    const port = dump.snapshot.inbound.ports[String(app.port)];
    assert.deepEqual([port?.protocol, port?.mode], ['http', 'PERMISSIVE']);
    assert.deepEqual(dump.secrets.dynamic_active_secrets, [
      { name: 'default', secret: { tls_certificate: { private_key: { inline_bytes: '[redacted]' } } } },
    ]);
    const live = dump.connections.first.filter(({ peer }) => peer === SLEEP_ID);
    assert.equal(live.length, 1);
    assert.equal(live[0]!.requests, 1);
    assert.equal(live[0]!.phase, 'http');
    assert.match(live[0]!.chain, /^http mTLS under PERMISSIVE \(PeerAuthentication foo\/default\)$/);
  });

  it('count what happened, as Envoy’s text and for Prometheus on a port of its own', async () => {
    const stats = (await admin('/stats?usedonly')).body.toString();
    assert.match(stats, /^listener\.127\.0\.0\.1_\d+\.ssl\.handshake: [1-9]\d*$/m);
    assert.match(stats, /^http\.inbound_127\.0\.0\.1_\d+\.downstream_rq_2xx: [1-9]\d*$/m);
    assert.match((await admin('/stats')).body.toString(), /^server\.bugs: 0$/m);
    for (const [port, target] of [
      [ports.metrics, '/stats/prometheus'],
      [ports.metrics, '/metrics'],
      [ports.admin, '/stats/prometheus'],
      [ports.admin, '/stats?format=prometheus'],
    ] as const) {
      const text = (await ask(port, `GET ${target} HTTP/1.1`, host)).body.toString();
      checkPrometheus(text);
      assert.match(
        text,
        /^istio_requests_total\{.*source_principal="spiffe:\/\/cluster\.local\/ns\/foo\/sa\/sleep".*connection_security_policy="mutual_tls".*\} [1-9]/m,
      );
    }
    const json = JSON.parse((await admin('/stats?format=json&filter=ssl')).body.toString()) as {
      stats: { name: string; value: number }[];
    };
    assert.ok(json.stats.length > 3);
    assert.ok(json.stats.every(({ name }) => name.includes('ssl')));
  });

  it('count the bytes of connections that live on', async () => {
    using kept = await connectRaw({ port: ports.intercept });
    await kept.request(get('/first'));
    for (const name of [
      'http.*downstream_cx_rx',
      'http.*downstream_cx_tx',
      'upstream_cx_rx',
      'upstream_cx_tx',
    ]) {
      const earlier = await bytesOf(name);
      await kept.request(get('/second', `x-long: ${'x'.repeat(1_000)}`));
      await kept.request(get('/third'));
      assert.ok((await bytesOf(name)) - earlier > 1_000, name);
    }
  });

  it('keep to their own endpoints: nothing secret or changing on the open ports', async () => {
    for (const port of [ports.readiness, ports.metrics]) {
      for (const target of [
        '/config_dump',
        '/certs',
        '/logging',
        '/server_info',
        '/stats',
        '/quitquitquit',
      ]) {
        assert.equal((await ask(port, `GET ${target} HTTP/1.1`, host)).status, 404, target);
        assert.equal((await ask(port, `POST ${target} HTTP/1.1`, host, 'content-length: 0')).status, 404);
      }
    }
    assert.equal((await ask(ports.readiness, 'GET /stats/prometheus HTTP/1.1', host)).status, 404);
    assert.equal((await ask(ports.metrics, 'GET /healthz/ready HTTP/1.1', host)).status, 404);
  });

  it('refuse a foreign Host, another origin and a wrong method', async () => {
    const evil = 'host: rebound.attacker.example';
    for (const target of ['/', '/config_dump', '/ready', '/stats', '/nothing']) {
      assert.equal((await ask(ports.admin, `GET ${target} HTTP/1.1`, evil)).status, 403, target);
    }
    const origin = 'origin: http://attacker.example';
    assert.equal((await ask(ports.admin, 'GET /config_dump HTTP/1.1', host, origin)).status, 403);
    assert.equal(
      (await ask(ports.admin, 'POST /logging?level=trace HTTP/1.1', host, origin, 'content-length: 0'))
        .status,
      403,
    );
    const wrong = await ask(ports.admin, 'GET /logging?level=trace HTTP/1.1', host);
    assert.deepEqual([wrong.status, wrong.header('allow')], [405, 'POST']);
    assert.equal((await ask(ports.admin, 'DELETE /config_dump HTTP/1.1', host)).status, 405);
  });

  it('set log levels by POST /logging, for all or one, and refuse unknown ones', async () => {
    const post = (query: string): Promise<HttpResponse> =>
      ask(ports.admin, `POST /logging${query} HTTP/1.1`, host, 'content-length: 0');
    assert.match((await post('?level=info')).body.toString(), /^ {2}tls: info$/m);
    assert.match((await post('?intercept=debug')).body.toString(), /^ {2}intercept: debug$/m);
    assert.match((await post('')).body.toString(), /^ {2}tls: info$/m);
    assert.equal((await post('?level=loud')).status, 400);
    assert.equal((await post('?nobody=info')).status, 400);
    const from = proxy.logs.length;
    using probe = await connectRaw({ port: ports.intercept });
    probe.close();
    const line = await proxy.waitForLog(({ code }) => code === 'closed_while_sniffing', 'the probe', from);
    assert.equal(line['level'], 'debug');
    await post('?level=trace');
  });

  it('show no byte of the private key in any answer, log line or file', async () => {
    const answers: string[] = [];
    const index = (await admin('/')).body.toString();
    const targets = [...index.matchAll(/^(GET|POST) +(\S+?):/gm)];
    assert.ok(targets.length >= 8, index);
    for (const [, method = '', target = ''] of targets) {
      for (const query of ['', '?format=json', '?format=prometheus']) {
        const response = await ask(
          ports.admin,
          `${method} ${target}${query} HTTP/1.1`,
          host,
          'content-length: 0',
        );
        answers.push(response.body.toString('latin1'));
      }
    }
    const everything = [...answers, proxy.stdout, proxy.stderr, ...otherFiles(mesh.folder.path)].join('\n');
    assert.ok(everything.length > 10_000);
    assert.match(everything, /\[redacted\]/);
    for (const [what, needle] of needlesOf(mesh.own.keyPem)) {
      assert.ok(!everything.includes(needle), `the key as ${what}`);
    }
    assert.doesNotMatch(everything, /PRIVATE KEY/);
  });
});

/** Every file below the folder but the identity that was given. */
function otherFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name !== 'key.pem')
    .map((name) => path.join(folder, name))
    .filter((file) => statSync(file).isFile())
    .map((file) => readFileSync(file, 'latin1'));
}

/** Every form in which a private key could leak, long enough not to occur by chance. */
function needlesOf(pem: string): [string, string][] {
  const key = createPrivateKey(pem);
  const jwk = key.export({ format: 'jwk' });
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const scalar = Buffer.from(jwk.d ?? '', 'base64url');
  const body = pem.split('\n').slice(1, -2);
  assert.equal(scalar.length, 32);
  return [
    ...body.map((line): [string, string] => ['a line of PEM', line]),
    ['JWK d', jwk.d ?? ''],
    ['hex', scalar.toString('hex')],
    ['HEX', scalar.toString('hex').toUpperCase()],
    ['hex with colons', [...scalar].map((byte) => byte.toString(16).padStart(2, '0')).join(':')],
    ['base64', scalar.toString('base64')],
    ['bytes', scalar.toString('latin1')],
    ['JSON of bytes', JSON.stringify([...scalar]).slice(1, -1)],
    ['DER', der.toString('base64')],
  ];
}

/** The text format of Prometheus, by its grammar: HELP and TYPE once and before the samples, none twice. */
function checkPrometheus(text: string): void {
  const typed = new Map<string, string>();
  const samples = new Set<string>();
  assert.ok(text.endsWith('\n'));
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '' || line.startsWith('# HELP ')) continue;
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type !== null) {
      assert.ok(!typed.has(type[1]!), `TYPE twice: ${line}`);
      typed.set(type[1]!, type[2]!);
      continue;
    }
    const sample =
      /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?(?:\d[\d.]*(?:e[+-]?\d+)?|Inf)|[+]Inf|NaN)$/i.exec(
        line,
      );
    assert.ok(sample !== null, `not a sample: ${line}`);
    const name = sample[1]!;
    const family = typed.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, '');
    assert.ok(typed.has(family), `no TYPE before: ${line}`);
    const key = name + (sample[2] ?? '');
    assert.ok(!samples.has(key), `twice: ${line}`);
    samples.add(key);
  }
  assert.ok(samples.size > 20);
}
