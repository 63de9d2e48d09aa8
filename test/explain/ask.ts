/** Asks `explain` of documents in memory, the request as a line of YAML. */
import assert from 'node:assert/strict';
import { explainExchange } from '../../src/explain/explain-exchange.ts';
import { loadExplainTarget } from '../../src/explain/explain-target.ts';
import type { ExplainTarget } from '../../src/explain/explain-target.ts';
import type { Explanation, ExplanationStep, StepName } from '../../src/explain/explanation.ts';
import { readExplainRequests } from '../../src/explain/read-explain-request.ts';

const WORKLOAD = { namespace: 'foo', name: 'httpbin', labels: { app: 'httpbin' } };

export const SLEEP = 'from: {principal: cluster.local/ns/foo/sa/sleep}';

/** A document of one line; `spec` is YAML. */
export function policy(name: string, spec: string, dryRun = false): string {
  const annotations = dryRun ? ', annotations: {istio.io/dry-run: "true"}' : '';
  return `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: foo${annotations}}
spec: ${spec}
`;
}

export function jwtPolicy(rules: string): string {
  return `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [${rules}]}
`;
}

export function mode(of: string, ports = '{}'): string {
  const levels = ports === '{}' ? '' : `, selector: {matchLabels: {app: httpbin}}, portLevelMtls: ${ports}`;
  return `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mode, namespace: foo}
spec: {mtls: {mode: ${of}}${levels}}
`;
}

/** A Service of the workload: `{name: http, port: 8000, targetPort: 8080}`. */
export function service(...ports: readonly string[]): string {
  return `---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [${ports.join(', ')}]}
`;
}

export function targetOf(documents: string, jwks: Readonly<Record<string, string>> = {}): ExplainTarget {
  const loaded = loadExplainTarget({
    paths: [],
    text: documents,
    folder: '/',
    workload: WORKLOAD,
    jwks: new Map(Object.entries(jwks)),
  });
  const errors = loaded.problems.filter(({ severity }) => severity === 'error');
  assert.ok(loaded.target !== null, errors.map(({ message }) => message).join('\n'));
  return loaded.target;
}

export async function ask(documents: string | ExplainTarget, request: string): Promise<Explanation> {
  const { problems, requests } = readExplainRequests(request, 'request.yaml');
  assert.deepEqual(
    problems.map(({ message }) => message),
    [],
  );
  const target = typeof documents === 'string' ? targetOf(documents) : documents;
  return explainExchange(target, requests[0]!);
}

export function stepOf({ steps }: Explanation, name: StepName): ExplanationStep {
  const found = steps.find(({ step }) => step === name);
  assert.ok(found !== undefined, `no step ${name} among ${steps.map(({ step }) => step).join(' ')}`);
  return found;
}
