import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { startEchoApp } from '../support/echo-app.ts';
import { startProxy } from '../support/spawn-postern.ts';
import { FlowMesh, get, peerAuthentication, service } from './flow-mesh.ts';

/** From source at rest: some 30 MB of it are Node's type stripper, which what is published does without. */
const MAX_RSS_MB = 140;

/** Writes each resolved module to stderr, one a line: for ESM, CommonJS and `import()` alike. */
const SPY = `
import { registerHooks } from 'node:module';
import { writeSync } from 'node:fs';
registerHooks({
  load(url, context, nextLoad) {
    writeSync(2, 'LOADED ' + url + '\\n');
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
