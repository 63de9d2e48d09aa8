/** `/config_dump` shows the policies in force, and nothing that is said to a provider in confidence. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startEchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { FlowMesh, peerAuthentication, service } from './flow-mesh.ts';

checkLeaks();

const CONFIDENTIAL = 'Bearer told-to-nobody';

it('the policies in force are in the dump, without the fixed headers of a provider', async () => {
  await using app = await startEchoApp();
  const documents = [
    peerAuthentication('PERMISSIVE'),
    service('http', app.port),
    `meshConfig:
  extensionProviders:
  - name: web
    envoyExtAuthzHttp:
      service: authz.example.com
      port: 80
      includeAdditionalHeadersInCheck: {authorization: "${CONFIDENTIAL}"}
`,
    `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: authz, namespace: foo}
spec: {hosts: [authz.example.com], ports: [{number: 80, name: http}], resolution: STATIC, endpoints: [{address: 127.0.0.1}]}
`,
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: foo}
spec: {action: CUSTOM, provider: {name: web}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
`,
  ];
  using mesh = await FlowMesh.create({ appPort: app.port, documents: documents.join('---\n') });
  await using sidecar = await mesh.inProcess();
  const { admin } = sidecar.ports;
  using client = await connectRaw({ port: admin });
  const { body } = await client.request(`GET /config_dump HTTP/1.1\r\nhost: 127.0.0.1:${admin}\r\n\r\n`);
  const text = body.toString();
  const { snapshot } = JSON.parse(text) as {
    snapshot: {
      policies: { name: string; rules: { to: { paths: string[] }[] }[] }[];
      extAuthzProviders: { name: string; includeAdditionalHeadersInCheck: string[] }[];
    };
  };
  assert.deepEqual(
    snapshot.policies.map(({ name, rules }) => [name, rules[0]?.to[0]?.paths]),
    [['ask', ['/asked']]],
  );
  assert.deepEqual(
    snapshot.extAuthzProviders.map(({ includeAdditionalHeadersInCheck, name }) => [
      name,
      includeAdditionalHeadersInCheck,
    ]),
    [['web', ['authorization', '[redacted]']]],
  );
  assert.ok(!text.includes('told-to-nobody'));
});
