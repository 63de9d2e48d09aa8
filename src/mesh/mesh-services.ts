/**
 * v1 Services and ServiceEntries as one kind of thing: hosts with ports, addresses and a way to find endpoints,
 * as far as one namespace sees them.
 * (API: networking.istio.io ServiceEntry)
 */
import type { IstioProtocol, Resources, Service, ServiceEntry } from '../config/resources.ts';
import { canonicalIp, parseAddressBlock } from './address-blocks.ts';
import { serviceHost } from './host-names.ts';
import type { AddressBlock, PortProtocol } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import { isTlsPort, protocolOfPort } from './services.ts';
import { isVisible } from './visibility.ts';
import type { WarningList } from './warning-list.ts';

export interface MeshPort {
  readonly number: number;
  readonly name: string;
  readonly targetPort: number | string;
  readonly protocol: PortProtocol;
  /** How connections are told apart: by Host, by SNI, by address, or by what their first bytes say. */
  readonly carriage: 'http' | 'tls' | 'tcp' | 'auto';
  /** Where it stands in its document. */
  readonly path: string;
  /** `Service foo/httpbin port http`. */
  readonly from: string;
}

export interface MeshService {
  readonly host: string;
  readonly namespace: string;
  readonly name: string;
  readonly resource: Service | ServiceEntry;
  readonly ports: readonly MeshPort[];
  readonly addresses: readonly string[];
  readonly blocks: readonly AddressBlock[];
  /** Hosts of ExternalName Services that stand for this one. */
  readonly aliases: readonly string[];
  /** Outside the mesh: never auto mTLS. */
  readonly external: boolean;
  /** `named`: the endpoints stated, else the host itself by DNS. */
  readonly discovery: 'stated' | 'named' | 'original-destination';
  /** `clusterIP: None`: clients dial the endpoints' own addresses. */
  readonly headless: boolean;
}

const CARRIAGES: Readonly<Record<IstioProtocol, readonly [PortProtocol, MeshPort['carriage']]>> = {
  HTTP: ['http', 'http'],
  HTTP_PROXY: ['http', 'http'],
  HTTP2: ['http2', 'http'],
  GRPC: ['http2', 'http'],
  'GRPC-WEB': ['http2', 'http'],
  HTTPS: ['tcp', 'tls'],
  TLS: ['tcp', 'tls'],
  TCP: ['tcp', 'tcp'],
  MONGO: ['tcp', 'tcp'],
  MYSQL: ['tcp', 'tcp'],
  REDIS: ['tcp', 'tcp'],
};

/**
 * What `client`, a namespace, sees. Of two with one host the first counts: Services, then ServiceEntries of the
 * client's own namespace, then the others, so that a stranger's ServiceEntry takes nobody's name; each oldest first.
 */
export function listServices(resources: Resources, client: string, warnings: WarningList): MeshService[] {
  return listOf(
    resources.services.filter((service) => sees(service, client)),
    resources.serviceEntries.filter((entry) => sees(entry, client)),
    client,
    warnings,
  );
}

/** All that have this host in this namespace, whoever may see them. */
export function servicesOfHost(
  resources: Resources,
  host: string,
  namespace: string,
  warnings: WarningList,
): MeshService[] {
  return listOf(
    resources.services.filter((one) => one.namespace === namespace && hostOfService(one) === host),
    resources.serviceEntries.filter((one) => one.namespace === namespace && one.hosts.includes(host)),
    namespace,
    warnings,
  ).filter((service) => service.host === host);
}

/** The namespaces that have a service of this host, whoever may see it. */
export function namespacesOfHost(resources: Resources, host: string): ReadonlySet<string> {
  const namespaces = new Set<string>();
  for (const one of resources.services) if (hostOfService(one) === host) namespaces.add(one.namespace);
  for (const one of resources.serviceEntries) if (one.hosts.includes(host)) namespaces.add(one.namespace);
  return namespaces;
}

function listOf(
  services: readonly Service[],
  entries: readonly ServiceEntry[],
  client: string,
  warnings: WarningList,
): MeshService[] {
  const hosts = new Set(services.filter((service) => service.externalName === '').map(hostOfService));
  for (const entry of entries) for (const host of entry.hosts) hosts.add(host);
  const aliases = aliasesOf(services, hosts);
  const listed: MeshService[] = [];
  for (const service of services) {
    const target = targetOf(service);
    if (target === '') listed.push(fromService(service, aliases, warnings));
    else if (!hosts.has(target)) listed.push(fromExternalName(service, target, warnings));
  }
  const own = entries.filter((entry) => entry.namespace === client);
  const others = entries.filter((entry) => entry.namespace !== client);
  for (const entry of [...own, ...others]) listed.push(...fromEntry(entry, aliases, warnings));
  return listed;
}

/** Every host of a DestinationRule's possible target, seen or not. */
export function allHosts(resources: Resources): ReadonlySet<string> {
  const hosts = new Set(resources.services.map(hostOfService));
  for (const entry of resources.serviceEntries) for (const host of entry.hosts) hosts.add(host);
  return hosts;
}

function sees(resource: Service | ServiceEntry, client: string): boolean {
  return isVisible(resource.exportTo, resource.namespace, client);
}

function hostOfService(service: Service): string {
  return serviceHost(service.name, service.namespace);
}

function fromService(
  service: Service,
  aliases: ReadonlyMap<string, string[]>,
  warnings: WarningList,
): MeshService {
  const host = hostOfService(service);
  return {
    host,
    namespace: service.namespace,
    name: service.name,
    resource: service,
    ports: portsOfService(service),
    ...addressesOf(service, service.clusterIps, 'spec.clusterIP', warnings),
    aliases: aliases.get(host) ?? [],
    external: false,
    discovery: service.headless ? 'original-destination' : 'stated',
    headless: service.headless,
  };
}

/** A name outside: Istio's way before it knew aliases, and still its way for names that are no service. */
function fromExternalName(service: Service, target: string, warnings: WarningList): MeshService {
  warnings.add(
    'external_name',
    service,
    'spec.externalName',
    `${nameOf(service)} stands for "${target}", which no service here is: it is dialled by DNS, without mTLS`,
    'write a ServiceEntry for the name, with location and endpoints, if it is part of the mesh',
  );
  return {
    host: hostOfService(service),
    namespace: service.namespace,
    name: service.name,
    resource: service,
    ports: portsOfService(service),
    addresses: [],
    blocks: [],
    aliases: [],
    external: true,
    discovery: 'named',
    headless: false,
  };
}

function portsOfService(service: Service): MeshPort[] {
  const ports: MeshPort[] = [];
  for (const [index, port] of service.ports.entries()) {
    if (port.protocol !== 'TCP') continue;
    const protocol = protocolOfPort(port);
    const declared = protocol === 'http2' ? 'http' : protocol;
    ports.push({
      number: port.port,
      name: port.name,
      // An ExternalName is dialled at the port that clients use.
      targetPort: service.externalName === '' ? port.targetPort : port.port,
      protocol,
      carriage: isTlsPort(port) ? 'tls' : declared,
      path: `spec.ports[${index}]`,
      from: `${nameOf(service)} port ${port.name === '' ? port.port : port.name}`,
    });
  }
  return ports;
}

function fromEntry(
  entry: ServiceEntry,
  aliases: ReadonlyMap<string, string[]>,
  warnings: WarningList,
): MeshService[] {
  const ports = entry.ports.map((port, index): MeshPort => {
    const [protocol, carriage] =
      port.protocol === null ? (['auto', 'auto'] as const) : CARRIAGES[port.protocol];
    return {
      number: port.number,
      name: port.name,
      targetPort: port.targetPort,
      protocol,
      carriage,
      path: `spec.ports[${index}]`,
      from: `${nameOf(entry)} port ${port.name === '' ? port.number : port.name}`,
    };
  });
  const addresses = addressesOf(entry, entry.addresses, 'spec.addresses', warnings);
  return entry.hosts.map((host) => ({
    host,
    namespace: entry.namespace,
    name: entry.name,
    resource: entry,
    ports,
    ...addresses,
    aliases: aliases.get(host) ?? [],
    external: entry.location === 'MESH_EXTERNAL',
    discovery: discoveryOf(entry),
    headless: false,
  }));
}

function discoveryOf(entry: ServiceEntry): MeshService['discovery'] {
  switch (entry.resolution) {
    case 'NONE':
      return 'original-destination';
    case 'STATIC':
      return 'stated';
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      return 'named';
    default:
      return entry.resolution satisfies never;
  }
}

/** The name that an ExternalName Service stands for; '' for every other. */
function targetOf(service: Service): string {
  return service.externalName.toLowerCase().replace(/\.$/, '');
}

/** An ExternalName whose target is a service is one more name of it, as in Istio since 1.21. */
function aliasesOf(services: readonly Service[], hosts: ReadonlySet<string>): ReadonlyMap<string, string[]> {
  const aliases = new Map<string, string[]>();
  for (const service of services) {
    const target = targetOf(service);
    if (target === '' || !hosts.has(target)) continue;
    const known = aliases.get(target);
    if (known === undefined) aliases.set(target, [hostOfService(service)]);
    else known.push(hostOfService(service));
  }
  return aliases;
}

function addressesOf(
  resource: Service | ServiceEntry,
  texts: readonly string[],
  path: string,
  warnings: WarningList,
): { readonly addresses: readonly string[]; readonly blocks: readonly AddressBlock[] } {
  const addresses: string[] = [];
  const blocks: AddressBlock[] = [];
  for (const text of texts) {
    const ip = canonicalIp(text);
    const block = ip === null ? parseAddressBlock(text) : null;
    // Unspecified addresses are Istio's way to say that there is none.
    if (ip !== null) {
      if (ip !== '0.0.0.0' && ip !== '::') addresses.push(ip);
    } else if (block !== null) blocks.push(block);
    else {
      warnings.add(
        'unusable_address',
        resource,
        path,
        `${nameOf(resource)} has the address "${text}", which is neither an IP address nor a CIDR block`,
        'write an address like 10.0.0.1 or a block like 10.0.0.0/24',
      );
    }
  }
  return { addresses, blocks };
}
