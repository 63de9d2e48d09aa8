/**
 * A real Envoy takes its certificate and its trust bundle from our SDS server, as Istio's sidecars do from its agent.
 *
 * POSTERN_ENVOY names the Envoy binary.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { createSdsServer, type SdsServer } from '../../src/identity/sds-server.ts';
import { type LogLine, type Queue, queueLog, secretOf, TestProvider } from '../identity/sds-fixture.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { type Issued, TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

const envoy = process.env['POSTERN_ENVOY'] ?? '';
const REQUEST = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n';

describe(
  'our SDS server and Envoy',
  { skip: envoy === '' ? 'POSTERN_ENVOY names no Envoy binary' : false },
  () => {
    let folder: TempFolder;
    let ca: TestCa;
    let nextCa: TestCa;
    let caller: Issued;
    let leaf: Issued;
    let provider: TestProvider;
    let lines: Queue<LogLine>;
    let server: SdsServer;
    let child: ChildProcess;
    let port: number;

    before(async () => {
      folder = new TempFolder();
      ca = await TestCa.create('cluster.local');
      nextCa = await TestCa.create('cluster.local');
      caller = await ca.issue();
      leaf = await ca.issue();
      provider = new TestProvider(secretOf(ca, leaf));
      await listen();
      child = spawn(
        envoy,
        ['--config-yaml', config(server.path), '--disable-hot-restart', '--concurrency', '1'],
        {
          cwd: folder.path,
          stdio: ['ignore', 'ignore', 'pipe'],
        },
      );
      port = await listenerPort(child);
    });

    after(async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await server.close();
      folder.remove();
    });

    async function listen(): Promise<void> {
      const logged = queueLog();
      lines = logged.lines;
      const path = folder.join('run/agent.sock');
      server = await createSdsServer({ path, mode: 0o600, uids: [], provider, log: logged.log });
    }

    function handshake(
      identity: Issued = caller,
      roots: readonly TestCa[] = [ca, nextCa],
    ): Promise<RawClient> {
      return connectRaw({
        port,
        tls: {
          cert: identity.chainPem,
          key: identity.keyPem,
          ca: roots.map((root) => root.rootPem),
          checkServerIdentity: () => undefined,
        },
      });
    }

    /** The serial of the certificate that Envoy has now. */
    async function servedSerial(): Promise<string> {
      const client = await handshake();
      const serial = serialOf(client);
      client[Symbol.dispose]();
      return serial;
    }

    /** Makes connections until one sees the certificate: each is an event, there is nothing else to wait for. */
    async function untilServed(wanted: Issued): Promise<void> {
      const until = performance.now() + 8_000;
      let seen = '';
      while (seen !== wanted.serial) {
        seen = await servedSerial();
        assert.ok(performance.now() < until, `Envoy has ${seen}, not ${wanted.serial}`);
      }
    }

    async function isLetIn(identity: Issued): Promise<boolean> {
      try {
        const client = await handshake(identity);
        await client.write(REQUEST);
        const { status } = await client.readResponse();
        client[Symbol.dispose]();
        return status === 200;
      } catch {
        return false;
      }
    }

    async function untilLetIn(identity: Issued, wanted: boolean): Promise<void> {
      const until = performance.now() + 8_000;
      while ((await isLetIn(identity)) !== wanted)
        assert.ok(
          performance.now() < until,
          `Envoy ${wanted ? 'refuses' : 'lets in'} the caller all the time`,
        );
    }

    it('speak mutual TLS with what Envoy was given', async () => {
      const client = await handshake();
      assert.equal(serialOf(client), leaf.serial);
      await client.write(REQUEST);
      assert.equal((await client.readResponse()).status, 200);
      client[Symbol.dispose]();
      assert.equal(await isLetIn(await nextCa.issue()), false);
    });

    it('rotate the certificate under an open connection', async () => {
      const open = await handshake();
      for (let i = 0; i < 5; i++) {
        leaf = await ca.issue();
        provider.set(secretOf(ca, leaf));
        await untilServed(leaf);
        await open.write(REQUEST);
        assert.equal((await open.readResponse()).status, 200);
      }
      open[Symbol.dispose]();
    });

    it('rotate the root: add the next one, change over, take the old one away', async () => {
      const nextCaller = await nextCa.issue();
      const both = ca.rootPem + nextCa.rootPem;
      provider.set(secretOf(ca, leaf, both));
      await untilLetIn(nextCaller, true);
      leaf = await nextCa.issue();
      provider.set(secretOf(nextCa, leaf, both));
      await untilServed(leaf);
      assert.equal(await isLetIn(caller), true);
      provider.set(secretOf(nextCa, leaf, nextCa.rootPem));
      await untilLetIn(caller, false);
      assert.equal(await isLetIn(nextCaller), true);
      caller = nextCaller;
      ca = nextCa;
    });

    it('keep the old certificate when the new one is refused, and say so', async () => {
      const misfit = await ca.issue();
      provider.set(secretOf(ca, { ...misfit, keyPem: (await ca.issue()).keyPem }));
      const { fields } = await lines.find(({ code }) => code === 'sds_nack');
      assert.deepEqual(fields['names'], ['default']);
      assert.match(String(fields['error']), /private key/i);
      assert.equal(await servedSerial(), leaf.serial);
      leaf = await ca.issue();
      provider.set(secretOf(ca, leaf));
      await untilServed(leaf);
      assert.equal(lines.all.filter(({ code }) => code === 'sds_nack').length, 1);
    });

    it('find each other again after the server was away', async () => {
      await server.close();
      assert.equal(await servedSerial(), leaf.serial);
      await listen();
      leaf = await ca.issue();
      provider.set(secretOf(ca, leaf));
      await untilServed(leaf);
    });
  },
);

function serialOf(client: RawClient): string {
  return client.secured.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
}

/** Waits until Envoy's workers run, which is when the secrets are there, and asks it for the port. */
async function listenerPort(process: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let log = '';
  process.stderr!.setEncoding('utf8');
  process.stderr!.on('data', (chunk: string) => {
    log = (log + chunk).slice(-50_000);
    const admin = /admin address: 127\.0\.0\.1:([0-9]+)/.exec(log)?.[1];
    if (admin !== undefined && log.includes('starting workers')) resolve(admin);
  });
  process.on('error', reject);
  process.on('exit', () => reject(new Error(`Envoy ended: ${log.slice(-2000)}`)));
  const admin = await withDeadline(promise, 15_000, 'Envoy', () => log.slice(-2000));
  const response = await fetch(`http://127.0.0.1:${admin}/listeners?format=json`);
  const body = (await response.json()) as {
    listener_statuses: { local_address: { socket_address: { port_value: number } } }[];
  };
  return body.listener_statuses[0]!.local_address.socket_address.port_value;
}

/** A secret that comes from our server. */
function secret(name: string): object {
  return {
    name,
    sdsConfig: {
      resourceApiVersion: 'V3',
      apiConfigSource: {
        apiType: 'GRPC',
        transportApiVersion: 'V3',
        grpcServices: [{ envoyGrpc: { clusterName: 'sds' } }],
      },
    },
  };
}

function config(socket: string): string {
  const type = 'type.googleapis.com/envoy.extensions';
  const anyPort = { socketAddress: { address: '127.0.0.1', portValue: 0 } };
  return JSON.stringify({
    node: { id: 'sidecar~127.0.0.1~sleep.foo~foo.svc.cluster.local', cluster: 'sleep.foo' },
    admin: { address: anyPort },
    staticResources: {
      listeners: [
        {
          name: 'inbound',
          address: anyPort,
          filterChains: [
            {
              transportSocket: {
                name: 'envoy.transport_sockets.tls',
                typedConfig: {
                  '@type': `${type}.transport_sockets.tls.v3.DownstreamTlsContext`,
                  requireClientCertificate: true,
                  commonTlsContext: {
                    tlsCertificateSdsSecretConfigs: [secret('default')],
                    validationContextSdsSecretConfig: secret('ROOTCA'),
                  },
                },
              },
              filters: [
                {
                  name: 'http',
                  typedConfig: {
                    '@type': `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
                    statPrefix: 'inbound',
                    routeConfig: {
                      virtualHosts: [
                        {
                          name: 'all',
                          domains: ['*'],
                          routes: [
                            {
                              match: { prefix: '/' },
                              directResponse: { status: 200, body: { inlineString: 'ok' } },
                            },
                          ],
                        },
                      ],
                    },
                    httpFilters: [
                      { name: 'router', typedConfig: { '@type': `${type}.filters.http.router.v3.Router` } },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'sds',
          connectTimeout: '1s',
          typedExtensionProtocolOptions: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': `${type}.upstreams.http.v3.HttpProtocolOptions`,
              explicitHttpConfig: { http2ProtocolOptions: {} },
            },
          },
          loadAssignment: {
            clusterName: 'sds',
            endpoints: [{ lbEndpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
          },
        },
      ],
    },
  });
}
