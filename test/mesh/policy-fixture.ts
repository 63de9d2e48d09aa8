/** Documents as text → the snapshot of one workload, so that positions and plans are tested together. */
import assert from 'node:assert/strict';
import { loadDocumentText } from '../../src/config/documents.ts';
import type { Limits } from '../../src/core/limits.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { type BuiltSnapshot, buildSnapshot } from '../../src/mesh/build-snapshot.ts';
import type { WorkloadIdentity } from '../../src/mesh/plan.ts';
import { HTTPBIN } from './resource-samples.ts';

export function buildText(
  text: string,
  given: { readonly workload?: Partial<WorkloadIdentity>; readonly limits?: Partial<Limits> } = {},
): BuiltSnapshot {
  const { resources, problems } = loadDocumentText(text, 'mesh.yaml');
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  return buildSnapshot({
    resources,
    workload: { ...HTTPBIN, ...given.workload },
    limits: { ...DEFAULT_LIMITS, ...given.limits },
    generation: 1,
    appHost: '127.0.0.1',
    accessLog: null,
  });
}

/** `severity code line:column path`. */
export function warningsIn({ warnings }: BuiltSnapshot): string[] {
  return warnings.map(
    ({ severity, code, line, column, path }) => `${severity} ${code} ${line}:${column} ${path}`,
  );
}

/** `metadata` is what stands between its braces, `spec` likewise; four lines and a separator. */
export function documentOf(kind: string, metadata: string, spec: string): string {
  const group =
    kind === 'Service'
      ? 'v1'
      : kind.includes('Entry') || kind === 'Sidecar'
        ? 'networking.istio.io/v1'
        : 'security.istio.io/v1';
  return `apiVersion: ${group}\nkind: ${kind}\nmetadata: {${metadata}}\nspec: {${spec}}\n---\n`;
}
