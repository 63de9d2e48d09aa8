import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, it } from 'node:test';
import { StartError } from '../../src/index.ts';
import type { Issued } from '../support/test-ca.ts';
import { TestCa } from '../support/test-ca.ts';
import { EGRESS_HTTP, FlowClient } from './flow-pair.ts';

/** A server of the world outside: it has its own authority and asks for a certificate of it. */
class OutsideServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(ca: TestCa): Promise<OutsideServer> {
    const own = await ca.issue({ dnsNames: ['api.example.com'], uris: [] });
    const server = createServer(
      { key: own.keyPem, cert: own.chainPem, ca: ca.rootPem, requestCert: true, rejectUnauthorized: true },
      ({ socket }, response) => {
        assert.ok(socket instanceof TLSSocket);
        response.end(socket.getPeerX509Certificate()?.serialNumber.toLowerCase());
      },
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new OutsideServer(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

/** api.example.com:80, which is the outside server's port spoken to by mutual TLS with certificates from files. */
function outside(port: number): string {
  return `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: foo}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: ${port}}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: api, namespace: foo}
spec:
  host: api.example.com
  trafficPolicy:
    tls:
      mode: MUTUAL
      sni: api.example.com
      subjectAltNames: [api.example.com]
      clientCertificate: ../outside/client.pem
      privateKey: ../outside/client-key.pem
      caCertificates: ../outside/ca.pem
---
`;
}

interface Outside extends AsyncDisposable {
  readonly client: FlowClient;
  readonly ca: TestCa;
  readonly own: Issued;
  readonly write: (own: Issued) => void;
}

async function start(settings: string): Promise<Outside> {
  const ca = await TestCa.create('example.com');
  const server = await OutsideServer.start(ca);
  const client = await FlowClient.start(
    await TestCa.create('cluster.local'),
    EGRESS_HTTP,
    undefined,
    settings,
  );
  const own = await ca.issue({ dnsNames: ['sleep.example.com'], uris: [] });
  const write = ({ chainPem, keyPem }: Issued): void => {
    client.folder.write('outside/client.pem', chainPem);
    client.folder.write('outside/client-key.pem', keyPem, 0o600);
  };
  write(own);
  client.folder.write('outside/ca.pem', ca.rootPem);
  await client.setDocuments(EGRESS_HTTP + outside(server.port));
  return {
    client,
    ca,
    own,
    write,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

for (const concurrency of [1, 2]) {
  describe(`files that DestinationRules name, with ${concurrency} data ${concurrency === 1 ? 'half' : 'halves'}`, () => {
    it('are used by the connections that are made, and watched', async () => {
      await using running = await start(`concurrency: ${concurrency}`);
      const { ca, client, own, write } = running;
      for (let call = 0; call < 8; call++) {
        const { body, status } = await client.call('api.example.com');
        assert.deepEqual([status, body], [200, own.serial]);
      }
      let from = client.sidecar.logs.length;
      const next = await ca.issue({ dnsNames: ['sleep.example.com'], uris: [] });
      write(next);
      await client.sidecar.waitForLog('tls_files', from);
      for (let call = 0; call < 8; call++)
        assert.equal((await client.call('api.example.com')).body, next.serial);

      from = client.sidecar.logs.length;
      client.folder.write('outside/client-key.pem', own.keyPem);
      const line = await client.sidecar.waitForLog('tls_files_invalid', from);
      assert.match(String(line['why']), /outside\/client-key\.pem": it does not fit.*client\.pem/);
      assert.doesNotMatch(JSON.stringify(client.sidecar.logs), /PRIVATE KEY/);
      assert.equal((await client.call('api.example.com')).body, next.serial, 'the last good ones stay');
    });

    it('that cannot be used refuse the documents that name them, by path and reason', async () => {
      await using running = await start(`concurrency: ${concurrency}`);
      const { client, own, write } = running;
      for (const [name, text, why] of [
        [
          'ca.pem',
          'no certificate',
          /Cannot use ".*outside\/ca\.pem": it has no "-----BEGIN CERTIFICATE-----"/,
        ],
        ['client-key.pem', 'no key', /Cannot use ".*outside\/client-key\.pem": it is not an unencrypted/],
        ['client.pem', '', /Cannot use ".*outside\/client\.pem": it is empty/],
      ] as const) {
        const from = client.sidecar.logs.length;
        client.folder.write(`outside/${name}`, text);
        const { why: told } = await client.sidecar.waitForLog('tls_files_invalid', from);
        assert.match(String(told), why);
        assert.equal((await client.call('api.example.com')).status, 200, name);
        write(own);
        client.folder.write('outside/ca.pem', running.ca.rootPem);
      }
      const from = client.sidecar.logs.length;
      const documents = `${EGRESS_HTTP}${outside(1)}`;
      client.folder.write('mesh/documents.yaml', documents.replace('outside/ca.pem', 'absent/ca.pem'));
      const { errors } = await client.sidecar.waitForLog('config_invalid', from);
      assert.match(JSON.stringify(errors), /Cannot read.*absent\/ca\.pem.*ENOENT.*correct the path/);
      assert.equal((await client.call('api.example.com')).status, 200);
      const refused = client.sidecar.logs.length;
      client.folder.write('absent/ca.pem', running.ca.rootPem);
      await client.sidecar.waitForLog('reloaded', refused);
    });
  });
}

describe('files that DestinationRules name', () => {
  it('end the start when they cannot be used', async () => {
    const mesh = await TestCa.create('cluster.local');
    await assert.rejects(FlowClient.start(mesh, EGRESS_HTTP + outside(1)), (error) => {
      assert.ok(error instanceof StartError);
      assert.match(error.message, /^postern: Cannot read ".*outside\/.*": ENOENT/);
      return true;
    });
  });
});
