import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Scenario } from '../../src/demo/check.ts';
import type { Credentials } from '../../src/demo/demo-client.ts';
import type { BadClients } from '../../src/demo/demo-identity.ts';
import type { DemoMesh } from '../../src/demo/demo-mesh.ts';
import type { WorkloadName } from '../../src/demo/demo-names.ts';
import { hostileRequests } from '../../src/demo/hostile-requests.ts';
import { autoMtls } from '../../src/demo/auto-mtls.ts';
import { identityChecks } from '../../src/demo/identity-checks.ts';
import { legacyClient } from '../../src/demo/legacy-client.ts';
import { pairs } from '../../src/demo/pairs.ts';
import { policies } from '../../src/demo/policies.ts';
import { privateKeys } from '../../src/demo/private-keys.ts';
import { refusedCertificates } from '../../src/demo/refused-certificates.ts';
import { rotations } from '../../src/demo/rotations.ts';
import { RequestLoad } from '../../src/demo/request-load.ts';
import { wrongServer } from '../../src/demo/wrong-server.ts';
import { checkNamed, runOnce } from './demo-fixture.ts';
import { checkLeaks } from '../support/leak-check.ts';

describe('a check fails when what it claims is not so', () => {
  checkLeaks();

  for (const { claim, scenario, name, got, breakIt } of [
    {
      claim: 'the app answers',
      scenario: identityChecks,
      name: 'mTLS',
      got: /^503$/,
      breakIt: (mesh: DemoMesh) => mesh.apps['foo/httpbin'].close(),
    },
    {
      claim: 'a path reaches the app normalised',
      scenario: hostileRequests,
      name: 'GET /app/../admin',
      got: /^503$/,
      breakIt: (mesh: DemoMesh) => mesh.apps['foo/httpbin'].close(),
    },
    {
      claim: 'a call arrives at the service that was meant',
      scenario: pairs,
      name: 'foo/sleep → bar/httpbin',
      got: /^502$/,
      breakIt: (mesh: DemoMesh) =>
        rewrite(mesh, 'services.yaml', (text) => text.replace('namespace: bar', 'namespace: baz')),
    },
    {
      claim: 'a policy denies, and explain says so',
      scenario: policies,
      name: 'denied by path',
      got: /^200, ALLOW bar\/allow-same-namespace rule 0$/,
      breakIt: async (mesh: DemoMesh) => {
        await mesh.setPolicies();
        await rewrite(mesh, 'policies.yaml', (text) => text.replace('"/admin*"', '"/other*"'));
      },
    },
    {
      claim: 'the app saw this client',
      scenario: pairs,
      name: 'foo/sleep → foo/httpbin',
      got: /^200, foo\/httpbin saw spiffe:\/\/cluster.local\/ns\/bar\/sa\/sleep$/,
      breakIt: swapCallers,
    },
    {
      claim: 'mTLS is spoken where there is a sidecar',
      scenario: autoMtls,
      name: 'to an app with sidecar',
      got: /^200, foo\/httpbin saw no client identity$/,
      breakIt: (mesh: DemoMesh) =>
        rewrite(mesh, 'instances.yaml', (text) => text.replaceAll('  serviceAccount: httpbin\n', '')),
    },
    {
      claim: 'an app without sidecar is called in plaintext',
      scenario: autoMtls,
      name: 'to an app without',
      got: /^503$/,
      breakIt: (mesh: DemoMesh) =>
        // The last of them is that one.
        rewrite(mesh, 'instances.yaml', (text) => `${text}  serviceAccount: httpbin\n`),
    },
    {
      claim: 'a server of another account is refused',
      scenario: wrongServer,
      name: 'wrong service account',
      got: /^200, the app saw 1 requests$/,
      breakIt: (mesh: DemoMesh) =>
        rewrite(mesh, 'instances.yaml', (text) =>
          text.replace('serviceAccount: payments', 'serviceAccount: httpbin'),
        ),
    },
    {
      claim: 'a certificate of another CA is refused',
      scenario: refusedCertificates,
      name: 'certificate of another CA',
      got: /^200$/,
      breakIt: (mesh: DemoMesh) => give(mesh, 'otherCa', mesh.workloads['foo/sleep'].secret),
    },
    {
      claim: 'the reason of a refusal is that one',
      scenario: refusedCertificates,
      name: 'expired certificate',
      got: /^closed without a status, tls_untrusted_certificate$/,
      breakIt: (mesh: DemoMesh) => give(mesh, 'expired', mesh.identity.badClients.otherCa),
    },
    {
      claim: 'requests under load do not fail',
      scenario: rotations,
      name: '20 rotations over SDS',
      got: /^no answer to compare: after a renewal: 503$/,
      breakIt: (mesh: DemoMesh) => mesh.apps['foo/httpbin'].close(),
    },
    {
      claim: 'new handshakes show the new certificate',
      scenario: rotations,
      name: '20 rotations over SDS',
      got: /^no answer to compare: a handshake after the renewal to serial feed shows [0-9a-f]{32}$/,
      breakIt: (mesh: DemoMesh) => pretendToRenew(mesh, 'foo/httpbin'),
    },
    {
      claim: 'calls by the sidecar show the new certificate',
      scenario: rotations,
      name: '20 rotations over SDS',
      got: /^no answer to compare: the app is told of certificate [0-9a-f]{64} after the renewal to serial feed$/,
      breakIt: (mesh: DemoMesh) => pretendToRenew(mesh, 'foo/sleep'),
    },
    {
      claim: 'no key is in the demo’s own folder',
      scenario: privateKeys,
      name: 'keys in files',
      got: /^the key of the CA as PEM or JWK in .*\/left-behind$/,
      breakIt(mesh: DemoMesh) {
        const held = mesh.identity.heldKeys().find(({ of }) => of === 'the CA');
        mesh.folder.write('left-behind', held!.pem);
        return Promise.resolve();
      },
    },
  ]) {
    it(`${claim}: ${name}`, async () => {
      const result = await runOnce({ scenarios: [scenario], onStarted: breakIt });
      assert.equal(result.ok, false);
      const check = checkNamed(result, name);
      assert.equal(check.ok, false);
      assert.match(check.got, got);
    });
  }

  it('plaintext is closed under STRICT: the reload that would say so is refused', async () => {
    const result = await runOnce({
      scenarios: [legacyClient],
      onStarted(mesh) {
        mesh.folder.write('mesh/broken.yaml', 'kind: [\n');
        return Promise.resolve();
      },
    });
    assert.equal(checkNamed(result, 'plaintext under PERMISSIVE').ok, true);
    const strict = checkNamed(result, 'plaintext under STRICT');
    assert.equal(strict.ok, false);
    assert.match(strict.got, /the sidecar of foo\/httpbin refuses STRICT: /);
  });
});

describe('the load', () => {
  checkLeaks();

  it('counts every request that fails, on connections of every kind', async () => {
    const scenario: Scenario = {
      title: 'made up',
      checks: [
        {
          name: 'load',
          expected: 'failures counted',
          async observe(mesh) {
            await mesh.apps['foo/httpbin'].close();
            const load = await new RequestLoad(mesh).stop();
            const { failed, fresh, handshakes, kept } = load;
            assert.equal(failed, kept.requests + fresh + handshakes);
            assert.ok(kept.requests >= 3 && fresh >= 1 && handshakes >= 1);
            assert.equal(load.firstFailure, '503');
            return { got: 'failures counted', notes: [] };
          },
        },
      ],
    };
    const result = await runOnce({ scenarios: [scenario] });
    assert.equal(result.checks[0]?.got, 'failures counted');
  });
});

/** Puts another certificate in the place of a bad client's. */
function give(mesh: DemoMesh, to: keyof BadClients, credentials: Credentials): Promise<void> {
  Object.assign(mesh.identity.badClients, { [to]: credentials });
  return Promise.resolve();
}

/** What foo/sleep's app calls goes to bar/sleep's sidecar. */
function swapCallers(mesh: DemoMesh): Promise<void> {
  Object.assign(mesh.workloads, { 'foo/sleep': mesh.workloads['bar/sleep'] });
  return Promise.resolve();
}

/** Says that there is a new certificate, and there is none. */
function pretendToRenew(mesh: DemoMesh, name: WorkloadName): Promise<void> {
  const workload = mesh.workloads[name];
  const { secret } = mesh.workloads['bar/sleep'];
  workload.renew = () => Promise.resolve({ ...secret, serial: 'feed' });
  return Promise.resolve();
}

/** Changes a document that all share, and waits until foo/sleep's sidecar has taken it. */
async function rewrite(mesh: DemoMesh, name: string, change: (text: string) => string): Promise<void> {
  const file = `mesh/${name}`;
  const text = readFileSync(mesh.folder.join(file), 'utf8');
  const changed = change(text);
  assert.notEqual(changed, text);
  mesh.folder.write(file, changed);
  await mesh.workloads['foo/sleep'].logs.waitFor('reloaded', ({ code }) => code === 'reloaded');
}
