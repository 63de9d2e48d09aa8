/**
 * What the app's own requests and connections meet after their destination is known, by cluster: filters,
 * endpoints, names. Made when a cluster is first used under a snapshot; connections outlive snapshots.
 */
import { isIP } from 'node:net';
import { formatAddress } from './core/address.ts';
import type { Address } from './core/address.ts';
import type { DialTarget, DialTls } from './core/dialer.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { ExchangeOpener, RequestHead } from './http/exchange.ts';
import type { HttpRoute } from './http/http-route.ts';
import { NO_RESERVED_NAMES } from './http/reserved-names.ts';
import type { OutboundDirection } from './intercept/direction.ts';
import { clusterOfHost } from './mesh/outbound-chains.ts';
import type { ClusterPlan, ClusterTls, EndpointPlan, RouteTable, Snapshot } from './mesh/plan.ts';
import type { Counters } from './observe/counters.ts';
import type { Log } from './observe/log.ts';
import type { RequestCounter } from './observe/traffic-counters.ts';
import { outboundTrafficLabels } from './traffic-labels.ts';
import { ClusterUpstream } from './upstream/cluster-upstream.ts';
import type { UpstreamEndpoint } from './upstream/cluster-upstream.ts';
import type { EndpointPools } from './upstream/endpoint-pools.ts';

/** Istio's name for what is let through unknown, and for what is not. */
const PASSTHROUGH_CLUSTER = 'PassthroughCluster';
const BLACK_HOLE_CLUSTER = 'BlackHoleCluster';

/** Istio's default retry policy: two more attempts, on failures to connect. */
const CONNECT_RETRIES = 2;

/**
 * What Istio's clients offer; the first of it chooses the server's chain, the last its codec. TCP is without
 * istio-peer-exchange, which obliges to send metadata before any byte of the app.
 */
const ALPN: Readonly<Record<Protocol, readonly string[]>> = {
  http: ['istio-http/1.1', 'istio', 'http/1.1'],
  http2: ['istio-h2', 'istio', 'h2'],
  tcp: ['istio'],
};
const EXTERNAL_HTTP2_ALPN: readonly string[] = ['h2'];
const NO_ALPN: readonly string[] = [];

/** What is spoken to an endpoint. */
type Protocol = 'http' | 'http2' | 'tcp';

/** Of a call that this sidecar makes for itself: nobody's connection was taken for it. */
const OWN_CALL: OutboundDirection = { kind: 'outbound', destination: { ip: '', port: 0 }, listener: 'own' };

/** Upstreams of single addresses: any may be asked for once. Beyond this many all are forgotten, and made anew. */
const MAX_ADDRESS_UPSTREAMS = 1_024;

export interface OutboundRouteDeps {
  readonly pools: EndpointPools;
  readonly counters: Counters;
  readonly log: Log;
  readonly identity: { readonly spiffeId: string };
  /** Whether this sidecar itself takes the app's calls there. */
  readonly isEgress: (host: string, port: number) => boolean;
}

export class OutboundRoutes {
  readonly #deps: OutboundRouteDeps;
  readonly #routes = new Map<string, HttpRoute>();
  readonly #upstreams = new Map<string, ClusterUpstream>();
  readonly #requests = new Map<string, RequestCounter>();
  #files: Readonly<Record<string, string>> = {};
  #version = 0;
  #snapshot: Snapshot | null = null;
  #filters: FilterChain | null = null;
  #refusing: HttpRoute | null = null;

  constructor(deps: OutboundRouteDeps) {
    this.#deps = deps;
  }

  /** From here on requests meet this snapshot's services. */
  apply(snapshot: Snapshot, filters: FilterChain): void {
    this.#snapshot = snapshot;
    this.#filters = filters;
    this.#forget();
  }

  /** Text of the files that DestinationRules name, by path. */
  setFiles(files: Readonly<Record<string, string>>): void {
    this.#files = files;
    this.#forget();
  }

  /** The route of each request of one connection; looked up again after a change of Host or of the snapshot. */
  router(direction: OutboundDirection, tableOf: () => RouteTable | null): (head: RequestHead) => HttpRoute {
    let version = -1;
    let authority = '';
    let route: HttpRoute | null = null;
    return (head) => {
      if (route === null || version !== this.#version || authority !== head.authority) {
        const table = tableOf();
        const cluster = table === null ? '' : clusterOfHost(table, head.authority);
        route = this.#routeOf(cluster, direction, head.authority);
        ({ authority } = head);
        version = this.#version;
      }
      return route;
    };
  }

  /** What a TCP connection to this cluster dials; '' goes where the app meant to. */
  tcpUpstream(cluster: string, direction: OutboundDirection): ClusterUpstream {
    const plan = this.planOf(cluster);
    if (plan === null) return this.#passthrough(direction.destination);
    return this.#upstreamOf(plan, 'tcp', direction, serverNameOf(plan, ''));
  }

  /** The service of an authorization provider, as any other of the snapshot in force. */
  providerUpstream(cluster: string, protocol: 'http' | 'http2'): ClusterUpstream {
    const plan = this.planOf(cluster);
    if (plan === null) return this.#makeUpstream(cluster, []);
    return this.#upstreamOf(plan, protocol, OWN_CALL, serverNameOf(plan, ''));
  }

  tcpClusterName(cluster: string): string {
    return cluster === '' ? PASSTHROUGH_CLUSTER : cluster;
  }

  /** Where the requests of a cluster are counted. */
  requestCounter(cluster: string): RequestCounter {
    const known = this.#requests.get(cluster);
    if (known !== undefined) return known;
    const { counters, identity } = this.#deps;
    const { workload } = this.#snapshot!;
    const labels = outboundTrafficLabels(workload, this.planOf(cluster), cluster, identity.spiffeId, 'http');
    const counter = counters.requestCounter(labels);
    this.#requests.set(cluster, counter);
    return counter;
  }

  close(): void {
    this.#forget();
  }

  /** null: no service of the snapshot in force has this cluster. */
  planOf(cluster: string): ClusterPlan | null {
    const { clusters } = this.#snapshot!.outbound;
    return Object.hasOwn(clusters, cluster) ? clusters[cluster]! : null;
  }

  #routeOf(cluster: string, direction: OutboundDirection, authority: string): HttpRoute {
    const plan = this.planOf(cluster);
    if (plan !== null) return this.#clusterRoute(plan, direction, authority);
    const isOpen = this.#snapshot!.outbound.unknownDestinations === 'ALLOW_ANY';
    // An egress listener knows nothing of where the app meant to go: only Host could say, and that is unknown.
    if (isOpen && direction.listener === '') return this.#passthroughRoute(direction.destination);
    return (this.#refusing ??= this.#makeRoute(
      BLACK_HOLE_CLUSTER,
      'block_all',
      this.#makeUpstream(BLACK_HOLE_CLUSTER, []),
      0,
    ));
  }

  #clusterRoute(plan: ClusterPlan, direction: OutboundDirection, authority: string): HttpRoute {
    const serverName = serverNameOf(plan, authority);
    const key = keyOf(plan, direction, serverName);
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    const upstream = this.#upstreamOf(plan, 'http', direction, serverName);
    const version = this.#version;
    // A request that waited, for a filter or to be tried again, must not dial by what was in force before.
    const open: ExchangeOpener['open'] = (...request) => {
      const isNow = version === this.#version;
      return (isNow ? upstream : this.#upstreamNow(plan.name, direction, authority)).open(...request);
    };
    const route = this.#makeRoute(plan.name, 'default', { open }, CONNECT_RETRIES);
    this.#remember(this.#routes, key, route);
    return route;
  }

  #upstreamNow(cluster: string, direction: OutboundDirection, authority: string): ClusterUpstream {
    const plan = this.planOf(cluster);
    if (plan === null) return this.#makeUpstream(cluster, []);
    return this.#upstreamOf(plan, 'http', direction, serverNameOf(plan, authority));
  }

  #passthroughRoute(destination: Address): HttpRoute {
    const key = `allow_any ${formatAddress(destination)}`;
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    const upstream = this.#passthrough(destination);
    const route = this.#makeRoute(PASSTHROUGH_CLUSTER, 'allow_any', upstream, 0);
    this.#remember(this.#routes, key, route);
    return route;
  }

  #makeRoute(cluster: string, routeName: string, opener: ExchangeOpener, connectRetries: number): HttpRoute {
    const counters = this.#deps.counters.cluster(cluster);
    return {
      filters: this.#filters!,
      opener,
      defaultAuthority: '',
      cluster,
      routeName,
      refuse: cluster === BLACK_HOLE_CLUSTER ? 'unknown_destination' : null,
      connectRetries,
      sendsAttemptCount: true,
      serverName: 'envoy',
      reservedNames: NO_RESERVED_NAMES,
      onRetry: () => {
        counters.rqRetry++;
      },
      onRetryAnswered: () => {
        counters.rqRetrySuccess++;
      },
    };
  }

  #passthrough({ ip, port }: Address): ClusterUpstream {
    const key = `${PASSTHROUGH_CLUSTER} ${ip} ${port}`;
    const known = this.#upstreams.get(key);
    if (known !== undefined) return known;
    const target: DialTarget = { host: ip, port, cluster: PASSTHROUGH_CLUSTER };
    const upstream = this.#makeUpstream(PASSTHROUGH_CLUSTER, [{ target, weight: 1 }]);
    this.#remember(this.#upstreams, key, upstream);
    return upstream;
  }

  #upstreamOf(
    plan: ClusterPlan,
    kind: Protocol,
    direction: OutboundDirection,
    serverName: string,
  ): ClusterUpstream {
    const key = `${kind} ${keyOf(plan, direction, serverName)}`;
    const known = this.#upstreams.get(key);
    if (known !== undefined) return known;
    const tls = plan.tls === null ? null : dialTls(plan.tls, kind, serverName, this.#files);
    const { ip, port } = direction.destination;
    const stated = isDialledAsMeant(plan, direction)
      ? [{ host: ip, port, tls: plan.tls !== null, weight: 1 }]
      : plan.endpoints;
    // Never in plaintext because a file is not at hand.
    const usable = stated.filter((endpoint) => !endpoint.tls || tls !== null);
    const endpoints = usable.filter((endpoint) => !this.#leadsBack(plan, endpoint));
    const upstream = this.#makeUpstream(
      plan.name,
      endpoints.map(({ host, port: to, tls: marked, weight }) => ({
        target: { host, port: to, cluster: plan.name, ...(marked && tls !== null ? { tls } : {}) },
        weight,
      })),
    );
    this.#remember(this.#upstreams, key, upstream);
    return upstream;
  }

  /** One request would become as many connections as there may be. */
  #leadsBack({ name, from }: ClusterPlan, { host, port }: EndpointPlan): boolean {
    const { isEgress, log } = this.#deps;
    if (!isEgress(host, port)) return false;
    log.warn(
      'endpoint_leads_back',
      { upstream: formatAddress({ ip: host, port }), cluster: name, from },
      "An endpoint is an egress listener of this sidecar, where the app's calls come in: it is left out",
    );
    return true;
  }

  #makeUpstream(name: string, endpoints: readonly UpstreamEndpoint[]): ClusterUpstream {
    const { counters, log, pools } = this.#deps;
    return new ClusterUpstream({ name, endpoints }, { pools, log, counters: counters.cluster(name) });
  }

  #remember<T>(map: Map<string, T>, key: string, value: T): void {
    const named = Object.keys(this.#snapshot!.outbound.clusters).length;
    if (map.size >= MAX_ADDRESS_UPSTREAMS + 2 * named) map.clear();
    map.set(key, value);
  }

  #forget(): void {
    this.#routes.clear();
    this.#upstreams.clear();
    this.#requests.clear();
    this.#refusing = null;
    this.#version++;
  }
}

/** An egress listener's own address is not where the app meant to go: there the known endpoints count. */
function isDialledAsMeant(plan: ClusterPlan, direction: OutboundDirection): boolean {
  return plan.discovery === 'original-destination' && direction.listener === '';
}

function keyOf(plan: ClusterPlan, direction: OutboundDirection, serverName: string): string {
  if (isDialledAsMeant(plan, direction))
    return `${plan.name} ${serverName} ${formatAddress(direction.destination)}`;
  return serverName === '' ? plan.name : `${plan.name} ${serverName}`;
}

/** The name in SNI where the rule has none: of a wildcard host only the request can say it. */
function serverNameOf(plan: ClusterPlan, authority: string): string {
  if (plan.tls?.kind !== 'external' || plan.tls.sni !== '') return '';
  return plan.host.startsWith('*') ? authority.replace(/:[0-9]+$/, '').toLowerCase() : plan.host;
}

function dialTls(
  tls: ClusterTls,
  kind: Protocol,
  serverName: string,
  files: Readonly<Record<string, string>>,
): DialTls | null {
  if (tls.kind === 'istio') {
    const alpn = ALPN[kind];
    return { kind: 'istio', sni: tls.sni, alpn, subjectAltNames: tls.subjectAltNames, external: null };
  }
  const named = [tls.caCertificates, tls.clientCertificate, tls.privateKey];
  if (named.some((path) => path !== '' && !Object.hasOwn(files, path))) return null;
  const textOf = (path: string): string => (path === '' ? '' : files[path]!);
  const sni = tls.sni === '' ? serverName : tls.sni;
  return {
    kind: 'external',
    sni: isIP(sni) === 0 ? sni : '',
    alpn: kind === 'http2' ? EXTERNAL_HTTP2_ALPN : NO_ALPN,
    subjectAltNames: tls.subjectAltNames,
    external: {
      verify: tls.verify,
      caPem: textOf(tls.caCertificates),
      certificatePem: textOf(tls.clientCertificate),
      privateKeyPem: textOf(tls.privateKey),
    },
  };
}
