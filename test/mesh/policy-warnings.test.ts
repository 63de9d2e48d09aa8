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

  it('is not said of thousands of places: those past the first are counted', () => {
    const principals = JSON.stringify(Array.from({ length: 1_005 }, (_, i) => `y/${i}`));
    const spec = `rules: [{from: [{source: {principals: ${principals}}}]}]`;
    const text = `meshConfig: {}\n---\n${documentOf('AuthorizationPolicy', 'name: a, namespace: x', spec)}`;
    const warnings = policyWarnings(loadDocumentText(text, 'a.yaml').resources);
    assert.equal(warnings.length, 1_001);
    const { code, message } = warnings.at(-1)!;
    assert.deepEqual([code, message], ['too_many', '5 more warnings are not shown']);
  });

  it('is nothing where no MeshConfig is among the documents', () => {
    assert.deepEqual(codesOf(POLICIES), []);
  });
});
