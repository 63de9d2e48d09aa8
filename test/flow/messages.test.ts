import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deserialize, serialize } from 'node:v8';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type { FromData, ToData } from '../../src/messages.ts';
import { createLoggers } from '../../src/observe/loggers.ts';
import { Sidecar } from '../../src/sidecar.ts';
import { loadMesh } from '../../src/load-mesh.ts';
import { loadPosternConfig } from '../../src/config/postern-config.ts';
import { createFileSecrets } from '../../src/identity/file-secrets.ts';
import type { SecretMaterial } from '../../src/core/secret.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { FlowMesh, get, meshConfig, peerAuthentication, service, SLEEP_ID } from './flow-mesh.ts';

/** As between two threads: by V8's serializer and by a real port. Plain values come out; methods need not. */
function sent<T>(message: T): T {
  const text = JSON.stringify(message);
  assert.equal(JSON.stringify(deserialize(serialize(message))), text, 'the serializer loses nothing');
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(message);
    const received = receiveMessageOnPort(port2) as { readonly message: T };
    assert.equal(JSON.stringify(received.message), text, 'a port loses nothing');
    return received.message;
  } finally {
    port1.close();
  }
}

describe('the messages between the two halves', () => {
  it('all pass between threads as they are, and a data half works with the copies', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents:
        peerAuthentication('STRICT') +
        service('http', app.port) +
        meshConfig(
          'accessLogFile: /dev/null',
          'protocolDetectionTimeout: 1s',
          'trustDomainAliases: [old.example]',
        ),
    });
    const { config } = loadPosternConfig({ file: mesh.configFile, environment: {}, workingDirectory: '/' });
    assert.ok(config !== null);
    const { snapshot } = loadMesh(config, 7);
    assert.ok(snapshot !== null);
    assert.deepEqual(Object.keys(snapshot.limits), Object.keys(DEFAULT_LIMITS));
    assert.ok(config.identity.kind === 'files');
    const given = Promise.withResolvers<SecretMaterial>();
    const source = createFileSecrets({ ...config.identity, trustDomains: snapshot.trustDomains });
    await source.start(given.resolve, assert.fail);
    const secret = await given.promise;
    source.stop();

    const got: FromData[] = [];
    let wake = Promise.withResolvers<void>();
    const loggers = createLoggers({ write: () => {} });
    const sidecar = new Sidecar({
      bind: '127.0.0.1',
      port: 0,
      inboundPort: 0,
      direct: { host: '127.0.0.1', port: app.port },
      appHost: '127.0.0.1',
      reusePort: false,
      filters: [],
      loggers,
      send: (message) => {
        got.push(sent(message));
        wake.resolve();
        wake = Promise.withResolvers();
      },
    });
    using _ = {
      [Symbol.dispose]() {
        sidecar.receive({ kind: 'stop' });
        loggers.close();
      },
    };
    const answer = async <K extends FromData['kind']>(kind: K): Promise<Extract<FromData, { kind: K }>> => {
      const loop = async (): Promise<Extract<FromData, { kind: K }>> => {
        for (;;) {
          const found = got.find((message) => message.kind === kind);
          if (found !== undefined) return found as Extract<FromData, { kind: K }>;
          await wake.promise;
        }
      };
      return withDeadline(loop(), 5_000, kind);
    };
    const tell = (message: ToData): void => {
      sidecar.receive(sent(message));
    };
    tell({ kind: 'snapshot', snapshot, secret, bound: null });
    assert.equal((await answer('snapshot-applied')).generation, 7);
    tell({ kind: 'secret', secret: { ...secret, version: 2 } });
    assert.equal((await answer('secret-installed')).version, 2);
    tell({ kind: 'secret', secret: { ...secret, version: 3, privateKeyPem: 'none' } });
    const refused = await answer('secret-refused');
    assert.equal(refused.version, 3);
    tell({
      kind: 'snapshot',
      snapshot: {
        ...snapshot,
        generation: 8,
        accessLog: { path: '/nowhere/a/b', encoding: 'TEXT', format: '' },
      },
      secret: null,
      bound: null,
    });
    assert.match((await answer('snapshot-refused')).message, /\/nowhere\/a\/b/);
    tell({ kind: 'levels', levels: loggers.levels() });
    tell({ kind: 'reopen-logs' });
    tell({ kind: 'listen', reservedPorts: [1, 2], bound: null });
    const { ports } = await answer('listening');
    using client = await mesh.connect(ports.intercept);
    assert.equal((await client.request(get())).status, 200);
    tell({ kind: 'report', id: 5 });
    const { id, report } = await answer('report');
    assert.equal(id, 5);
    assert.equal(report.connectionCount, 1);
    assert.equal(report.connections[0]?.peer, SLEEP_ID);
    assert.equal(report.connections[0]?.requests, 1);
    tell({ kind: 'drain', tunnelMs: 10, maxMs: 1_000 });
    await answer('drained');
    tell({ kind: 'stop' });
    await client.readToEnd();
  });
});
