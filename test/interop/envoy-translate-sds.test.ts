/** A translation without inline secrets, in an Envoy that has its certificates from our SDS server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createSdsServer } from '../../src/identity/sds-server.ts';
import { queueLog, secretOf, TestProvider } from '../identity/sds-fixture.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa } from '../support/test-ca.ts';
import { policies, policy, port, rule, snapshotOf } from '../translate/plan-fixture.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { startTranslatedEnvoy, staticCluster } from './envoy-translated.ts';

const TYPE = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

describe('a translation with SDS names', { skip: SKIP_WITHOUT_ENVOY }, () => {
  it('is served with what the agent gives under them', async () => {
    using folder = new TempFolder();
    await using app = await startEchoApp();
    const ca = await TestCa.create('cluster.local');
    const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    const path = folder.join('run/agent.sock');
    const { log } = queueLog();
    const provider = new TestProvider(secretOf(ca, own));
    const agent = await createSdsServer({ path, mode: 0o600, uids: [], provider, log });
    try {
      const snapshot = snapshotOf({
        ports: [port('http', 'STRICT')],
        authorization: policies(policy({ rules: [rule({ from: [{ namespaces: ['foo'] }] })] })),
      });
      await using envoy = await startTranslatedEnvoy({
        listeners: [{ name: 'sds', snapshot, port: 8080, secrets: null }],
        clusters: [staticCluster('inbound|8080||', app.port), agentCluster(path)],
      });
      for (const [id, status] of [
        ['spiffe://cluster.local/ns/foo/sa/sleep', 200],
        ['spiffe://cluster.local/ns/bar/sa/sleep', 403],
      ] as const) {
        const caller = await ca.issue({ spiffeId: id });
        using client = await connectRaw({
          ...envoy.at['sds']!,
          tls: {
            ca: ca.rootPem,
            cert: caller.chainPem,
            key: caller.keyPem,
            checkServerIdentity: () => undefined,
          },
        });
        assert.equal(
          client.secured.getPeerX509Certificate()?.serialNumber.toLowerCase(),
          own.serial,
          'the certificate of the agent',
        );
        assert.equal((await client.request('GET / HTTP/1.1\r\nhost: a\r\n\r\n')).status, status, id);
      }
    } finally {
      await agent.close();
    }
  });
});

function agentCluster(path: string): object {
  return {
    name: 'sds-grpc',
    connectTimeout: '1s',
    typedExtensionProtocolOptions: {
      [TYPE]: {
        '@type': `type.googleapis.com/${TYPE}`,
        explicitHttpConfig: { http2ProtocolOptions: {} },
      },
    },
    loadAssignment: {
      clusterName: 'sds-grpc',
      endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  };
}
