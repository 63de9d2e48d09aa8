/**
 * One cluster for each port of each service: its endpoints, how TLS is spoken to them, and who must answer.
 */
import type { MeshConfig, Resources } from '../config/resources.ts';
import { decideTls } from './cluster-tls.ts';
import type { DestinationRules } from './destination-rules.ts';
import type { EndpointModes } from './endpoint-modes.ts';
import type { MeshPort, MeshService } from './mesh-services.ts';
import type { ClusterPlan, WorkloadIdentity } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import type { Instance, ServiceInstances } from './service-endpoints.ts';
import { selects } from './services.ts';
import type { WarningList } from './warning-list.ts';

/** One port of a service as routes refer to it. */
export interface ListedPort {
  readonly service: MeshService;
  readonly port: MeshPort;
  /** Name of its cluster. */
  readonly cluster: string;
  /** What clients dial: the service's addresses, or those of its instances if it has none of its own. */
  readonly addresses: readonly string[];
}

/** One port of a service, by the namespace of its document. */
export interface CalledService {
  readonly host: string;
  readonly namespace: string;
  readonly port: number;
  /** This proxy itself begins with HTTP/2 there. */
  readonly http2: boolean;
}

export interface ClusterContext {
  readonly resources: Resources;
  readonly workload: WorkloadIdentity;
  readonly instances: ServiceInstances;
  readonly rules: DestinationRules;
  readonly modes: EndpointModes;
  /** What this proxy itself calls. */
  readonly called: readonly CalledService[];
  readonly warnings: WarningList;
}

export interface BuiltClusters {
  readonly clusters: Record<string, ClusterPlan>;
  readonly ports: readonly ListedPort[];
}

/** Of two services with one host and port the first counts. */
export function buildClusters(services: readonly MeshService[], context: ClusterContext): BuiltClusters {
  const built = new Map<string, MeshService>();
  const clusters: [string, ClusterPlan][] = [];
  const ports: ListedPort[] = [];
  for (const service of services) {
    const instances = context.instances.instancesOf(service);
    warnOfService(service, instances, context);
    const rule = context.rules.ruleFor(service.host, service.namespace);
    const identities = identitiesOf(service, instances, context.resources.meshConfig);
    for (const port of service.ports) {
      const name = `outbound|${port.number}||${service.host}`;
      const first = built.get(name);
      if (first !== undefined) {
        warnOfDuplicate(service, port, first, context.warnings);
        continue;
      }
      built.set(name, service);
      const ofPort = instances.get(port) ?? [];
      const decided = decideTls({
        service,
        port,
        instances: ofPort,
        rule,
        enableAutoMtls: context.resources.meshConfig.enableAutoMtls,
        modes: context.modes,
        identities,
        warnings: context.warnings,
      });
      clusters.push([
        name,
        {
          name,
          host: service.host,
          port: port.number,
          protocol: port.protocol,
          service: { namespace: service.namespace, name: service.name },
          from: port.from,
          tlsFrom: decided.tlsFrom,
          discovery: service.discovery === 'original-destination' ? 'original-destination' : 'endpoints',
          endpoints: ofPort.map(({ host, port: number, weight }, index) => ({
            host,
            port: number,
            tls: decided.marks[index]!,
            weight,
          })),
          tls: decided.tls,
        },
      ]);
      const addresses = service.headless ? ofPort.map(({ host }) => host) : service.addresses;
      ports.push({ service, port, cluster: name, addresses });
    }
  }
  // Not by assignment: a host may be named `__proto__`.
  return { clusters: Object.fromEntries(clusters), ports };
}

/** Service accounts of all instances and what a ServiceEntry adds, under every trust domain of the mesh. */
function identitiesOf(
  service: MeshService,
  instances: ReadonlyMap<MeshPort, readonly Instance[]>,
  { trustDomain, trustDomainAliases }: MeshConfig,
): readonly string[] {
  const accounts = new Set<string>();
  for (const ofPort of instances.values()) {
    for (const { serviceAccount } of ofPort) if (serviceAccount !== '') accounts.add(serviceAccount);
  }
  const stated = [...accounts].map(
    (account) => `spiffe://${trustDomain}/ns/${service.namespace}/sa/${account}`,
  );
  const { resource } = service;
  if (resource.kind === 'ServiceEntry') stated.push(...resource.subjectAltNames);
  const identities = new Set(stated);
  for (const name of stated) {
    if (!name.startsWith('spiffe://')) continue;
    const path = name.slice(name.indexOf('/', 'spiffe://'.length));
    for (const alias of trustDomainAliases) identities.add(`spiffe://${alias}${path}`);
  }
  return [...identities];
}

function warnOfDuplicate(
  service: MeshService,
  port: MeshPort,
  first: MeshService,
  warnings: WarningList,
): void {
  warnings.add(
    'duplicate_host',
    service.resource,
    port.path,
    `${port.from} has no effect for host "${service.host}": ${nameOf(first.resource)} has the same host and port`,
    'merge the two into one, or give one of them another host',
  );
}

function warnOfService(
  service: MeshService,
  instances: ReadonlyMap<MeshPort, readonly Instance[]>,
  { called, workload, warnings }: ClusterContext,
): void {
  const { resource } = service;
  // The Service of this very workload: written to name inbound ports, and inbound has told what is odd about it.
  const isOwn =
    resource.kind === 'Service' && resource.namespace === workload.namespace && selects(resource, workload);
  if (isOwn) return;
  for (const { number, protocol, path, from } of service.ports) {
    // A gRPC provider of CUSTOM policies is called by this proxy, over HTTP/2: that works.
    const isOurs = called.some(
      ({ host, http2, namespace, port }) =>
        http2 && host === service.host && namespace === service.namespace && port === number,
    );
    if (protocol !== 'http2' || isOurs) continue;
    warnings.add(
      'http2_not_supported',
      resource,
      path,
      `${from} is declared HTTP/2, and this version speaks HTTP/1.1 only: clients that begin with HTTP/2 are ` +
        'carried as TCP where an address names the service, and refused elsewhere',
      'use HTTP/1.1 clients, or declare the port tcp and give the service an address',
    );
  }
  const dialsNobody =
    service.ports.length > 0 && [...instances.values()].every((ofPort) => ofPort.length === 0);
  if (!dialsNobody || (service.discovery === 'original-destination' && !service.headless)) return;
  const selector = resource.kind === 'Service' ? resource.selector : resource.workloadSelector;
  warnings.add(
    'no_endpoints',
    resource,
    selector === null ? 'spec' : resource.kind === 'Service' ? 'spec.selector' : 'spec.workloadSelector',
    selector === null
      ? `${nameOf(resource)} has no endpoint: what is sent to "${service.host}" fails`
      : `${nameOf(resource)} selects no WorkloadEntry of namespace "${service.namespace}" that it could use: what is ` +
          `sent to "${service.host}" fails`,
    'add a WorkloadEntry with the labels of the selector in the same namespace, or state endpoints',
  );
}
