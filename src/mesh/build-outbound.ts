/** What one workload may reach, and how: services seen → clusters → routes by port and by egress listener. */
import type { Resources, Sidecar } from '../config/resources.ts';
import { DestinationRules } from './destination-rules.ts';
import { capturedPorts, egressListeners, egressScope } from './egress-listeners.ts';
import { EndpointModes } from './endpoint-modes.ts';
import type { ListenerPlaces } from './listener-place.ts';
import { allHosts, listServices, servicesOfHost } from './mesh-services.ts';
import { buildClusters, type CalledService, type ClusterContext } from './outbound-clusters.ts';
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
  /** Services that this proxy itself calls: they have clusters even where the app may not see them. */
  readonly called: readonly CalledService[];
  readonly warnings: WarningList;
}

export function buildOutbound({
  resources,
  workload,
  sidecar,
  places,
  called,
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
  const context: ClusterContext = {
    resources,
    workload,
    instances: new ServiceInstances(resources, warnings),
    rules,
    modes: new EndpointModes(resources.peerAuthentications, meshConfig.rootNamespace),
    called,
    warnings,
  };
  const { clusters, ports } = buildClusters(services, context);
  const hidden = called
    .filter((one) => !services.some(({ host, namespace: of }) => host === one.host && of === one.namespace))
    .flatMap((one) => servicesOfHost(resources, one.host, one.namespace, warnings));
  const more = Object.entries(buildClusters(hidden, context).clusters).filter(
    ([name]) => !Object.hasOwn(clusters, name),
  );
  return {
    unknownDestinations: sidecar?.outboundTrafficPolicy ?? meshConfig.outboundTrafficPolicy,
    clusters: Object.fromEntries([...Object.entries(clusters), ...more]),
    ports: capturedPorts(scope, ports, namespace, warnings),
    listeners: places === null ? [] : egressListeners(scope, ports, namespace, places, warnings),
  };
}
