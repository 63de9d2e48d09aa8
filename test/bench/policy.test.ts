/** What the policy scenarios enforce: the documents, Envoy's translation of them, and the proof before they are timed. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer } from 'node:tls';
import { makeCertificates } from '../../bench/certificates.ts';
import type { Certificates } from '../../bench/certificates.ts';
import { checkPolicy } from '../../bench/check-policy.ts';
import type { PeerSetup } from '../../bench/peers/peer.ts';
import { writeTranslation } from '../../bench/peers/translated-envoy.ts';
import type { EnforcedPolicy } from '../../bench/policy/enforced-policy.ts';
import { policyCase } from '../../bench/policy/enforced-policy.ts';
import { extAuthzPolicy } from '../../bench/policy/ext-authz-policy.ts';
import { jwtPolicy } from '../../bench/policy/jwt-policy.ts';
import { manyPolicies, POLICY_KINDS } from '../../bench/policy/many-policies.ts';
import { TokenIssuer } from '../../bench/policy/token-issuer.ts';

interface HttpFilter {
  readonly name: string;
  readonly typedConfig: { readonly rules?: { readonly action?: string; readonly policies: object } };
}

interface Bootstrap {
  readonly staticResources: {
    readonly listeners: readonly [
      {
        readonly filterChains: readonly [
          {
            readonly filterChainMatch: object;
            readonly filters: readonly [
              {
                readonly typedConfig: ConnectionManager;
              },
            ];
          },
        ];
      },
    ];
    readonly clusters: readonly { readonly name: string; readonly typedExtensionProtocolOptions?: object }[];
  };
}

const APP_PORT = 4711;

interface ConnectionManager {
  readonly accessLog?: readonly unknown[];
  readonly httpFilters: readonly HttpFilter[];
}

function managerOf({ staticResources }: Bootstrap): ConnectionManager {
  return staticResources.listeners[0].filterChains[0].filters[0].typedConfig;
}

/** How many of each action Envoy has. */
function policiesOf(bootstrap: Bootstrap): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { name, typedConfig } of managerOf(bootstrap).httpFilters) {
    const { rules } = typedConfig;
    if (name !== 'envoy.filters.http.rbac' || rules === undefined) continue;
    const action = rules.action ?? 'ALLOW';
    counts[action] = (counts[action] ?? 0) + Object.keys(rules.policies).length;
  }
  return counts;
}

describe('bench policies', () => {
  let folder = '';
  let certificates: Certificates;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'postern-bench-policy-'));
    certificates = await makeCertificates(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function translate(policy: EnforcedPolicy): Bootstrap {
    const setup: PeerSetup = {
      folder: mkdtempSync(join(folder, 'envoy-')),
      certificates,
      servers: certificates.mesh,
      protocol: 'http',
      appPort: APP_PORT,
      port: 4712,
      adminPort: 4713,
      upstreamPort: 0,
      workers: 1,
      idleMs: 60_000,
      policy,
    };
    return JSON.parse(readFileSync(writeTranslation(setup), 'utf8')) as Bootstrap;
  }

  it('give Envoy the ten policies, the token rule and the access log that Postern has', () => {
    const bootstrap = translate(jwtPolicy(certificates, 'RS256'));
    assert.deepEqual(policiesOf(bootstrap), { DENY: 5, ALLOW: 5 });
    const names = managerOf(bootstrap).httpFilters.map(({ name }) => name);
    assert.ok(names.includes('envoy.filters.http.jwt_authn'), names.join());
    assert.equal(managerOf(bootstrap).accessLog?.length, 1);
    const { filterChains } = bootstrap.staticResources.listeners[0];
    assert.deepEqual(filterChains[0].filterChainMatch, { transportProtocol: 'tls' });
  });

  for (const kind of ['grpc', 'http'] as const) {
    it(`give Envoy the provider over ${kind}`, () => {
      const bootstrap = translate(extAuthzPolicy(certificates, kind, 4714));
      const names = managerOf(bootstrap).httpFilters.map(({ name }) => name);
      assert.ok(names.includes('envoy.filters.http.ext_authz'), names.join());
      const [app, provider] = bootstrap.staticResources.clusters;
      assert.equal(app?.name, `inbound|${APP_PORT}||`);
      assert.equal(provider?.name, 'outbound|9000||authz.foo.svc.cluster.local');
      assert.equal(provider.typedExtensionProtocolOptions !== undefined, kind === 'grpc');
    });
  }

  for (const kind of POLICY_KINDS) {
    it(`are as many of kind ${kind} as was said, each with another value`, () => {
      const policy = manyPolicies(certificates, kind, 300, new TokenIssuer('ES256'));
      assert.deepEqual(policiesOf(translate(policy)), { ALLOW: 300 });
      const specs = policy.documents.map((document) => JSON.stringify((document as { spec: unknown }).spec));
      assert.equal(new Set(specs).size, policy.documents.length);
      assert.equal(policy.cases.length, 1);
    });
  }

  it('are not fit to be measured if a sidecar lets through what it is to deny, or answers something else', async () => {
    const { server } = certificates.mesh;
    const always = createServer(
      { cert: readFileSync(server.certificate), key: readFileSync(server.key) },
      (socket) => {
        socket.on('error', () => socket.destroy());
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\nyes\n'));
      },
    );
    always.listen(0, '127.0.0.1');
    await once(always, 'listening');
    const sidecar = { name: 'tested', port: (always.address() as AddressInfo).port };
    const check = (status: number, body: string): Promise<void> =>
      checkPolicy(sidecar, certificates, [policyCase(certificates, { what: 'a request', status, body })]);
    try {
      await check(200, 'yes');
      await assert.rejects(check(403, ''), /tested is not fit .*: a request got 200, not 403/);
      await assert.rejects(check(200, 'no'), /without "no"/);
    } finally {
      always.close();
      await once(always, 'close');
    }
  });
});
