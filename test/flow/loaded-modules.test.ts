import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { startEchoApp } from '../support/echo-app.ts';
import { startProxy } from '../support/spawn-postern.ts';
import { startGrpcProvider } from '../filters/ext-authz-fixture.ts';
import { askingDocuments, customPolicy, NOT_OPEN } from './ext-authz-mesh.ts';
import { FlowMesh, get, peerAuthentication, service } from './flow-mesh.ts';
import { SdsMesh } from './sds-mesh.ts';

/** From source at rest: some 30 MB of it are Node's type stripper, which what is published does without. */
const MAX_RSS_MB = 140;

/** Writes each resolved module to stderr, one a line: for ESM, CommonJS and `import()` alike. */
const SPY = `
import { registerHooks } from 'node:module';
import { writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
const what = isMainThread ? 'LOADED ' : 'LOADED-BY-WORKER ';
registerHooks({
  load(url, context, nextLoad) {
    writeSync(2, what + url + '\\n');
    return nextLoad(url, context);
  },
});
`;

describe('a sidecar whose identity is files', () => {
  it('loads no library that it does not need, and prom-client only for a scrape', async (t) => {
    await using app = await startEchoApp();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('http', app.port),
      settings: 'accessLog: {path: /dev/stdout}',
    });
    const spy = mesh.folder.write('spy.mjs', SPY);
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const { proxy, ready } = await startProxy(mesh.configFile, [], {
      command: [process.execPath, '--import', spy, main],
    });
    await using _ = proxy;
    using client = await mesh.connect(ready.ports.intercept!);
    assert.equal((await client.request(get())).status, 200);

    const packages = (): string[] => {
      const urls = [...proxy.stderr.matchAll(/^LOADED (\S+)$/gm)].map(([, url = '']) => url);
      const names = urls
        .map((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1])
        .filter((name) => name !== undefined);
      return [...new Set(names)].toSorted();
    };
    const loaded = packages();
    assert.ok(loaded.includes('pino') && loaded.includes('yaml'), 'the spy sees packages');
    for (const name of [
      '@peculiar/x509',
      'reflect-metadata',
      'undici',
      '@grpc/grpc-js',
      '@bufbuild/protobuf',
      'jose',
      'prom-client',
      'http-proxy',
    ]) {
      assert.ok(!loaded.includes(name), `${name} is loaded: ${loaded.join(', ')}`);
    }
    const own = [...proxy.stderr.matchAll(/^LOADED \S+\/src\/(\S+)$/gm)].map(([, file = '']) => file);
    assert.deepEqual(
      own.filter((file) => /^demo\/|^identity\/authority|^cli\/(?:demo|validate|wait)-/.test(file)),
      [],
      'no other command is loaded',
    );
    // Nor of what asks providers of CUSTOM policies, but for the filter itself.
    assert.ok(own.includes('policy-in-force.ts'));
    assert.deepEqual(own.filter(isOfProviders), []);
    assert.ok(!proxy.stderr.includes('LOADED node:http2'));
    const rssMb =
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${proxy.pid}/status`, 'utf8'))?.[1]) / 1024;
    t.diagnostic(`packages: ${loaded.join(', ')}; RSS at rest ${rssMb.toFixed(0)} MB`);
    assert.ok(rssMb > 20 && rssMb < MAX_RSS_MB, `${rssMb} MB`);

    const scraped = await fetch(`http://127.0.0.1:${ready.ports.metrics}/stats/prometheus`);
    assert.equal(scraped.status, 200);
    await scraped.arrayBuffer();
    assert.ok(packages().includes('prom-client'));
  });
});

/** Loaded by the first snapshot with a provider. */
function isOfProviders(file: string): boolean {
  return /^ext-authz-upstreams|^wire\/|^filters\/ext-authz-(?:call|check|client|grpc|http|sessions)/.test(
    file,
  );
}

describe('a sidecar with a CUSTOM policy', () => {
  it('loads what asks a provider, and no gRPC library for it', async () => {
    await using app = await startEchoApp();
    await using provider = await startGrpcProvider(() => ({}));
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: askingDocuments(
        app.port,
        [{ kind: 'grpc', port: provider.port }],
        customPolicy('authz', NOT_OPEN),
      ),
    });
    const spy = mesh.folder.write('spy.mjs', SPY);
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const { proxy, ready } = await startProxy(mesh.configFile, [], {
      command: [process.execPath, '--import', spy, main],
    });
    await using _ = proxy;
    using client = await mesh.connect(ready.ports.intercept!);
    assert.equal((await client.request(get())).status, 200);
    assert.equal(provider.calls.length, 1);
    const own = [...proxy.stderr.matchAll(/^LOADED \S+\/src\/(\S+)$/gm)].map(([, file = '']) => file);
    assert.ok(own.filter(isOfProviders).length > 6, own.join());
    assert.ok(proxy.stderr.includes('LOADED node:http2'));
    assert.ok(proxy.stderr.includes('/node_modules/@bufbuild/protobuf/'));
    assert.ok(!proxy.stderr.includes('/node_modules/@grpc/grpc-js/'));
  });
});

describe('a sidecar whose identity comes over SDS, with workers', () => {
  it('loads gRPC in the control half alone, and each half without the other', async () => {
    await using app = await startEchoApp();
    await using sds = await SdsMesh.create(app.port, '', 'concurrency: 2');
    await sds.startServer();
    const { mesh } = sds;
    const spy = mesh.folder.write('spy.mjs', SPY);
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const { proxy, ready } = await startProxy(sds.configFile, [], {
      command: [process.execPath, '--import', spy, main],
    });
    await using _ = proxy;
    using client = await mesh.connect(ready.ports.intercept!);
    assert.equal((await client.request(get())).status, 200);

    const loadedBy = (what: string, pattern: string): Set<string> =>
      new Set(
        [...proxy.stderr.matchAll(new RegExp(`^${what} \\S+/${pattern}`, 'gm'))].map(([, name = '']) => name),
      );
    const packagePattern = 'node_modules/((?:@[^/]+/)?[^/]+)/';
    const control = loadedBy('LOADED', packagePattern);
    assert.ok(control.has('@grpc/grpc-js') && control.has('@bufbuild/protobuf'), [...control].join());
    for (const name of ['@peculiar/x509', 'reflect-metadata', 'undici', 'jose', 'prom-client'])
      assert.ok(!control.has(name), `${name} is loaded`);
    const worker = loadedBy('LOADED-BY-WORKER', packagePattern);
    assert.ok(worker.has('pino'));
    for (const name of ['@grpc/grpc-js', '@bufbuild/protobuf', 'yaml', 'prom-client', '@peculiar/x509'])
      assert.ok(!worker.has(name), `a worker loads ${name}`);

    const controlFiles = loadedBy('LOADED', 'src/(\\S+)$');
    const workerFiles = loadedBy('LOADED-BY-WORKER', 'src/(\\S+)$');
    assert.ok(controlFiles.has('control.ts') && workerFiles.has('sidecar.ts'));
    assert.ok(!controlFiles.has('sidecar.ts') && !controlFiles.has('data-in-thread.ts'));
    const foreign = [...workerFiles].filter((file) =>
      /^(?:control|identity\/|cli\/|config\/watch-|observe\/admin-)/.test(file),
    );
    assert.deepEqual(foreign, [], 'a worker has nothing of the control half');
  });
});
