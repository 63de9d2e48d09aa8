/**
 * The instances of a service: WorkloadEntries that its selector matches, addresses of Endpoints and EndpointSlices,
 * endpoints of a ServiceEntry, or its own host by DNS.
 *
 * Indexed once, so that thousands of services cost no more than their own instances.
 */
import type {
  Resources,
  Service,
  ServiceEndpoints,
  ServiceEntry,
  WorkloadEntry,
  WorkloadSpec,
} from '../config/resources.ts';
import { canonicalIp } from './address-blocks.ts';
import { isWildcard } from './host-names.ts';
import { matchLabels } from './match-labels.ts';
import type { MeshPort, MeshService } from './mesh-services.ts';
import { nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

/** One endpoint of one service port. */
export interface Instance {
  readonly host: string;
  readonly port: number;
  readonly weight: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly hasSidecar: boolean;
}

/** What a service is made of, before its ports are looked at. */
interface Candidate {
  readonly host: string;
  readonly spec: Omit<WorkloadSpec, 'address'>;
  /** null: by the rules of the service's port. */
  readonly ports: ServiceEndpoints['subsets'][number]['ports'] | null;
  readonly hasSidecar: boolean;
}

const TLS_MODE_LABEL = 'security.istio.io/tlsMode';
const NOTHING_STATED: Candidate['spec'] = { ports: {}, labels: {}, serviceAccount: '', weight: 0 };

export class ServiceInstances {
  readonly #workloads = new Map<string, Map<string, WorkloadEntry[]>>();
  readonly #workloadByAddress = new Map<string, WorkloadEntry>();
  readonly #endpoints = new Map<string, ServiceEndpoints[]>();
  readonly #warnings: WarningList;

  constructor(resources: Resources, warnings: WarningList) {
    this.#warnings = warnings;
    for (const entry of resources.workloadEntries) {
      const byLabel = getOrAdd(this.#workloads, entry.namespace, () => new Map<string, WorkloadEntry[]>());
      for (const [key, value] of Object.entries(entry.spec.labels)) {
        getOrAdd(byLabel, labelKey(key, value), () => []).push(entry);
      }
      const address = `${entry.namespace} ${hostOf(entry.spec.address)}`;
      if (!this.#workloadByAddress.has(address)) this.#workloadByAddress.set(address, entry);
    }
    for (const endpoints of resources.serviceEndpoints) {
      getOrAdd(this.#endpoints, `${endpoints.namespace}/${endpoints.serviceName}`, () => []).push(endpoints);
    }
  }

  /** By port of the service, each address and port once. */
  instancesOf(service: MeshService): ReadonlyMap<MeshPort, readonly Instance[]> {
    const candidates = this.#candidatesOf(service);
    const instances = new Map<MeshPort, readonly Instance[]>();
    for (const port of service.ports) instances.set(port, this.#onPort(service, port, candidates));
    return instances;
  }

  #candidatesOf(service: MeshService): readonly Candidate[] {
    const { resource } = service;
    if (resource.kind === 'ServiceEntry') return this.#ofEntry(service, resource);
    if (resource.externalName !== '') {
      return [{ host: hostOf(resource.externalName), spec: NOTHING_STATED, ports: null, hasSidecar: false }];
    }
    return this.#ofService(resource);
  }

  #ofService(service: Service): readonly Candidate[] {
    const candidates: Candidate[] = [];
    const addresses = new Set<string>();
    for (const endpoints of this.#endpoints.get(`${service.namespace}/${service.name}`) ?? []) {
      for (const { addresses: texts, ports } of endpoints.subsets) {
        for (const text of texts) {
          const host = this.#usable(text, endpoints, 'subsets');
          if (host === null) continue;
          addresses.add(host);
          const lender = this.#workloadByAddress.get(`${service.namespace} ${host}`);
          candidates.push({
            host,
            spec: lender?.spec ?? NOTHING_STATED,
            ports,
            hasSidecar: lender !== undefined && hasSidecar(lender.spec),
          });
        }
      }
    }
    for (const candidate of this.#selected(service.namespace, service.selector)) {
      if (!addresses.has(candidate.host)) candidates.push(candidate);
    }
    return candidates;
  }

  #ofEntry(service: MeshService, entry: ServiceEntry): readonly Candidate[] {
    // Nobody says who answers where the client itself chooses the address.
    if (entry.resolution === 'NONE') return [];
    const candidates = [...this.#selected(entry.namespace, entry.workloadSelector)];
    for (const [index, spec] of entry.endpoints.entries()) {
      const host = this.#usable(spec.address, entry, `spec.endpoints[${index}].address`);
      if (host !== null) candidates.push({ host, spec, ports: null, hasSidecar: hasSidecar(spec) });
    }
    const isNamed = service.discovery === 'named' && entry.endpoints.length === 0;
    if (isNamed && entry.workloadSelector === null && !isWildcard(service.host)) {
      candidates.push({ host: service.host, spec: NOTHING_STATED, ports: null, hasSidecar: false });
    }
    return candidates;
  }

  /** WorkloadEntries of a namespace by their labels; an empty selector selects nothing. */
  #selected(namespace: string, selector: Readonly<Record<string, string>> | null): readonly Candidate[] {
    const byLabel = this.#workloads.get(namespace);
    if (selector === null || byLabel === undefined) return [];
    let fewest: readonly WorkloadEntry[] | null = null;
    for (const [key, value] of Object.entries(selector)) {
      const entries = byLabel.get(labelKey(key, value)) ?? [];
      if (fewest === null || entries.length < fewest.length) fewest = entries;
    }
    const candidates: Candidate[] = [];
    for (const entry of fewest ?? []) {
      if (!matchLabels(selector, entry.spec.labels)) continue;
      const host = this.#usable(entry.spec.address, entry, 'spec.address');
      if (host !== null) {
        candidates.push({ host, spec: entry.spec, ports: null, hasSidecar: hasSidecar(entry.spec) });
      }
    }
    return candidates;
  }

  #onPort(service: MeshService, port: MeshPort, candidates: readonly Candidate[]): readonly Instance[] {
    const instances = new Map<string, Instance>();
    for (const { host, spec, ports, hasSidecar: sidecar } of candidates) {
      const number = ports === null ? portOf(spec, port) : publishedPort(ports, port);
      if (number === null) {
        if (ports === null) this.#warnOfPortName(service, port, host);
        continue;
      }
      const key = `${host} ${number}`;
      if (instances.has(key)) continue;
      instances.set(key, {
        host,
        port: number,
        weight: Math.max(1, spec.weight),
        labels: spec.labels,
        serviceAccount: spec.serviceAccount,
        hasSidecar: sidecar,
      });
    }
    return [...instances.values()];
  }

  #usable(
    address: string,
    resource: WorkloadEntry | ServiceEntry | ServiceEndpoints,
    path: string,
  ): string | null {
    if (address !== '' && !address.includes('/')) return hostOf(address);
    this.#warnings.add(
      'unusable_address',
      resource,
      path,
      `${nameOf(resource)} has the address "${address}", which is neither an IP address nor a DNS name: left out`,
      'write an IP address or a DNS name',
    );
    return null;
  }

  #warnOfPortName({ resource }: MeshService, port: MeshPort, host: string): void {
    this.#warnings.add(
      'unresolved_target_port',
      resource,
      `${port.path}.targetPort`,
      `${port.from} leads to the port named "${port.targetPort}", and the WorkloadEntry of ${host} has none of ` +
        'that name: it is no endpoint of this port',
      `add ports: {${port.targetPort}: NUMBER} to the WorkloadEntry, or write the number as targetPort`,
    );
  }
}

/** IP addresses in one spelling, names in lower case. */
function hostOf(address: string): string {
  return canonicalIp(address) ?? address.toLowerCase().replace(/\.$/, '');
}

function hasSidecar({ labels, serviceAccount }: WorkloadSpec): boolean {
  if (Object.hasOwn(labels, TLS_MODE_LABEL)) return labels[TLS_MODE_LABEL] === 'istio';
  return serviceAccount !== '';
}

/** A port that the instance names itself, else the number that the service states; null: only a name is stated. */
function portOf(spec: Candidate['spec'], port: MeshPort): number | null {
  const { targetPort } = port;
  const named = (name: string): number | null =>
    Object.hasOwn(spec.ports, name) ? (spec.ports[name] ?? null) : null;
  if (typeof targetPort === 'string') return named(targetPort) ?? named(port.name);
  return named(port.name) ?? targetPort;
}

/** Endpoints name their ports as the Service does; the only port of both needs no name. */
function publishedPort(ports: NonNullable<Candidate['ports']>, port: MeshPort): number | null {
  const same = ports.find(({ name }) => name === port.name);
  if (same !== undefined) return same.port;
  return port.name === '' && ports.length === 1 ? ports[0]!.port : null;
}

function labelKey(key: string, value: string): string {
  return `${key}=${value}`;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}
