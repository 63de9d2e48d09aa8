import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FlowMesh, get, meshConfig, peerAuthentication, service, SLEEP_ID } from '../flow/flow-mesh.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Starts the sidecar with these settings, sends one request of each kind, drains, and gives stdout's lines. */
async function linesOf(
  settings: string,
  documents = '',
): Promise<{ readonly lines: readonly string[]; readonly mesh: FlowMesh }> {
  await using app = await startEchoApp();
  const mesh = await FlowMesh.create({
    appPort: app.port,
    documents: peerAuthentication('PERMISSIVE') + service('http', app.port) + documents,
    settings,
  });
  const { proxy, ready } = await mesh.proxy();
  await using _ = proxy;
  const port = ready.ports.intercept!;
  using member = await mesh.connect(port);
  assert.equal((await member.request(get('/mtls?x=1', 'user-agent: test "agent"'))).status, 200);
  using plain = await connectRaw({ port });
  assert.equal((await plain.request(get('/plain'))).status, 200);
  using bad = await connectRaw({ port });
  assert.equal((await bad.request('GET /bad HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n')).status, 400);
  for (const client of [member, plain, bad]) client.close();
  assert.equal((await proxy.stop()).code, 0);
  for (const line of proxy.stderr.trimEnd().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line);
  const listening = proxy.logs.find(({ code }) => code === 'listening');
  assert.equal(listening?.['intercept'], port, 'who needs the ports before the ready line reads them here');
  assert.match(proxy.stdoutLines[0] ?? '', /^\{"ready":true,/);
  assert.equal(proxy.stdout.match(/"ready":true/g)?.length, 1);
  return { lines: proxy.stdoutLines.slice(1), mesh };
}

describe('standard output of proxy', () => {
  it('carries the ready line and nothing else without an access log', async () => {
    const { lines, mesh } = await linesOf('');
    mesh.folder.remove();
    assert.deepEqual(lines, []);
  });

  it('carries the access log as JSON after it, a line a request', async () => {
    const { lines, mesh } = await linesOf('accessLog: {path: /dev/stdout, format: json}');
    mesh.folder.remove();
    assert.equal(lines.length, 3, lines.join('\n'));
    const [mtls, plain, bad] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      [
        mtls!['method'],
        mtls!['path'],
        mtls!['response_code'],
        mtls!['user_agent'],
        mtls!['authority'],
        mtls!['response_flags'],
      ],
      ['GET', '/mtls?x=1', 200, 'test "agent"', 'httpbin.foo', '-'],
    );
    assert.match(String(mtls!['upstream_cluster']), /^inbound\|\d+\|\|$/);
    assert.deepEqual([plain!['path'], plain!['response_code']], ['/plain', 200]);
    assert.deepEqual([bad!['path'], bad!['response_code'], bad!['response_flags']], ['/bad', 400, 'DPE']);
  });

  it('carries it as Istio’s text if asked to, also under the name of its descriptor', async () => {
    for (const path of ['/dev/stdout', '/dev/fd/1']) {
      const { lines, mesh } = await linesOf(`accessLog: {path: ${path}, format: text}`);
      mesh.folder.remove();
      assert.equal(lines.length, 3, lines.join('\n'));
      assert.match(
        lines[0] ?? '',
        /^\[\d{4}-\d\d-\d\dT[\d:.]+Z\] "GET \/mtls\?x=1 HTTP\/1\.1" 200 - via_upstream - "-" 0 \d+ \d+ \d+ "-" "test \\x22agent\\x22" "[\da-f-]{36}" "httpbin\.foo" "127\.0\.0\.1:\d+" inbound\|\d+\|\| /,
      );
    }
  });

  it('carries the mesh’s access log in the mesh’s format, unless postern.yaml names another', async () => {
    const format = [
      'accessLogFile: /dev/stdout',
      'accessLogEncoding: TEXT',
      'accessLogFormat: "%REQ(:PATH)% %DOWNSTREAM_PEER_URI_SAN% %RESPONSE_CODE%\\n"',
    ];
    const { lines, mesh } = await linesOf('', meshConfig(...format));
    mesh.folder.remove();
    assert.deepEqual(lines, [`/mtls?x=1 ${SLEEP_ID} 200`, '/plain - 200', '/bad - 400']);

    const other = await linesOf('accessLog: {path: ./own.log, format: json}', meshConfig(...format));
    assert.deepEqual(other.lines, []);
    const file = readFileSync(other.mesh.path('own.log'), 'utf8').trimEnd().split('\n');
    other.mesh.folder.remove();
    assert.equal(file.length, 3);
    assert.equal((JSON.parse(file[0]!) as { path: string }).path, '/mtls?x=1');
  });

  it('may be closed by its reader: the sidecar serves on and says what it lost', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'accessLog: {path: /dev/stdout, format: json}',
    });
    const child = spawn(process.execPath, [MAIN, 'proxy', '--config', mesh.configFile], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    try {
      let stderr = '';
      const listening = Promise.withResolvers<number>();
      child.stdout.destroy();
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        const port = /"code":"listening","intercept":(\d+)/.exec(stderr)?.[1];
        if (port !== undefined) listening.resolve(Number(port));
      });
      const port = await withDeadline(listening.promise, 10_000, 'the sidecar to listen', () => stderr);
      using client = await connectRaw({ port });
      for (let n = 0; n < 20; n++) assert.equal((await client.request(get())).status, 200);
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      assert.equal(code, 0, stderr);
      assert.match(stderr, /"ready_line_lost".*\n(?:.*\n)*.*"access_log_failed"/);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
