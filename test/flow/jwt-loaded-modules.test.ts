/** What tokens and key sets need is loaded with the documents that need it. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { KeySetServer } from '../support/key-set-server.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { startProxy } from '../support/spawn-postern.ts';
import { TestIssuer } from '../support/test-tokens.ts';
import { FlowMesh, get, service } from './flow-mesh.ts';
import { ALLOW_LOOPBACK, requestAuthentication } from './jwt-mesh.ts';

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

describe('a sidecar', () => {
  it('loads jose with the first RequestAuthentication, undici with the first key set that is elsewhere', async () => {
    const issuer = new TestIssuer('a');
    await using server = await KeySetServer.start();
    server.answers.set('/keys', { body: issuer.jwks() });
    await using app = await startEchoApp();
    const plain = service('http', app.port);
    using mesh = await FlowMesh.create({ appPort: app.port, documents: plain, settings: ALLOW_LOOPBACK });
    const spy = mesh.folder.write('spy.mjs', SPY);
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    const { proxy, ready } = await startProxy(mesh.configFile, [], {
      command: [process.execPath, '--import', spy, main],
    });
    await using _ = proxy;
    const loaded = (): string[] =>
      ['jose', 'undici'].filter((name) => proxy.stderr.includes(`/node_modules/${name}/`));
    const send = async (): Promise<number> => {
      using client = await connectRaw({ port: ready.ports.intercept! });
      return (await client.request(get('/', `authorization: Bearer ${await issuer.token()}`))).status;
    };
    assert.equal(await send(), 200);
    assert.deepEqual(loaded(), []);

    mesh.documents(plain + requestAuthentication({ issuer: 'a', jwks: issuer.jwks() }));
    await proxy.waitForLog(({ code, generation }) => code === 'reloaded' && generation === 2);
    assert.equal(await send(), 200);
    assert.deepEqual(loaded(), ['jose']);

    mesh.documents(plain + requestAuthentication({ issuer: 'a', jwksUri: `${server.url}/keys` }));
    await proxy.waitForLog(({ code }) => code === 'jwks_fetched');
    assert.equal(await send(), 200);
    assert.deepEqual(loaded(), ['jose', 'undici']);
  });
});
