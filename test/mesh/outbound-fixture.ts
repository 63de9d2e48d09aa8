/** The outbound plan of a client, and short texts of its parts. */
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { type BuiltSnapshot, buildSnapshot } from '../../src/mesh/build-snapshot.ts';
import type { ClusterPlan, OutboundPlan, WorkloadIdentity } from '../../src/mesh/plan.ts';
import { resources } from './resource-samples.ts';

export const SLEEP: WorkloadIdentity = {
  namespace: 'foo',
  serviceAccount: 'sleep',
  name: 'sleep-1',
  labels: { app: 'sleep' },
};

export type Given = Parameters<typeof resources>[0];

export function buildFor(given: Given, workload: WorkloadIdentity = SLEEP): BuiltSnapshot {
  return buildSnapshot({
    resources: resources(given),
    workload,
    limits: DEFAULT_LIMITS,
    generation: 1,
    appHost: '127.0.0.1',
    accessLog: null,
  });
}

export function outboundOf(given: Given, workload: WorkloadIdentity = SLEEP): OutboundPlan {
  return buildFor(given, workload).snapshot.outbound;
}

export function clusterOf(given: Given, name: string, workload: WorkloadIdentity = SLEEP): ClusterPlan {
  const { clusters } = outboundOf(given, workload);
  const cluster = clusters[name];
  if (cluster === undefined)
    throw new Error(`no cluster "${name}" among ${Object.keys(clusters).join(', ')}`);
  return cluster;
}

/** `10.0.0.2:8080 tls`. */
export function endpointsOf(cluster: ClusterPlan): string[] {
  return cluster.endpoints.map(({ host, port, tls }) => `${host}:${port}${tls ? ' tls' : ''}`);
}

/** `code path`, of everything odd. */
export function warningsOf(given: Given, workload: WorkloadIdentity = SLEEP): string[] {
  return buildFor(given, workload).warnings.map(({ code, path }) => `${code} ${path}`);
}
