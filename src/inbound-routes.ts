/**
 * What inbound requests meet after their chain is chosen, by port: filters, pool, names. Made when a port is
 * first used under a snapshot; pools outlive snapshots, so that a reload does not cost connections.
 */
import type { Dialer } from './core/dialer.ts';
import { formatAddress } from './core/address.ts';
import type { Limits } from './core/limits.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { HttpRoute } from './http/http-route.ts';
import type { InboundDirection } from './intercept/direction.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { Counters } from './observe/counters.ts';
import type { Log } from './observe/log.ts';
import { EndpointPool } from './upstream/endpoint-pool.ts';

/** Pools without a connection are dropped when there are more than this: any port may be asked for once. */
const MAX_EMPTY_POOLS = 256;

export interface RouteDeps {
  readonly dialer: Dialer;
  readonly counters: Counters;
  readonly log: Log;
  readonly onBug: (thrown: unknown) => void;
}

export class InboundRoutes {
  readonly #deps: RouteDeps;
  readonly #routes = new Map<string, HttpRoute>();
  readonly #pools = new Map<string, EndpointPool>();
  #version = 0;
  #limits: Limits | null = null;
  #snapshot: Snapshot | null = null;
  #filters: FilterChain | null = null;

  constructor(deps: RouteDeps) {
    this.#deps = deps;
  }

  /** From here on requests meet this snapshot's filters. */
  apply(snapshot: Snapshot, filters: FilterChain): void {
    this.#snapshot = snapshot;
    this.#filters = filters;
    this.#forgetRoutes();
    if (JSON.stringify(this.#limits) === JSON.stringify(snapshot.limits)) return;
    this.#limits = snapshot.limits;
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
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
      filters: this.#filters!,
      opener: this.#poolOf(host, port, plan.cluster),
      defaultAuthority: formatAddress({ ip: host, port }),
      cluster: plan.cluster,
      routeName: 'default',
      refuse: null,
      connectRetries: 0,
      sendsAttemptCount: false,
      serverName: 'istio-envoy',
      onRetry: () => {
        clusterCounters.rqRetry++;
      },
      onRetryAnswered: () => {
        clusterCounters.rqRetrySuccess++;
      },
    };
    this.#routes.set(key, route);
    return route;
  }

  #poolOf(host: string, port: number, cluster: string): EndpointPool {
    const key = `${host} ${port}`;
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    if (this.#pools.size > MAX_EMPTY_POOLS) this.#dropEmptyPools();
    const { counters, dialer, log, onBug } = this.#deps;
    const pool = new EndpointPool({
      target: { host, port, cluster },
      dialer,
      limits: this.#limits!,
      counters: counters.cluster(cluster),
      onUnsolicited: (upstreamHost) =>
        log.warn(
          'upstream_unsolicited',
          { upstream: upstreamHost, cluster },
          'The app sent bytes that nobody asked for on an idle connection; the connection was discarded',
        ),
      onBug,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /** A route holds its pool, so both go together. */
  #dropEmptyPools(): void {
    for (const [key, pool] of this.#pools) {
      if (pool.size > 0) continue;
      this.#pools.delete(key);
      pool.close();
    }
    this.#forgetRoutes();
  }

  #forgetRoutes(): void {
    this.#routes.clear();
    this.#version++;
  }

  close(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
    this.#routes.clear();
  }
}
