import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  CONTINUE,
  createSidecar,
  setField,
  StartError,
  type Deny,
  type Filter,
  type RequestContext,
  type Verdict,
} from '../../src/index.ts';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { freePort } from '../support/free-port.ts';
import { activeResources, assertNoLeak, checkLeaks } from '../support/leak-check.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, get, HTTPBIN_ID, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

checkLeaks();

const DENIAL: Deny = {
  kind: 'deny',
  code: 'filter_denied',
  status: 403,
  body: 'no entry\n',
  headers: ['x-why', 'not on the list'],
  details: 'my_filter[path]',
  why: 'the path is not on the list',
};

function post(framing: string, body: string): string {
  return `POST / HTTP/1.1\r\nhost: a\r\n${framing}\r\n\r\n${body}`;
}

function onRequest(judge: (request: RequestContext) => Verdict | Promise<Verdict>): Filter {
  return { name: 'mine', onRequest: judge };
}

describe('a filter of the embedding program', () => {
  it('sees who asks for what, after the built-in ones, and changes headers and path', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const seen: unknown[] = [];
    const filter = onRequest((request) => {
      const { connection, head, originalPath } = request;
      seen.push([connection.peer?.spiffeId, connection.protocol, head.method, head.path, originalPath]);
      setField(head.fields, 'x-user', connection.peer?.serviceAccount ?? 'nobody');
      head.path = `/seen${head.path}`;
      return CONTINUE;
    });
    await using sidecar = await mesh.inProcess([filter]);
    using client = await mesh.connect(sidecar.port);
    const { body } = await client.request(get('/a/../b?c', 'x-user: forged'));
    const echo = JSON.parse(body.toString()) as Echo;
    assert.equal(echo.target, '/seen/b?c');
    assert.equal(echoedHeader(echo, 'x-user'), 'sleep');
    using plain = await connectRaw({ port: sidecar.port });
    await plain.request(get('/'));
    assert.deepEqual(seen, [
      [SLEEP_ID, 'http', 'GET', '/b?c', '/a/../b?c'],
      [undefined, 'http', 'GET', '/', '/'],
    ]);
  });

  it('denies in the same turn or later: the app hears nothing, client and log are told', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service('http', app.port),
      settings: 'accessLog: {path: ./access.log, format: json}',
    });
    const filter = onRequest(({ head }) => {
      if (head.path === '/now') return DENIAL;
      if (head.path === '/later') return Promise.resolve(DENIAL);
      return CONTINUE;
    });
    await using sidecar = await mesh.inProcess([filter]);
    using client = await connectRaw({ port: sidecar.port });
    for (const path of ['/now', '/later']) {
      const from = sidecar.logs.length;
      const response = await client.request(get(path));
      assert.equal(response.status, 403);
      assert.equal(response.body.toString(), 'no entry\n');
      assert.equal(response.header('x-why'), 'not on the list');
      const line = await sidecar.waitForLog('filter_denied', from);
      assert.deepEqual([line['path'], line['details'], line['why']], [path, DENIAL.details, DENIAL.why]);
    }
    assert.equal((await client.request(get('/free'))).status, 200, 'the connection goes on');
    assert.equal(app.requests.length, 1);
  });

  it('that throws or rejects denies with 500 and tells nobody outside why', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const filter = onRequest(({ head }) => {
      if (head.path === '/throw') throw new Error('secret of the filter');
      return Promise.reject(new Error('secret of the filter'));
    });
    await using sidecar = await mesh.inProcess([filter]);
    for (const path of ['/throw', '/reject']) {
      using client = await connectRaw({ port: sidecar.port });
      const from = sidecar.logs.length;
      const response = await client.request(get(path));
      assert.equal(response.status, 500);
      assert.doesNotMatch(response.body.toString() + JSON.stringify(response.headers), /secret/);
      const line = await sidecar.waitForLog('filter_failed', from);
      assert.equal(line['filter'], 'mine');
      assert.equal(line['error'], 'secret of the filter');
    }
    assert.equal(app.requests.length, 0);
    assert.deepEqual(sidecar.logsOf('bug'), []);
  });

  it('reads the body up to its limit, and the app still gets all of it', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const read: [string, boolean][] = [];
    const filter = onRequest(async (request) => {
      const { bytes, truncated } = await request.readBody(8);
      read.push([bytes.toString(), truncated]);
      return CONTINUE;
    });
    await using sidecar = await mesh.inProcess([filter]);
    using client = await connectRaw({ port: sidecar.port });
    for (const [request, whole] of [
      [post('content-length: 5', 'small'), 'small'],
      [post('content-length: 12', 'rather large'), 'rather large'],
      [post('transfer-encoding: chunked', '6\r\nrather\r\n6\r\n large\r\n0\r\n\r\n'), 'rather large'],
      [get('/'), ''],
    ] as const) {
      const { status, body } = await client.request(request);
      assert.equal(status, 200);
      assert.equal((JSON.parse(body.toString()) as Echo).body, whole);
    }
    assert.deepEqual(read, [
      ['small', false],
      ['rather l', true],
      ['rather l', true],
      ['', false],
    ]);
  });

  it('may deny after reading a part of a body that is still coming: the client hears it at once', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const filter = onRequest(async (request) => {
      const { bytes } = await request.readBody(4);
      return bytes.toString() === 'evil' ? DENIAL : CONTINUE;
    });
    await using sidecar = await mesh.inProcess([filter]);
    using client = await connectRaw({ port: sidecar.port });
    await client.write(post('content-length: 1000000', 'evil and more'));
    const response = await client.readResponse();
    assert.equal(response.status, 403);
    assert.equal(response.header('connection'), 'close', 'the rest of the body is not waited for');
    client.end();
    await client.readToEnd();
    assert.equal(app.connections.length, 0);
  });

  it('changes answers, our own denials included', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    const filter: Filter = {
      name: 'mine',
      onRequest: ({ head }) => (head.path === '/deny' ? DENIAL : CONTINUE),
      onResponse: (_request, head) => {
        setField(head.fields, 'x-through', 'mine');
      },
    };
    await using sidecar = await mesh.inProcess([filter]);
    using client = await connectRaw({ port: sidecar.port });
    for (const [path, status] of [
      ['/', 200],
      ['/deny', 403],
    ] as const) {
      const response = await client.request(get(path));
      assert.deepEqual([response.status, response.header('x-through')], [status, 'mine']);
    }
  });

  it('judges TCP connections before the app is dialled', async () => {
    await using app = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.write('welcome');
      },
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('tcp', app.port),
    });
    const seen: (string | undefined)[] = [];
    let verdict: 'allow' | 'deny' | 'reject' = 'deny';
    const filter: Filter = {
      name: 'mine',
      onConnection: async ({ peer, protocol }) => {
        assert.equal(protocol, 'tcp');
        seen.push(peer?.spiffeId);
        await Promise.resolve();
        if (verdict === 'reject') throw new Error('no');
        return verdict === 'deny' ? DENIAL : CONTINUE;
      },
    };
    await using sidecar = await mesh.inProcess([filter]);
    for (const code of ['filter_denied', 'filter_failed'] as const) {
      using client = await mesh.connect(sidecar.port, []);
      assert.equal((await client.readToEnd()).bytes.length, 0);
      await sidecar.waitForLog(code);
      verdict = 'reject';
    }
    assert.equal(app.connections.length, 0, 'never dialled');
    verdict = 'allow';
    using client = await mesh.connect(sidecar.port, []);
    assert.equal((await client.readBytes(7)).toString(), 'welcome');
    assert.deepEqual(seen, [SLEEP_ID, SLEEP_ID, SLEEP_ID]);
  });
});

describe('createSidecar', () => {
  it('rejects with StartError and every reason, and leaves nothing open', async () => {
    using mesh = await FlowMesh.create({
      appPort: 9,
      documents: 'apiVersion: v1\nkind: Service\nspec: {prots: []}\n',
    });
    const before = activeResources();
    await assert.rejects(mesh.inProcess(), (error) => {
      assert.ok(error instanceof StartError);
      assert.ok(
        error.lines.every((line) => /documents\.yaml:\d+:\d+: /.test(line)),
        error.lines.join('\n'),
      );
      return true;
    });
    mesh.documents('');
    await assert.rejects(mesh.inProcess([], { 'admin.port': 'x' }), StartError);
    await assert.rejects(createSidecar({ config: mesh.path('absent.yaml') }), StartError);
    await using holder = await startRecordingUpstream();
    for (const name of ['intercept', 'admin', 'readiness', 'metrics']) {
      const taken = { [`${name}.port`]: String(holder.port) };
      await assert.rejects(mesh.inProcess([], taken), (error) => {
        assert.ok(error instanceof StartError);
        assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${holder.port}`));
        return true;
      });
    }
    await holder.close();
    await assertNoLeak(before);
  });

  it('leaves nothing open after close or drain, whatever was under way', async () => {
    const before = activeResources();
    for (const end of ['close', 'drain'] as const) {
      await using app = await startRecordingUpstream({
        answer: ({ target }) => (target === '/never' ? null : 'HTTP/1.1 204 No Content\r\n\r\n'),
      });
      using mesh = await FlowMesh.create({
        appPort: app.port,
        documents: service('http', app.port),
        settings: 'drain: 20ms\ndrainMax: 50ms\naccessLog: {path: ./a.log}',
      });
      const sidecar = await mesh.inProcess();
      using idle = await mesh.connect(sidecar.port);
      assert.equal((await idle.request(get())).status, 204);
      using busy = await mesh.connect(sidecar.port);
      await busy.write(get('/never'));
      await app.request(1);
      using silent = await connectRaw({ port: sidecar.port });
      await sidecar[end]();
      await Promise.all([idle.readToEnd(), busy.readToEnd(), silent.readToEnd()]);
      await sidecar.close();
      await assert.rejects(connectRaw({ port: sidecar.port }), /ECONNREFUSED/);
    }
    await assertNoLeak(before);
  });

  it('runs twice in one process, each with its own documents, identity and log', async () => {
    await using app = await startEchoApp();
    using strict = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
    });
    using open = await FlowMesh.create({ appPort: app.port, documents: service('http', app.port) });
    await using first = await strict.inProcess();
    await using second = await open.inProcess();
    using refused = await connectRaw({ port: first.port });
    await refused.write(get());
    assert.equal((await refused.readToEnd()).bytes.length, 0);
    using plain = await connectRaw({ port: second.port });
    assert.equal((await plain.request(get())).status, 200);
    assert.equal(first.logsOf('no_filter_chain_match').length, 1);
    assert.equal(second.logsOf('no_filter_chain_match').length, 0);
    using member = await strict.connect(first.port);
    const { body } = await member.request(get());
    assert.match(
      echoedHeader(JSON.parse(body.toString()) as Echo, 'x-forwarded-client-cert') ?? '',
      new RegExp(`^By=${HTTPBIN_ID};`),
    );
    using stranger = await open.connect(second.port, undefined, strict.sleep);
    await stranger.write(get());
    assert.equal((await stranger.readToEnd()).bytes.length, 0);
    await second.waitForLog('tls_untrusted_certificate');
  });

  it('answers 503 and logs it while the app is down', async () => {
    const port = await freePort();
    using mesh = await FlowMesh.create({ appPort: port, documents: service('http', port) });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    assert.equal((await client.request(get())).status, 503);
    const line = await sidecar.waitForLog('upstream_connect_failed');
    assert.match(String(line['detail']), new RegExp(`ECONNREFUSED 127\\.0\\.0\\.1:${port}`));
  });
});
