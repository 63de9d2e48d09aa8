/**
 * One cluster under one snapshot: picks an endpoint for every request, and ejects those that cannot be reached.
 *
 * Pools and the health of endpoints belong to `EndpointPools` and outlive this object. Least request of two random
 * choices; with unequal weights Envoy's earliest deadline first.
 */
import { monotonicMs } from '../core/clock.ts';
import type { DialTarget } from '../core/dialer.ts';
import type { ExchangeOpener, PendingExchange, UpstreamFailure, UpstreamSink } from '../http/exchange.ts';
import type { ClusterCounters } from '../observe/counters.ts';
import type { Log } from '../observe/log.ts';
import { MAX_EJECTED_SHARE } from './endpoint-health.ts';
import type { EndpointObserver, EndpointPool } from './endpoint-pool.ts';
import type { EndpointPools } from './endpoint-pools.ts';
import { WeightedPicker } from './pick-weighted.ts';

export interface UpstreamEndpoint {
  readonly target: DialTarget;
  /** At least 1. */
  readonly weight: number;
}

export interface UpstreamCluster {
  /** Envoy's cluster name. */
  readonly name: string;
  readonly endpoints: readonly UpstreamEndpoint[];
}

export interface ClusterUpstreamDeps {
  readonly pools: EndpointPools;
  readonly counters: ClusterCounters;
  readonly log: Log;
  /** 0 to 1, for tests. */
  readonly random?: () => number;
  readonly clock?: () => number;
}

const NOBODY: readonly string[] = [];

export class ClusterUpstream implements ExchangeOpener, EndpointObserver {
  readonly name: string;
  readonly counters: ClusterCounters;
  readonly #deps: ClusterUpstreamDeps;
  readonly #endpoints: readonly UpstreamEndpoint[];
  /** Looked up when first used, and again when closed. */
  readonly #pools: (EndpointPool | undefined)[] = [];
  readonly #picker: WeightedPicker | null;
  readonly #weights: { readonly weight: number; deadline: number }[];
  readonly #random: () => number;
  readonly #clock: () => number;

  constructor(cluster: UpstreamCluster, deps: ClusterUpstreamDeps) {
    this.name = cluster.name;
    this.counters = deps.counters;
    this.#deps = deps;
    this.#endpoints = cluster.endpoints;
    this.#random = deps.random ?? Math.random;
    this.#clock = deps.clock ?? monotonicMs;
    const equal = cluster.endpoints.every(({ weight }) => weight === cluster.endpoints[0]!.weight);
    this.#picker = equal ? null : new WeightedPicker();
    this.#weights = equal ? [] : cluster.endpoints.map(({ weight }) => ({ weight, deadline: 1 / weight }));
  }

  open(sink: UpstreamSink, fresh: boolean, avoid: readonly string[]): PendingExchange {
    const pool = this.#pick(avoid);
    if (pool !== null) return pool.open(sink, fresh, this);
    sink.onFailed(NO_HEALTHY_UPSTREAM);
    return NOTHING_PENDING;
  }

  /** For a TCP tunnel, whose dial goes through `EndpointPool.dial`; null: there is no endpoint. */
  pickEndpoint(avoid: readonly string[] = NOBODY): EndpointPool | null {
    return this.#pick(avoid);
  }

  /** Ejects it, unless too much of the cluster is out already or there is nobody else. */
  onFailing(pool: EndpointPool): void {
    const { counters, log } = this.#deps;
    const count = this.#endpoints.length;
    let out = 0;
    for (let i = 0; i < count; i++) if (this.#poolAt(i).health.isEjected(this.#clock)) out++;
    if (out + 1 > count * MAX_EJECTED_SHARE || pool.health.isEjected(this.#clock)) return;
    const forMs = pool.health.eject(this.#clock());
    counters.outlierEjections++;
    log.warn(
      'upstream_ejected',
      { upstream: pool.name, cluster: this.name, forMs },
      'An endpoint is not asked for a while: it could not be reached, or was refused, several times in a row',
    );
  }

  #pick(avoid: readonly string[]): EndpointPool | null {
    const count = this.#endpoints.length;
    if (count === 0) return null;
    if (count === 1) return this.#poolAt(0);
    if (this.#picker !== null) return this.#pickWeighted(this.#picker, avoid);
    const first = Math.floor(this.#random() * count);
    let second = Math.floor(this.#random() * (count - 1));
    if (second >= first) second++;
    const a = this.#poolAt(first);
    const b = this.#poolAt(second);
    if (this.#isOut(a, avoid) || this.#isOut(b, avoid)) return this.#pickAmongGood(avoid);
    return b.active < a.active ? b : a;
  }

  /** Some are ejected or have failed this request already; if all are, all are asked again. */
  #pickAmongGood(avoid: readonly string[]): EndpointPool {
    const all = this.#endpoints.map((_, i) => this.#poolAt(i));
    let good = all.filter((pool) => !this.#isOut(pool, avoid));
    if (good.length === 0) good = all.filter((pool) => !avoid.includes(pool.name));
    if (good.length === 0) good = all;
    const first = Math.floor(this.#random() * good.length);
    let second = Math.floor(this.#random() * (good.length - 1));
    if (second >= first && good.length > 1) second++;
    const a = good[first]!;
    const b = good[second]!;
    return b.active < a.active ? b : a;
  }

  #pickWeighted(picker: WeightedPicker, avoid: readonly string[]): EndpointPool {
    const active = (i: number): number => this.#poolAt(i).active;
    let picked = picker.pick(this.#weights, (i) => this.#isOut(this.#poolAt(i), avoid), active);
    if (picked === -1)
      picked = picker.pick(this.#weights, (i) => avoid.includes(this.#poolAt(i).name), active);
    if (picked === -1) picked = picker.pick(this.#weights, () => false, active);
    return this.#poolAt(picked);
  }

  #isOut(pool: EndpointPool, avoid: readonly string[]): boolean {
    return (avoid.length > 0 && avoid.includes(pool.name)) || pool.health.isEjected(this.#clock);
  }

  #poolAt(index: number): EndpointPool {
    const known = this.#pools[index];
    if (known !== undefined && !known.closed) return known;
    const pool = this.#deps.pools.poolOf(this.#endpoints[index]!.target);
    this.#pools[index] = pool;
    return pool;
  }
}

const NO_HEALTHY_UPSTREAM: UpstreamFailure = {
  code: 'no_healthy_upstream',
  detail: 'the service has no endpoint',
  reused: false,
  sent: false,
  answered: false,
  upstreamHost: '',
  endpoint: '',
  transportReason: '',
};

const NOTHING_PENDING: PendingExchange = {
  abort(): void {
    // It failed in the turn of `open`.
  },
};
