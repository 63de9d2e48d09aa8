import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { PeerSetup } from '../../bench/peers/peer.ts';
import { fillTemplate } from '../../bench/peers/template.ts';

const setup: PeerSetup = {
  folder: '/f',
  certificates: {
    roots: '/f/roots',
    server: { certificate: '/f/crt', key: '/f/key' },
    serverBundle: '/f/bundle',
    client: { certificate: '/f/client', key: '/f/client-key' },
    foreign: { certificate: '/f/foreign', key: '/f/foreign-key' },
  },
  protocol: 'tcp',
  appPort: 4711,
  port: 4712,
  adminPort: 4713,
};
const folder = join(import.meta.dirname, '..', '..', 'bench', 'peers');
const templates = readdirSync(folder).filter((name) => /\.(?:yaml|conf|cfg)$/.test(name));

describe('bench settings', () => {
  for (const name of templates) {
    it(`leave no word open in ${name}`, () => {
      const text = fillTemplate(name, setup);
      assert.match(text, /4711|4712/);
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
});
