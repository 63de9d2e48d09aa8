/** The proof before a pair is timed, with small sidecars of the test that check the server, or only seem to. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pipeline } from 'node:stream';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { makeCertificates, SERVER_URI } from '../../bench/certificates.ts';
import type { Certificates, ServerCertificates } from '../../bench/certificates.ts';
import { checkPair, checkRefusals } from '../../bench/check-pair.ts';
import type { Peer } from '../../bench/peers/peer.ts';
import type { LoadTarget } from '../../bench/peers/running-peer.ts';

const peer: Peer = {
  name: 'tested',
  checks: 'SPIFFE ID',
  pairChecks: 'SPIFFE ID',
  accessLog: false,
  carries: ['http'],
  ready: 'connect',
  find: () => null,
};

type Sidecar = LoadTarget & { end(): Promise<void> };

async function listening(server: Server): Promise<Sidecar> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    name: 'tested',
    port: (server.address() as AddressInfo).port,
    host: 'httpbin.foo',
    isMtls: false,
    proxies: () => [],
    end: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}

const bySpiffeId: ConnectionOptions['checkServerIdentity'] = (_host, { subjectaltname }) =>
  subjectaltname === `URI:${SERVER_URI}` ? undefined : new Error('another server');

describe('bench proof of a pair', () => {
  let folder = '';
  let certificates: Certificates;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-check-pair-'));
    certificates = await makeCertificates(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Bytes to and from a TLS connection with the client's certificate. */
  function startSidecar(upstreamPort: number, options: ConnectionOptions): Promise<Sidecar> {
    const { client } = certificates;
    const tls = {
      host: '127.0.0.1',
      port: upstreamPort,
      cert: readFileSync(client.certificate),
      key: readFileSync(client.key),
      ...options,
    };
    return listening(
      createServer((downstream) => {
        pipeline(downstream, connect(tls), downstream, () => undefined);
      }),
    );
  }

  function check(servers: ServerCertificates, options: ConnectionOptions): Promise<void> {
    return checkRefusals(peer, certificates, servers, (port) => startSidecar(port, options));
  }

  it('passes who compares the SPIFFE ID', async () => {
    const ca = readFileSync(certificates.mesh.roots);
    await check(certificates.mesh, { ca, checkServerIdentity: bySpiffeId });
  });

  it('passes who compares the DNS name, with certificates that have one', async () => {
    const ca = readFileSync(certificates.named.roots);
    await check(certificates.named, { ca, servername: 'httpbin.foo.svc.cluster.local' });
  });

  it('does not pass who checks the chain alone', async () => {
    const ca = readFileSync(certificates.mesh.roots);
    await assert.rejects(
      check(certificates.mesh, { ca, checkServerIdentity: () => undefined }),
      /sent the request to a server with the identity of another workload/,
    );
  });

  it('does not pass who checks nothing, nor who speaks to nobody', async () => {
    const blind = { rejectUnauthorized: false, checkServerIdentity: () => undefined };
    await assert.rejects(check(certificates.mesh, blind), /another workload/);
    const silent = { ca: readFileSync(certificates.named.roots) };
    await assert.rejects(check(certificates.mesh, silent), /did not speak to the right server/);
  });

  it('does not pass a pair that answers something else than the app', async () => {
    const sidecar = await listening(
      createServer((socket) => {
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno'));
      }),
    );
    try {
      await assert.rejects(checkPair(sidecar, peer), /other bytes than the app's/);
    } finally {
      await sidecar.end();
    }
  });
});
