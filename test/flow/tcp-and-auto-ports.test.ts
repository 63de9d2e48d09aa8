import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { recordHello } from '../tls/raw-hello.ts';
import { echoedHeader, startEchoApp, type Echo } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, get, meshConfig, MESH_ALPN, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';
import type { Mode } from './flow-mesh.ts';

const H2_PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** A TCP app that answers, once the client has ended, with what it got, and then ends. */
async function startEndEcho(): Promise<AsyncDisposable & { readonly port: number; readonly got: string[] }> {
  const got: string[] = [];
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('end', () => {
      got.push(text);
      socket.end(`<${text}>`, 'latin1');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    got,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

describe('a port that no Service names, under STRICT', () => {
  it('carries bytes both ways as TCP, each side ending on its own, and takes no plaintext', async () => {
    await using app = await startEndEcho();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: peerAuthentication('STRICT') });
    await using sidecar = await mesh.inProcess();
    using client = await mesh.connect(sidecar.port, []);
    await client.write('hello\x00\xff');
    await client.write(' world');
    client.end();
    const { bytes, ending } = await client.readToEnd();
    assert.equal(bytes.toString('latin1'), '<hello\x00\xff world>');
    assert.equal(ending, 'end');

    using plain = await connectRaw({ port: sidecar.port });
    await plain.write('hello');
    await plain.readToEnd();
    const line = await sidecar.waitForLog('no_filter_chain_match');
    assert.match(String(line['why']), /plaintext came to this port/);
    assert.match(String(line['hint']), /PeerAuthentication foo\/default sets STRICT/);
    assert.deepEqual(app.got, ['hello\x00\xff world']);
  });

  it('carries HTTP as TCP too, unless Istio’s HTTP is offered: then with the client’s identity', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: peerAuthentication('STRICT') });
    await using sidecar = await mesh.inProcess();
    for (const alpn of [[], ['http/1.1'], ['istio', 'http/1.1'], ['h2', 'http/1.1']]) {
      using client = await mesh.connect(sidecar.port, alpn);
      const { body } = await client.request(get('/', 'x-forwarded-client-cert: untouched'));
      const echo = JSON.parse(body.toString()) as Echo;
      assert.equal(echoedHeader(echo, 'x-forwarded-client-cert'), 'untouched', `TCP with ${alpn.join()}`);
      assert.equal(echoedHeader(echo, 'x-request-id'), undefined);
    }
    using client = await mesh.connect(sidecar.port, MESH_ALPN);
    const { body } = await client.request(get());
    const echo = JSON.parse(body.toString()) as Echo;
    assert.match(echoedHeader(echo, 'x-forwarded-client-cert') ?? '', new RegExp(`;URI=${SLEEP_ID}$`));
  });
});

describe('a port that no Service names, under PERMISSIVE', () => {
  it('tells plaintext HTTP from other plaintext, and Istio’s TCP from its HTTP', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({ appPort: app.port, documents: '' });
    await using sidecar = await mesh.inProcess();
    const seen = async (alpn: readonly string[] | null): Promise<string> => {
      using client =
        alpn === null ? await connectRaw({ port: sidecar.port }) : await mesh.connect(sidecar.port, alpn);
      const { body } = await client.request(get('/', 'x-forwarded-client-cert: spoofed'));
      return echoedHeader(JSON.parse(body.toString()) as Echo, 'x-forwarded-client-cert') ?? 'removed';
    };
    assert.equal(await seen(null), 'removed', 'plaintext HTTP');
    assert.match(await seen(['istio-http/1.1', 'http/1.1']), new RegExp(`URI=${SLEEP_ID}$`));
    // What the client names first among Istio's decides, as in Envoy.
    assert.equal(await seen(['istio', 'istio-http/1.1', 'http/1.1']), 'spoofed', 'TCP: nothing is looked at');
    assert.equal(await seen(['istio-peer-exchange', 'istio']), 'spoofed', 'TCP');
  });

  it('passes TLS that is not Istio’s to the app untouched', async () => {
    using mesh = await FlowMesh.create({ appPort: 1, documents: '' });
    const own = await mesh.ca.issue({ dnsNames: ['app.test'] });
    const app = createTlsServer(
      { cert: own.chainPem, key: own.keyPem, ALPNProtocols: ['h2', 'http/1.1'] },
      (socket) => {
        socket.on('error', () => {});
        socket.pipe(socket);
      },
    );
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    try {
      const { port } = app.address() as AddressInfo;
      await using sidecar = await mesh.inProcess([], { 'intercept.direct': `127.0.0.1:${port}` });
      using client = await connectRaw({
        port: sidecar.port,
        tls: { ca: mesh.ca.rootPem, servername: 'app.test', ALPNProtocols: ['h2', 'http/1.1'] },
      });
      assert.equal(client.secured.authorized, true, 'the app’s own certificate arrived');
      assert.equal(client.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(), own.serial);
      assert.equal(client.secured.alpnProtocol, 'h2');
      await client.write('through');
      assert.equal((await client.readBytes(7)).toString(), 'through');
    } finally {
      const closed = once(app, 'close');
      app.close();
      await closed;
    }
  });

  it('lets a server speak first after protocolDetectionTimeout, and closes silence without one', async () => {
    await using app = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.write('220 ready\r\n');
      },
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: meshConfig('protocolDetectionTimeout: 0.05s'),
    });
    {
      await using sidecar = await mesh.inProcess();
      using client = await connectRaw({ port: sidecar.port });
      assert.equal((await client.readUntil('\r\n')).toString(), '220 ready\r\n');
      await client.write('QUIT\r\n');
      const connection = await app.connection();
      await connection.until((bytes) => bytes.toString() === 'QUIT\r\n', 'what the client said');
      client.close();
    }
    mesh.documents('');
    await using sidecar = await mesh.inProcess([], { 'limits.sniffTimeoutMs': '50' });
    using client = await connectRaw({ port: sidecar.port });
    const { bytes } = await client.readToEnd();
    assert.equal(bytes.length, 0);
    const line = await sidecar.waitForLog('sniff_timeout');
    assert.match(String(line['hint']), /tcp.*protocolDetectionTimeout/);
    assert.equal(app.connections.length, 1, 'the second never came to the app');
  });

  it('never takes a begun ClientHello for plaintext, however long it waits', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: meshConfig('protocolDetectionTimeout: 0.02s'),
    });
    await using sidecar = await mesh.inProcess([], { 'limits.sniffTimeoutMs': '150' });
    using client = await connectRaw({ port: sidecar.port });
    await client.write((await recordHello()).subarray(0, 40));
    await client.readToEnd();
    const line = await sidecar.waitForLog('sniff_timeout');
    assert.equal(line['receivedBytes'], 40);
    assert.equal(app.connections.length, 0);
  });
});

describe('a port named tcp', () => {
  it('lets a server speak first under DISABLE, at once', async () => {
    await using app = await startRecordingUpstream({
      script: ({ socket }) => {
        socket.write('220 ready\r\n');
      },
    });
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('DISABLE') + service('tcp-smtp', app.port),
    });
    await using sidecar = await mesh.inProcess();
    using client = await connectRaw({ port: sidecar.port });
    assert.equal((await client.readUntil('\r\n')).toString(), '220 ready\r\n');
  });

  it('carries what HTTP ports refuse: CONNECT, Upgrade, the HTTP/2 preface', async () => {
    await using app = await startEndEcho();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('PERMISSIVE') + service('tcp', app.port),
    });
    await using sidecar = await mesh.inProcess();
    for (const sent of ['CONNECT a:1 HTTP/1.1\r\n\r\n', get('/', 'upgrade: websocket'), H2_PREFACE]) {
      for (const alpn of [null, ['istio']]) {
        using client =
          alpn === null ? await connectRaw({ port: sidecar.port }) : await mesh.connect(sidecar.port, alpn);
        await client.write(sent);
        client.end();
        const { bytes } = await client.readToEnd();
        assert.equal(bytes.toString(), `<${sent}>`);
      }
    }
  });
});

describe('a port named http under DISABLE', () => {
  it('serves plaintext, and answers a ClientHello as the bad request that it is', async () => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('DISABLE') + service('http', app.port),
    });
    await using sidecar = await mesh.inProcess();
    using plain = await connectRaw({ port: sidecar.port });
    assert.equal((await plain.request(get())).status, 200);
    using secured = await connectRaw({ port: sidecar.port });
    await secured.write(await recordHello());
    const { bytes } = await secured.readToEnd();
    assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 400 /);
    assert.equal(app.seen.length, 1);
  });
});

describe('HTTP/2', () => {
  const cases: readonly {
    readonly what: string;
    readonly mode: Mode;
    readonly port: string;
    readonly alpn: readonly string[] | null;
    readonly why: RegExp;
  }[] = [
    {
      what: 'a preface in the clear',
      mode: 'PERMISSIVE',
      port: 'http',
      alpn: null,
      why: /cleartext HTTP\/2 preface/,
    },
    {
      what: 'a client that offers istio-h2 alone',
      mode: 'PERMISSIVE',
      port: 'http',
      alpn: ['istio-h2'],
      why: /"istio-h2"/,
    },
    { what: 'a client that offers h2 alone', mode: 'STRICT', port: 'http', alpn: ['h2'], why: /"h2"/ },
    {
      what: 'plaintext to a port named http2',
      mode: 'PERMISSIVE',
      port: 'http2',
      alpn: null,
      why: /declares port \d+ as HTTP\/2/,
    },
    {
      what: 'mTLS to a port named grpc',
      mode: 'STRICT',
      port: 'grpc',
      alpn: MESH_ALPN,
      why: /declares port \d+ as HTTP\/2/,
    },
    {
      what: 'mTLS to a port named grpc-web',
      mode: 'STRICT',
      port: 'grpc-web-api',
      alpn: MESH_ALPN,
      why: /HTTP\/2/,
    },
  ];
  for (const { what, mode, port, alpn, why } of cases) {
    it(`is refused for ${what}, with one line that says what to do`, async () => {
      await using app = await startRecordingUpstream();
      using mesh = await FlowMesh.create({
        appPort: app.port,
        documents: peerAuthentication(mode) + service(port, app.port),
      });
      await using sidecar = await mesh.inProcess();
      const started = sidecar.logs.length;
      if (alpn === null) {
        using client = await connectRaw({ port: sidecar.port });
        await client.write(H2_PREFACE);
        const { bytes } = await client.readToEnd();
        assert.equal(bytes.length, 0);
      } else {
        await assert.rejects(mesh.connect(sidecar.port, alpn));
      }
      const line = await sidecar.waitForLog('http2_not_supported', started);
      assert.deepEqual(sidecar.logs.slice(started), [line]);
      assert.match(String(line['why']), why);
      assert.match(String(line['hint']), /HTTP\/1\.1.*tcp/);
      assert.equal(app.connections.length, 0);
    });
  }
});
