import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { policyWarnings } from '../../src/mesh/policy-warnings.ts';
import { documentOf } from './policy-fixture.ts';

const POLICIES =
  documentOf(
    'AuthorizationPolicy',
    'name: a, namespace: x',
    'rules: [{from: [{source: {principals: [y/z]}}]}]',
  ) +
  documentOf(
    'AuthorizationPolicy',
    'name: b, namespace: x',
    'action: CUSTOM, provider: {name: opa}, rules: [{}]',
  );
const OPA =
  'meshConfig: {extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: opa.x, port: 1}}]}\n---\n';

const codesOf = (text: string): string[] =>
  policyWarnings(loadDocumentText(text, 'a.yaml').resources).map(({ code, line }) => `${code} ${line}`);

describe('what is odd about policies whatever the workload', () => {
  it('is their trust domains and providers', () => {
    const text = `meshConfig: {trustDomain: td}\n---\n${POLICIES}`;
    assert.deepEqual(codesOf(text), ['unknown_trust_domain 6', 'unusable_provider 11']);
  });

  it('is no provider that MeshConfig has', () => {
    assert.deepEqual(codesOf(OPA + POLICIES), ['unknown_trust_domain 6']);
  });

  it('is nothing where no MeshConfig is among the documents', () => {
    assert.deepEqual(codesOf(POLICIES), []);
  });
});
