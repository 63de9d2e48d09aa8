/** What one workload may reach, and how: services seen → clusters → routes by port and by egress listener. */
import type { Resources, Sidecar } from '../config/resources.ts';
import { DestinationRules } from './destination-rules.ts';
import { capturedPorts, egressListeners, egressScope } from './egress-listeners.ts';
import { EndpointModes } from './endpoint-modes.ts';
import type { ListenerPlaces } from './listener-place.ts';
import { allHosts, listServices } from './mesh-services.ts';
import { buildClusters } from './outbound-clusters.ts';
import type { OutboundPlan, WorkloadIdentity } from './plan.ts';
import { ServiceInstances } from './service-endpoints.ts';
import type { WarningList } from './warning-list.ts';

export interface OutboundInput {
  readonly resources: Resources;
  readonly workload: WorkloadIdentity;
  /** The one that is this workload's; null: none is. */
  readonly sidecar: Sidecar | null;
  /** null exactly if `sidecar` is. */
  readonly places: ListenerPlaces | null;
  readonly warnings: WarningList;
}

export function buildOutbound({
  resources,
  workload,
  sidecar,
  places,
  warnings,
}: OutboundInput): OutboundPlan {
  const { meshConfig } = resources;
  const { namespace } = workload;
  const scope = egressScope(sidecar, namespace);
  const rules = new DestinationRules(
    resources.destinationRules,
    workload,
    meshConfig.rootNamespace,
    warnings,
  );
  rules.warnOfUnknownHosts(allHosts(resources));
  const services = listServices(resources, namespace, warnings).filter(scope.imports);
  const { clusters, ports } = buildClusters(services, {
    resources,
    workload,
    instances: new ServiceInstances(resources, warnings),
    rules,
    modes: new EndpointModes(resources.peerAuthentications, meshConfig.rootNamespace),
    warnings,
  });
  return {
    unknownDestinations: sidecar?.outboundTrafficPolicy ?? meshConfig.outboundTrafficPolicy,
    clusters,
    ports: capturedPorts(scope, ports, namespace, warnings),
    listeners: places === null ? [] : egressListeners(scope, ports, namespace, places, warnings),
  };
}
