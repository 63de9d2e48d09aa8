import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { ServerCertificates } from '../../bench/certificates.ts';
import type { PeerSetup } from '../../bench/peers/peer.ts';
import { fillTemplate } from '../../bench/peers/template.ts';

const servers: ServerCertificates = {
  roots: '/f/server-roots',
  server: { certificate: '/f/crt', key: '/f/key' },
  other: { certificate: '/f/other', key: '/f/other-key' },
  foreign: { certificate: '/f/foreign-server', key: '/f/foreign-server-key' },
};

const setup: PeerSetup = {
  folder: '/f',
  certificates: {
    roots: '/f/roots',
    server: { certificate: '/f/crt', key: '/f/key' },
    serverBundle: '/f/bundle',
    client: { certificate: '/f/client', key: '/f/client-key' },
    stranger: { certificate: '/f/stranger', key: '/f/stranger-key' },
    foreign: { certificate: '/f/foreign', key: '/f/foreign-key' },
    mesh: servers,
    named: servers,
  },
  servers,
  protocol: 'tcp',
  appPort: 4711,
  port: 4712,
  adminPort: 4713,
  upstreamPort: 4714,
  workers: 2,
  idleMs: 60_000,
  policy: null,
};
const folder = join(import.meta.dirname, '..', '..', 'bench', 'peers');
const templates = readdirSync(folder).filter((name) => /\.(?:yaml|conf|cfg)$/.test(name));

describe('bench settings', () => {
  for (const name of templates) {
    it(`leave no word open in ${name}`, () => {
      const text = fillTemplate(name, setup);
      assert.match(text, /471\d|\/f\//);
      assert.doesNotMatch(text, /__/);
      if (!name.endsWith('.yaml')) return;
      for (const document of parseAllDocuments(text)) assert.deepEqual(document.errors, []);
    });
  }

  it("name the port of Postern's service after what the app speaks, and point at the app", () => {
    const [policy, service] = parseAllDocuments(fillTemplate('postern-mesh.yaml', setup)).map(
      (document) => document.toJS() as { kind: string; spec: unknown },
    );
    assert.equal(policy?.kind, 'PeerAuthentication');
    assert.deepEqual(policy.spec, { mtls: { mode: 'STRICT' } });
    assert.deepEqual(service?.spec, {
      selector: { app: 'httpbin' },
      ports: [{ name: 'tcp', port: 8000, targetPort: 4711 }],
    });
  });

  it("lead Postern's client to the server's sidecar, by a workload that has a service account", () => {
    const [service, entry, sidecar] = parseAllDocuments(
      fillTemplate('postern-outbound-mesh.yaml', setup),
    ).map((document) => document.toJS() as { kind: string; spec: Record<string, unknown> });
    assert.deepEqual(service?.spec['ports'], [{ name: 'http', port: 4712, targetPort: 4711 }]);
    assert.equal(entry?.kind, 'WorkloadEntry');
    assert.deepEqual([entry.spec['serviceAccount'], entry.spec['ports']], ['httpbin', { http: 4714 }]);
    const [egress] = (sidecar?.spec ?? {})['egress'] as [{ port: { number: number }; captureMode: string }];
    assert.deepEqual([egress.port.number, egress.captureMode], [4712, 'NONE']);
  });

  it("name the server's SPIFFE ID, Istio's SNI and Istio's ALPN in Envoy's client", () => {
    const text = fillTemplate('envoy-outbound.yaml', setup);
    assert.match(text, /sni: outbound_\.4712_\._\.httpbin\.foo\.svc\.cluster\.local\n/);
    assert.match(
      text,
      /san_type: URI, matcher: \{ exact: 'spiffe:\/\/cluster\.local\/ns\/foo\/sa\/httpbin' \}/,
    );
    assert.match(text, /alpn_protocols: \[istio-http\/1\.1, istio, http\/1\.1\]/);
  });
});
