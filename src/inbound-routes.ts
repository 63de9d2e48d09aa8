/**
 * What inbound requests meet after their chain is chosen, by port: filters, pool, names. Made when a port is
 * first used under a snapshot; pools outlive snapshots, so that a reload does not cost connections.
 */
import { formatAddress } from './core/address.ts';
import { outputNamesOf } from './filters/jwt-rules.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { HttpRoute } from './http/http-route.ts';
import { NO_RESERVED_NAMES } from './http/reserved-names.ts';
import type { ReservedNames } from './http/reserved-names.ts';
import type { InboundDirection } from './intercept/direction.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { PortPlan, Snapshot } from './mesh/plan.ts';
import type { Counters } from './observe/counters.ts';
import type { Log } from './observe/log.ts';
import { ClusterUpstream } from './upstream/cluster-upstream.ts';
import type { EndpointPools } from './upstream/endpoint-pools.ts';

/** Any port may be asked for once: beyond this many all routes are forgotten and made again when needed. */
const MAX_ROUTES = 512;

export interface RouteDeps {
  readonly pools: EndpointPools;
  readonly counters: Counters;
  readonly log: Log;
}

export class InboundRoutes {
  readonly #deps: RouteDeps;
  readonly #routes = new Map<string, HttpRoute>();
  #version = 0;
  #snapshot: Snapshot | null = null;
  #reservedNames: ReservedNames = NO_RESERVED_NAMES;
  #filtersOfScope: (scope: string) => FilterChain = noFilters;
  /** By the port's scope. */
  readonly #filters = new Map<string, FilterChain>();

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  /** From here on requests meet this snapshot's filters, one chain a port that the snapshot names. */
  apply(snapshot: Snapshot, filtersOfScope: (scope: string) => FilterChain): void {
    this.#snapshot = snapshot;
    this.#reservedNames = outputNamesOf(snapshot.jwt);
    this.#filtersOfScope = filtersOfScope;
    this.#filters.clear();
    this.#forgetRoutes();
  }

  /** `routeOf` for one connection: asked at every request, looked up again only after a change. */
  cachedRoute(direction: InboundDirection): () => HttpRoute {
    let route = this.routeOf(direction);
    let version = this.#version;
    return () => {
      if (version !== this.#version) {
        route = this.routeOf(direction);
        version = this.#version;
      }
      return route;
    };
  }

  /** The route of a destination under the snapshot in force. */
  routeOf(direction: InboundDirection): HttpRoute {
    const { host, port } = direction.appTarget;
    const key = `${direction.destination.port} ${host} ${port}`;
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    const plan = planOfPort(this.#snapshot!, direction.destination.port);
    const clusterCounters = this.#deps.counters.cluster(plan.cluster);
    const route: HttpRoute = {
      filters: this.filtersOf(plan),
      opener: this.upstreamOf(direction),
      defaultAuthority: formatAddress({ ip: host, port }),
      cluster: plan.cluster,
      routeName: 'default',
      refuse: null,
      connectRetries: 0,
      sendsAttemptCount: false,
      serverName: 'istio-envoy',
      reservedNames: this.#reservedNames,
      onRetry: () => {
        clusterCounters.rqRetry++;
      },
      onRetryAnswered: () => {
        clusterCounters.rqRetrySuccess++;
      },
    };
    if (this.#routes.size >= MAX_ROUTES) this.#forgetRoutes();
    this.#routes.set(key, route);
    return route;
  }

  /** What all connections of a port meet. */
  filtersOf(plan: PortPlan): FilterChain {
    const scope = scopeOf(plan);
    let filters = this.#filters.get(scope);
    if (filters === undefined) {
      filters = this.#filtersOfScope(scope);
      this.#filters.set(scope, filters);
    }
    return filters;
  }

  /** The app at a destination, also for connections that are carried as TCP. */
  upstreamOf(direction: InboundDirection): ClusterUpstream {
    const { host, port } = direction.appTarget;
    const { cluster } = planOfPort(this.#snapshot!, direction.destination.port);
    const { counters, log, pools } = this.#deps;
    return new ClusterUpstream(
      { name: cluster, endpoints: [{ target: { host, port, cluster }, weight: 1 }] },
      { pools, counters: counters.cluster(cluster), log },
    );
  }

  #forgetRoutes(): void {
    this.#routes.clear();
    this.#version++;
  }

  close(): void {
    this.#routes.clear();
  }
}

/** Counted together: one scope for all ports that nothing names, since a client chooses among them. */
export function scopeOf(plan: PortPlan): string {
  return plan.port === 0 ? 'passthrough' : String(plan.port);
}

/** Envoy's stat prefix of an inbound chain, `inbound_0.0.0.0_8080`. */
export function inboundScope(bind: string, scope: string): string {
  return `inbound_${bind}_${scope}`;
}

function noFilters(): never {
  throw new Error('no snapshot is in force');
}
