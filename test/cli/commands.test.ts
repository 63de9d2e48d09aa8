import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { commandHelp } from '../../src/cli/help.ts';
import { loadCommands } from '../../src/cli/run-cli.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { FlowMesh, meshConfig, peerAuthentication, service } from '../flow/flow-mesh.ts';
import { freePort } from '../support/free-port.ts';
import { runPostern, spawnPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('postern', () => {
  it('tells its commands, its version, and each command’s flags with an example', async () => {
    const help = await runPostern(['--help']);
    assert.equal(help.code, 0);
    assert.equal(help.stderr, '');
    const names = [...help.stdout.matchAll(/^ {2}(\w+) {2,}\S/gm)].map(([, name = '']) => name);
    assert.deepEqual(names, [
      'proxy',
      'agent',
      'ca',
      'token',
      'validate',
      'explain',
      'test',
      'translate',
      'wait',
      'demo',
    ]);
    for (const command of await loadCommands()) {
      const text = commandHelp(command);
      assert.match(text, new RegExp(`^usage: postern ${command.name}`, 'm'));
      assert.match(text, new RegExp(`^example: postern ${command.name} .+`, 'm'));
      for (const flag of Object.keys(command.flags)) assert.ok(text.includes(`--${flag} `), flag);
    }
    const proxy = await runPostern(['proxy', '--help']);
    assert.deepEqual([proxy.code, proxy.stderr], [0, '']);
    assert.match(proxy.stdout, /^ {2}--intercept\.direct ENDPOINT {2,}\S/m);
    const version = await runPostern(['--version']);
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    assert.equal(version.stdout, `postern ${manifest.version} (node ${process.versions.node})\n`);
  });

  it('exits 2 without a command and for one that it does not know, with the nearest name', async () => {
    const none = await runPostern([]);
    assert.equal(none.code, 2);
    assert.match(none.stdout + none.stderr, /usage: postern COMMAND/);
    for (const [name, says] of [
      ['porxy', /^postern: unknown command "porxy", did you mean "proxy"\?/],
      ['__proto__', /^postern: unknown command "__proto__"/],
    ] as const) {
      const { code, stdout, stderr } = await runPostern([name]);
      assert.equal(code, 2);
      assert.equal(stdout, '');
      assert.match(stderr, says);
      assert.equal(stderr.split('\n').length, 2);
    }
  });

  it('ends without a word of its own when nobody reads what it prints', async () => {
    for (const args of [['--help'], ['validate', '--limits']]) {
      const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      await once(child, 'close');
      assert.equal(stderr, '', args.join(' '));
    }
  });
});

describe('wait', () => {
  it('exits 0 as soon as the sidecar is ready', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    const { proxy, ready } = await mesh.proxy();
    await using _ = proxy;
    const url = `http://127.0.0.1:${ready.ports.readiness}/healthz/ready`;
    const exit = await runPostern(['wait', '--url', url, '--timeout', '5s']);
    assert.deepEqual(exit, { code: 0, signal: null, stdout: '', stderr: '' });
  });

  it('waits for a server that comes late, and exits 1 with the last reason if none is ready in time', async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/healthz/ready`;
    const silent = await runPostern(['wait', '--url', url, '--timeout', '300ms']);
    assert.equal(silent.code, 1);
    assert.match(silent.stderr, /^postern: not ready after 300ms: .*ECONNREFUSED.*\n$/);

    let ready = false;
    const server = createServer((_request, response) => {
      response
        .writeHead(ready ? 200 : 503)
        .end(ready ? 'LIVE\n' : 'NOT READY: identity_expired: give a new one\n');
      ready = ready || server.listenerCount('flip') > 0;
    });
    await using waiting = spawnPostern(['wait', '--url', url, '--timeout', '10s']);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const unready = await runPostern(['wait', '--url', url, '--timeout', '500ms']);
    assert.equal(unready.code, 1);
    assert.match(unready.stderr, /not ready after 500ms: NOT READY: identity_expired: give a new one\n$/);
    server.once('flip', () => {});
    assert.equal((await waiting.exit()).code, 0);
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });

  it('does not hang on a server that never answers', async () => {
    const server = createServer(() => {});
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await runPostern([
      'wait',
      '--url',
      `http://127.0.0.1:${port}/`,
      '--timeout',
      '300ms',
    ]);
    assert.equal(code, 1, stderr);
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  });

  it('exits 2 for what it cannot ask or wait for', async () => {
    for (const [args, says] of [
      [['--url', 'nonsense'], /"nonsense"/],
      [['--url', 'ftp://127.0.0.1/'], /"ftp:\/\/127\.0\.0\.1\/".*http/],
      [['--timeout', 'soon'], /"soon".*60s/],
      [['now'], /now/],
    ] as const) {
      const { code, stderr } = await runPostern(['wait', ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
      assert.equal(stderr.split('\n').length, 2);
    }
  });
});

describe('validate', () => {
  const good = service('http', 8080) + peerAuthentication('STRICT');

  it('says ok for a folder without a fault', async () => {
    using folder = new TempFolder();
    folder.write('mesh/a.yaml', good);
    const exit = await runPostern(['validate', 'mesh'], { cwd: folder.path });
    assert.deepEqual(exit, { code: 0, signal: null, stdout: 'ok: 1 file\n', stderr: '' });
  });

  it('warns of a port that this version refuses: exit 0, and 1 with --strict', async () => {
    using folder = new TempFolder();
    folder.write(
      'a.yaml',
      service('grpc-api', 8080) + meshConfig('accessLogFormat: "%BYTES_SENT% %DURATION:%"'),
    );
    folder.write('b.yaml', service('http2', 8080, 'other'));
    const { code, stderr } = await runPostern(['validate', folder.path]);
    const lines = stderr.trimEnd().split('\n');
    assert.equal(code, 1, 'the format is an error');
    assert.equal(lines.length, 3, stderr);
    folder.write('a.yaml', service('grpc-api', 8080));
    const warned = await runPostern(['validate', folder.path]);
    assert.equal(warned.code, 0, warned.stderr);
    assert.match(warned.stderr, /^warning: \S+a\.yaml:6:\d+: .*HTTP\/1\.1 only.*\nwarning: \S+b\.yaml:6:/m);
    assert.equal((await runPostern(['validate', '--strict', folder.path])).code, 1);
  });

  it('prints exactly the promised keys as JSON', async () => {
    using folder = new TempFolder();
    const file = folder.write('a.yaml', good.replace('mode', 'mood'));
    const { code, stdout, stderr } = await runPostern(['validate', '--output', 'json', file]);
    assert.equal(code, 1);
    assert.equal(stderr, '');
    const [finding, ...more] = JSON.parse(stdout) as Record<string, unknown>[];
    assert.deepEqual(more, []);
    assert.deepEqual(Object.keys(finding ?? {}), [
      'file',
      'line',
      'column',
      'path',
      'severity',
      'code',
      'message',
      'fix',
    ]);
    const { line, column, path, severity } = finding!;
    assert.deepEqual([finding!['file'], path, severity], [file, 'spec.mtls.mood', 'error']);
    const text = readFileSync(file, 'utf8')
      .split('\n')
      .at(Number(line) - 1);
    assert.equal(text?.indexOf('mood'), Number(column) - 1);
    assert.match(String(finding!['fix']), /mode/);
    const empty = await runPostern(['validate', '--output', 'json', folder.write('b.yaml', good)]);
    assert.deepEqual([empty.code, JSON.parse(empty.stdout)], [0, []]);
  });

  it('checks postern.yaml, which it tells by its content, and refuses what this version cannot enforce', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    assert.equal((await runPostern(['validate', mesh.configFile])).code, 0);
    const broken = mesh.folder.write(
      'x.yaml',
      readFileSync(mesh.configFile, 'utf8').replace('admin:', 'amdin:'),
    );
    const { code, stderr } = await runPostern(['validate', broken]);
    assert.equal(code, 1);
    assert.match(stderr, /x\.yaml:\d+:1: amdin: .*admin/);
    const policy = mesh.folder.write(
      'p.yaml',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\nspec: {action: DENY}\n',
    );
    const refused = await runPostern(['validate', policy]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /spec.*rules/);
  });

  it('plans what a postern.yaml names, as its sidecar would', async () => {
    using mesh = await FlowMesh.create({ appPort: 9, documents: '' });
    mesh.documents(
      [
        'apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: foo}\nspec: {selector: {app: httpbin}, ports: [{name: tcp, port: 80}]}\n',
        'apiVersion: v1\nkind: Service\nmetadata: {name: authz, namespace: foo}\nspec: {ports: [{name: http, port: 80}]}\n',
        'meshConfig: {extensionProviders: [{name: web, envoyExtAuthzHttp: {service: authz.foo.svc.cluster.local, port: 80}}]}\n',
        'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ask, namespace: foo}\nspec: {action: CUSTOM, provider: {name: web}, rules: [{}]}\n',
      ].join('---\n'),
    );
    const documents = mesh.path('mesh');
    assert.equal((await runPostern(['validate', documents])).code, 0, 'nobody says which workload');
    const { code, stderr } = await runPostern(['validate', mesh.configFile, documents]);
    assert.equal(code, 1, stderr);
    const errors = stderr
      .split('\n')
      .filter((line) => line.includes('documents.yaml') && !line.startsWith('warning: '));
    assert.equal(errors.length, 1, stderr);
    assert.match(errors[0]!, /:\d+:\d+: spec\.provider/);
    assert.equal((await runPostern(['proxy', '--config', mesh.configFile])).code, 1, 'as the sidecar does');
  });

  it('prints every limit with its default', async () => {
    const { code, stdout } = await runPostern(['validate', '--limits']);
    assert.equal(code, 0);
    for (const [name, value] of Object.entries(DEFAULT_LIMITS) as [string, number | null][]) {
      assert.match(stdout, new RegExp(`^${name} +${value ?? 'unset'}  \\S`, 'm'));
    }
    const json = await runPostern(['validate', '--limits', '--output', 'json']);
    assert.deepEqual(JSON.parse(json.stdout), DEFAULT_LIMITS);
  });

  it('exits 2 for nothing to validate and for an output that it does not know', async () => {
    assert.equal((await runPostern(['validate'])).code, 2);
    const { code, stderr } = await runPostern(['validate', '--output', 'xml', '.']);
    assert.equal(code, 2);
    assert.match(stderr, /"xml".*json/);
    const absent = await runPostern(['validate', '/nowhere/at/all']);
    assert.equal(absent.code, 1);
    assert.match(absent.stderr, /^\/nowhere\/at\/all/);
  });
});
