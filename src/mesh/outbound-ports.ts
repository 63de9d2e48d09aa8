/**
 * How connections to one destination port find their service, Istio's way: HTTP by Host, TCP by address, the
 * clients' own TLS by SNI where no address tells, and one TCP service without an address for all the rest.
 */
import type { SidecarEgress } from '../config/resources.ts';
import { bySize } from './address-blocks.ts';
import type { ListedPort } from './outbound-clusters.ts';
import type { AddressBlockRoute, AddressRoute, OutboundPortPlan } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import { tableOfAllPorts, tableOfOne, tableOfPort } from './route-table.ts';
import type { WarningList } from './warning-list.ts';

/** Redirected connections to `number`; `ports` are the service ports of that number. */
export function capturedPort(
  number: number,
  ports: readonly ListedPort[],
  clientNamespace: string,
  warnings: WarningList,
): OutboundPortPlan {
  const http = ports.filter(speaksHttp);
  const httpOnly = http.some(({ port }) => port.carriage === 'http');
  const addressless = ports.filter(
    (listed) => hasNoAddress(listed) && (listed.port.carriage === 'tcp' || listed.port.carriage === 'auto'),
  );
  if (httpOnly) warnOfMixedPort(number, addressless, warnings);
  return {
    ...addressRoutes(ports, warnings),
    // A TLS service with an address is told by that, as in Istio: its clients may send any SNI, or none.
    bySni: sniRoutes(
      ports.filter((listed) => listed.port.carriage === 'tls' && listed.addresses.length === 0),
      warnings,
    ),
    http: http.length === 0 ? null : tableOfPort(String(number), http, clientNamespace),
    httpOnly,
    any: theOnly(addressless, number, warnings),
  };
}

const HTTP_PROTOCOLS: ReadonlySet<string> = new Set(['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB']);

/** An egress listener: addresses tell nothing there, for all clients dial the listener's own. */
export function listenerRoutes(
  egress: SidecarEgress,
  ports: readonly ListedPort[],
  clientNamespace: string,
  warnings: WarningList,
): OutboundPortPlan {
  const { number, protocol } = egress.port ?? { number: 0, protocol: null };
  const none = { byAddress: {}, byBlock: [], bySni: null, http: null, httpOnly: false, any: '' } as const;
  if (protocol === 'HTTP_PROXY' || (number === 0 && (protocol === null || HTTP_PROTOCOLS.has(protocol)))) {
    const table = tableOfAllPorts(String(number), ports.filter(speaksHttp), clientNamespace);
    return { ...none, http: table, httpOnly: true };
  }
  const ofNumber = number === 0 ? ports : ports.filter(({ port }) => port.number === number);
  const http = ofNumber.filter(speaksHttp);
  switch (protocol) {
    case 'HTTP':
    case 'HTTP2':
    case 'GRPC':
    case 'GRPC-WEB':
      return { ...none, http: tableOfPort(String(number), http, clientNamespace), httpOnly: true };
    case 'HTTPS':
    case 'TLS':
      return { ...none, bySni: sniRoutes(ofNumber, warnings) ?? {} };
    case 'TCP':
    case 'MONGO':
    case 'MYSQL':
    case 'REDIS':
      return { ...none, any: theOnly(ofNumber, number, warnings) };
    case null:
      return {
        ...none,
        bySni: sniRoutes(
          ofNumber.filter(({ port }) => port.carriage === 'tls'),
          warnings,
        ),
        http: http.length === 0 ? null : tableOfPort(String(number), http, clientNamespace),
        httpOnly: http.some(({ port }) => port.carriage === 'http'),
        any: theOnly(
          ofNumber.filter(({ port }) => port.carriage === 'tcp' || port.carriage === 'auto'),
          number,
          warnings,
        ),
      };
    default:
      return protocol satisfies never;
  }
}

function speaksHttp({ port }: ListedPort): boolean {
  return port.carriage === 'http' || port.carriage === 'auto';
}

function hasNoAddress({ addresses, service }: ListedPort): boolean {
  // A headless Service without instances is told by nothing, and must not swallow a port.
  return addresses.length === 0 && service.blocks.length === 0 && !service.headless;
}

/** Of two services at one address the first counts. */
function addressRoutes(
  ports: readonly ListedPort[],
  warnings: WarningList,
): Pick<OutboundPortPlan, 'byAddress' | 'byBlock'> {
  const byAddress: Record<string, AddressRoute> = {};
  const owners = new Map<string, ListedPort>();
  const byBlock: AddressBlockRoute[] = [];
  for (const listed of ports) {
    const { service, port, addresses } = listed;
    // Single instances of a headless HTTP Service are found by Host, at whatever address.
    if (service.headless && port.carriage === 'http') continue;
    const route = addressRoute(listed);
    for (const address of addresses) {
      const owner = owners.get(address);
      if (owner === undefined) {
        owners.set(address, listed);
        byAddress[address] = route;
      } else if (owner.service.resource !== service.resource) {
        warnings.add(
          'port_conflict',
          service.resource,
          port.path,
          `${port.from} is not reached by address ${address}, which ${owner.port.from} has as well`,
          'give each service its own address',
        );
      }
    }
    // What a TLS service of a block serves is told by SNI, and others may be in the same block.
    if (port.carriage === 'tls') continue;
    for (const block of service.blocks) byBlock.push({ ...block, route });
  }
  return { byAddress, byBlock: byBlock.toSorted(bySize) };
}

function addressRoute(listed: ListedPort): AddressRoute {
  const { cluster, port } = listed;
  if (port.carriage === 'http') return { cluster, protocol: 'http', routes: null };
  if (port.carriage === 'auto') return { cluster, protocol: 'auto', routes: tableOfOne(listed) };
  return { cluster, protocol: 'tcp', routes: null };
}

function sniRoutes(ports: readonly ListedPort[], warnings: WarningList): Record<string, string> | null {
  if (ports.length === 0) return null;
  const routes = new Map<string, string>();
  for (const { service, port, cluster } of ports) {
    for (const host of [service.host, ...service.aliases]) {
      if (!routes.has(host)) routes.set(host, cluster);
      else {
        warnings.add(
          'duplicate_host',
          service.resource,
          port.path,
          `${port.from} is not reached by SNI "${host}", which another service has as well`,
          'give each service its own host',
        );
      }
    }
  }
  return Object.fromEntries(routes);
}

/** Istio keeps one listener of the two; here the first bytes tell them apart, if they can. */
function warnOfMixedPort(number: number, tcp: readonly ListedPort[], warnings: WarningList): void {
  for (const { service, port } of tcp) {
    if (port.carriage !== 'tcp') continue;
    warnings.add(
      'port_conflict',
      service.resource,
      port.path,
      `${port.from} has no address and shares port ${number} with HTTP services: it gets what does not begin as ` +
        'HTTP, and a server of it that speaks first is never heard',
      'state the addresses that clients dial, or another port',
    );
  }
}

/** The service that takes what nothing else tells; '' without one. */
function theOnly(ports: readonly ListedPort[], number: number, warnings: WarningList): string {
  const [first, ...others] = ports;
  if (first === undefined) return '';
  for (const { service, port } of others) {
    if (service.resource === first.service.resource) continue;
    warnings.add(
      'port_conflict',
      service.resource,
      port.path,
      `${port.from} has no address, and ${nameOf(first.service.resource)} has already the connections to port ` +
        `${number} that no address tells: it cannot be reached`,
      'state the addresses that clients dial, or another port',
    );
  }
  return first.cluster;
}
