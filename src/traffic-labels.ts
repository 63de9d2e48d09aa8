import type { PeerIdentity } from './core/peer-identity.ts';
import type { ClusterPlan, PortPlan, WorkloadIdentity } from './mesh/plan.ts';
import type { TrafficLabels } from './observe/traffic-counters.ts';

const UNKNOWN = 'unknown';

/** Istio's metric labels of one inbound connection; `unknown` where Istio would know it from its registry only. */
export function trafficLabels(
  workload: WorkloadIdentity,
  plan: PortPlan,
  peer: PeerIdentity | null,
  ownSpiffeId: string,
  protocol: 'http' | 'tcp',
): TrafficLabels {
  const service = plan.service;
  return {
    reporter: 'destination',
    sourcePrincipal: peer?.spiffeId ?? UNKNOWN,
    sourceWorkloadNamespace: peer === null || peer.namespace === '' ? UNKNOWN : peer.namespace,
    destinationPrincipal: peer === null ? UNKNOWN : ownSpiffeId,
    destinationWorkload: workload.name,
    destinationWorkloadNamespace: workload.namespace,
    destinationApp: workload.labels['app'] ?? UNKNOWN,
    destinationVersion: workload.labels['version'] ?? UNKNOWN,
    destinationService: service === null ? UNKNOWN : `${service.name}.${service.namespace}.svc.cluster.local`,
    destinationServiceName: service?.name ?? UNKNOWN,
    destinationServiceNamespace: service?.namespace ?? UNKNOWN,
    requestProtocol: protocol,
    connectionSecurityPolicy: peer === null ? 'none' : 'mutual_tls',
  };
}

/** The same of what the app itself calls; `plan` is null where no service is known. */
export function outboundTrafficLabels(
  workload: WorkloadIdentity,
  plan: ClusterPlan | null,
  cluster: string,
  ownSpiffeId: string,
  protocol: 'http' | 'tcp',
): TrafficLabels {
  return {
    reporter: 'source',
    sourcePrincipal: ownSpiffeId === '' ? UNKNOWN : ownSpiffeId,
    sourceWorkloadNamespace: workload.namespace,
    destinationPrincipal: UNKNOWN,
    destinationWorkload: UNKNOWN,
    destinationWorkloadNamespace: UNKNOWN,
    destinationApp: UNKNOWN,
    destinationVersion: UNKNOWN,
    destinationService: plan?.host ?? UNKNOWN,
    destinationServiceName: plan?.service.name ?? (cluster === '' ? UNKNOWN : cluster),
    destinationServiceNamespace: plan?.service.namespace ?? UNKNOWN,
    requestProtocol: protocol,
    // As Istio: only the destination knows for sure.
    connectionSecurityPolicy: 'unknown',
  };
}
