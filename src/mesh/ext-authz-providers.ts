/**
 * Which service of the mesh stands behind a provider of MeshConfig.extensionProviders, and why one cannot be asked.
 * What a CUSTOM policy matches is denied then. (Istio: LookupCluster of the authorization builder)
 */
import type { ExtAuthzExtension, Resources } from '../config/resources.ts';
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import { serviceHost } from './host-names.ts';
import { namespacesOfHost } from './mesh-services.ts';
import type { CalledService } from './outbound-clusters.ts';
import type { ClusterPlan } from './plan.ts';

/** A provider that a policy names, and its service if there is one. */
export interface FoundProvider {
  readonly extension: ExtAuthzExtension;
  /** null: see `problem`. */
  readonly service: CalledService | null;
  readonly problem: string;
}

/** Looks up those of `names` that MeshConfig has. */
export function findProviders(
  resources: Resources,
  names: ReadonlySet<string>,
): ReadonlyMap<string, FoundProvider> {
  const found = new Map<string, FoundProvider>();
  for (const extension of resources.meshConfig.extAuthzProviders) {
    if (names.has(extension.name)) found.set(extension.name, findService(resources, extension));
  }
  return found;
}

/** The provider as the data half asks it, or why it cannot be asked. */
export function planProvider(
  { extension, service, problem }: FoundProvider,
  clusters: Readonly<Record<string, ClusterPlan>>,
): ExtAuthzProvider | string {
  if (service === null) return problem;
  const { service: written, port, ...settings } = extension;
  const name = `outbound|${port}||${service.host}`;
  const cluster = Object.hasOwn(clusters, name) ? clusters[name] : undefined;
  if (cluster === undefined) return `its service "${written}" has no port ${port}`;
  if (cluster.service.namespace !== service.namespace) {
    return `host "${service.host}" is taken by ${cluster.from}, which is of another namespace than "${written}"`;
  }
  // Nobody was on the way to it: there is no original destination to dial.
  if (cluster.discovery === 'original-destination' && cluster.endpoints.length === 0) {
    return `its service "${written}" has no endpoints of its own`;
  }
  return { ...settings, cluster: name, host: service.host, port };
}

function findService(resources: Resources, extension: ExtAuthzExtension): FoundProvider {
  const slash = extension.service.indexOf('/');
  const stated = slash === -1 ? null : extension.service.slice(0, slash);
  const written = extension.service.slice(slash + 1);
  const called = { port: extension.port, http2: extension.kind === 'grpc' };
  for (const host of candidates(written, stated)) {
    const namespaces = namespacesOfHost(resources, host);
    if (stated !== null && namespaces.has(stated)) {
      return { extension, service: { host, namespace: stated, ...called }, problem: '' };
    }
    const [only, ...others] = stated === null ? namespaces : [];
    if (only === undefined) continue;
    if (others.length === 0) return { extension, service: { host, namespace: only, ...called }, problem: '' };
    const problem = `its service "${extension.service}" is in several namespaces: ${[...namespaces].join(', ')}`;
    return { extension, service: null, problem };
  }
  return { extension, service: null, problem: `there is no service "${extension.service}"` };
}

/** As written, then as the short name of a Kubernetes Service. */
function candidates(written: string, namespace: string | null): string[] {
  const parts = written.split('.');
  if (parts.length === 1) return namespace === null ? [written] : [written, serviceHost(written, namespace)];
  const [name = '', of = '', suffix] = parts;
  const isShort = parts.length === 2 || (parts.length === 3 && suffix === 'svc');
  return isShort ? [written, serviceHost(name, of)] : [written];
}
