/**
 * Chooses what becomes of an outbound connection from the plan of its port, its destination and its first bytes;
 * and what becomes of a request from its Host. Pure; run once a connection, or once a request.
 *
 * |                  | HTTP/1         | TLS               | HTTP/2 preface    | else              |
 * | address: tcp     | its cluster    | its cluster       | its cluster       | its cluster       |
 * | address: auto    | HTTP, its own  | its cluster       | its cluster       | its cluster       |
 * | address: http    | HTTP by Host   | refused           | its cluster       | HTTP: codec's 400 |
 * | no address       | HTTP by Host   | SNI, any, unknown | any, refused      | any, codec's 400  |
 *
 * Unknown: passed on to where it was addressed under ALLOW_ANY, refused under REGISTRY_ONLY.
 */
import { hexOfIp, isInBlock } from './address-blocks.ts';
import type { RefusedConnection, SniffedKind, SniffNeeds } from './inbound-chains.ts';
import type { AddressRoute, OutboundPlan, OutboundPortPlan, RouteTable } from './plan.ts';

export interface OutboundHttp {
  readonly kind: 'http';
  readonly routes: RouteTable;
}

export interface OutboundTcp {
  readonly kind: 'tcp';
  /** '' : pass it on to its original destination. */
  readonly cluster: string;
}

export type OutboundChoice = OutboundHttp | OutboundTcp | RefusedConnection;

const COLON = 0x3a;
const PASS_THROUGH: OutboundTcp = { kind: 'tcp', cluster: '' };

/** The plan of a destination port; null: no service has it. */
export function outboundRoutesFor(plan: OutboundPlan, port: number): OutboundPortPlan | null {
  return plan.ports[port] ?? null;
}

/**
 * Says what to look for in the first bytes. `destinationIp` as in `chooseOutboundChain`: a server that speaks
 * first, behind an address of its own, must not be waited for because others share its port.
 */
export function outboundSniffNeeds(routes: OutboundPortPlan | null, destinationIp: string): SniffNeeds {
  if (routes === null) return 'none';
  const route = routeOf(routes, destinationIp);
  if (route !== null) return route.protocol === 'tcp' ? 'none' : 'tls+http';
  if (routes.http !== null) return 'tls+http';
  return routes.bySni === null ? 'none' : 'tls';
}

/** `destinationIp` is '' on an egress listener: nobody knows where the client meant to go. */
export function chooseOutboundChain(
  plan: OutboundPlan,
  routes: OutboundPortPlan | null,
  destinationIp: string,
  sniffed: SniffedKind,
): OutboundChoice {
  if (routes === null) return unknown(plan, destinationIp);
  const route = routeOf(routes, destinationIp);
  if (route !== null) return chooseForAddress(routes, route, destinationIp, sniffed);
  if (sniffed.kind === 'tls' && routes.bySni !== null) {
    const cluster = clusterOfSni(routes.bySni, sniffed.sni);
    if (cluster !== '') return { kind: 'tcp', cluster };
  }
  return chooseForHttp(plan, routes, destinationIp, sniffed);
}

/** The cluster of a request by its Host; '' : no service has it. Exact names, then the longest wildcard. */
export function clusterOfHost(table: RouteTable, authority: string): string {
  const exact = Object.hasOwn(table.hosts, authority) ? table.hosts[authority] : undefined;
  return exact ?? clusterOfOtherSpelling(table, authority);
}

function routeOf(routes: OutboundPortPlan, ip: string): AddressRoute | null {
  if (Object.hasOwn(routes.byAddress, ip)) return routes.byAddress[ip]!;
  if (routes.byBlock.length === 0) return null;
  const address = hexOfIp(ip);
  return routes.byBlock.find((block) => isInBlock(block, address))?.route ?? null;
}

function chooseForAddress(
  routes: OutboundPortPlan,
  route: AddressRoute,
  destinationIp: string,
  { kind }: SniffedKind,
): OutboundChoice {
  // HTTP/2 is not spoken yet: the address names the service as well as Host would.
  if (route.protocol === 'tcp' || kind === 'http2') return { kind: 'tcp', cluster: route.cluster };
  if (route.protocol === 'auto') {
    const own = kind === 'http1' ? route.routes : null;
    return own === null ? { kind: 'tcp', cluster: route.cluster } : { kind: 'http', routes: own };
  }
  if (kind === 'tls') return refuseTls(destinationIp);
  return routes.http === null
    ? { kind: 'tcp', cluster: route.cluster }
    : { kind: 'http', routes: routes.http };
}

/** No address and no SNI has told. */
function chooseForHttp(
  plan: OutboundPlan,
  { http, httpOnly, any }: OutboundPortPlan,
  destinationIp: string,
  { kind }: SniffedKind,
): OutboundChoice {
  if (http !== null && kind === 'http1') return { kind: 'http', routes: http };
  if (any !== '') return { kind: 'tcp', cluster: any };
  if (http === null) return unknown(plan, destinationIp);
  if (kind === 'http2') return refuseHttp2(destinationIp);
  if (kind === 'tls') {
    // Istio's listener of such a port is 0.0.0.0:PORT and HTTP only: it takes the ClientHello for a bad request, so
    // that one HTTP service on port 8443 breaks https to every other address there. An address that no service has is not what the service was declared for: it is passed on, unread,
    // if unknown destinations may be reached at all. The address of an HTTP service refuses TLS, as Istio does.
    return httpOnly && destinationIp === '' ? refuseTls(destinationIp) : unknown(plan, destinationIp);
  }
  // Istio's codec gets it as well and answers 400.
  return httpOnly ? { kind: 'http', routes: http } : unknown(plan, destinationIp);
}

/** SNI is compared in lower case; a wildcard takes any number of labels, the longest one wins. */
function clusterOfSni(bySni: Readonly<Record<string, string>>, sni: string): string {
  const lower = sni.toLowerCase();
  const name = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (Object.hasOwn(bySni, name)) return bySni[name]!;
  for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
    const wildcard = `*${name.slice(dot)}`;
    if (Object.hasOwn(bySni, wildcard)) return bySni[wildcard]!;
  }
  return '';
}

/** Capitals, a trailing dot, another port, or a name below a wildcard. */
function clusterOfOtherSpelling(table: RouteTable, authority: string): string {
  const lower = authority.toLowerCase();
  const colon = portColon(lower);
  const given = colon === -1 ? lower : lower.slice(0, colon);
  const name = given.endsWith('.') ? given.slice(0, -1) : given;
  // `host:` names no port (RFC 3986 §3.2.3).
  const withPort = colon === -1 || colon === lower.length - 1 ? name : name + lower.slice(colon);
  const { hosts, ignoresPort } = table;
  if (Object.hasOwn(hosts, withPort)) return hosts[withPort]!;
  if (ignoresPort && Object.hasOwn(hosts, name)) return hosts[name]!;
  for (const { suffix, cluster } of table.wildcards) {
    if (isBelow(withPort, suffix) || (ignoresPort && isBelow(name, suffix))) return cluster;
  }
  return '';
}

function isBelow(name: string, suffix: string): boolean {
  return suffix === '' || (name.length > suffix.length && name.endsWith(suffix));
}

/** Where the port of `[::1]:80` or `a.b:80` begins. */
function portColon(authority: string): number {
  for (let i = authority.length - 1; i > 0; i--) {
    const code = authority.charCodeAt(i);
    if (code === COLON) return i;
    if (code < 0x30 || code > 0x39) return -1;
  }
  return -1;
}

function unknown({ unknownDestinations }: OutboundPlan, destinationIp: string): OutboundChoice {
  if (destinationIp === '') {
    return {
      kind: 'refused',
      code: 'unknown_destination',
      why: 'nothing that the client sent to this egress listener names one of its services',
      hint: 'send HTTP with a Host, or TLS with an SNI, that spec.egress.hosts of the Sidecar lets through',
    };
  }
  if (unknownDestinations === 'ALLOW_ANY') return PASS_THROUGH;
  return {
    kind: 'refused',
    code: 'unknown_destination',
    why: `no service that this workload may reach has address ${destinationIp}, and outboundTrafficPolicy is REGISTRY_ONLY`,
    hint: `write a ServiceEntry with address ${destinationIp}, or set outboundTrafficPolicy to ALLOW_ANY`,
  };
}

function refuseTls(destinationIp: string): RefusedConnection {
  return {
    kind: 'refused',
    code: 'no_filter_chain_match',
    why: `TLS came ${placeOf(destinationIp)}, whose service declares the port HTTP`,
    hint: 'send plaintext HTTP, to which mTLS is added here, or declare the port https, tls or tcp',
  };
}

function refuseHttp2(destinationIp: string): RefusedConnection {
  return {
    kind: 'refused',
    code: 'http2_not_supported',
    why: `the cleartext HTTP/2 preface came ${placeOf(destinationIp)}, and this version speaks HTTP/1.1 only`,
    hint: 'use HTTP/1.1, or declare the port tcp and give the service an address to carry HTTP/2 without HTTP rules',
  };
}

function placeOf(destinationIp: string): string {
  return destinationIp === '' ? 'to this egress listener' : `to ${destinationIp}`;
}
