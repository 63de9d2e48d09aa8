/**
 * All pools of a data half, by endpoint, cluster and TLS identity. They outlive snapshots, so that a reload costs no
 * connections and an endpoint that fails stays ejected.
 */
import { hash } from 'node:crypto';
import { detach } from '../core/detach.ts';
import type { Dialer, DialTarget, DialTls } from '../core/dialer.ts';
import type { Limits } from '../core/limits.ts';
import type { Counters } from '../observe/counters.ts';
import type { Log } from '../observe/log.ts';
import type { OutboundTls } from '../tls/outbound-tls.ts';
import { EndpointPool } from './endpoint-pool.ts';

/** Pools without a connection are dropped when there are more than this: any port may be asked for once. */
export const MAX_EMPTY_POOLS = 256;

export interface EndpointPoolsDeps {
  readonly dialer: Dialer;
  readonly tls: OutboundTls;
  readonly counters: Counters;
  readonly log: Log;
  readonly onBug: (thrown: unknown) => void;
}

export class EndpointPools {
  readonly #deps: EndpointPoolsDeps;
  readonly #pools = new Map<string, EndpointPool>();
  #limits: Limits | null = null;
  /** Size at which empty pools are looked for next. */
  #sweepAt = MAX_EMPTY_POOLS;

  constructor(deps: EndpointPoolsDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#pools.size;
  }

  /** With every snapshot, before anything is opened; other limits mean other pools. */
  setLimits(limits: Limits): void {
    if (JSON.stringify(this.#limits) === JSON.stringify(limits)) return;
    this.#limits = limits;
    for (const pool of this.#pools.values()) pool.close();
    this.#pools.clear();
  }

  /** To be asked again when the pool says `closed`. */
  poolOf(target: DialTarget): EndpointPool {
    const key = `${target.host} ${target.port} ${target.cluster} ${tlsKey(target.tls)}`;
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    if (this.#pools.size >= this.#sweepAt) this.#dropEmptyPools();
    const { counters, dialer, log, onBug, tls } = this.#deps;
    const pool = new EndpointPool({
      target,
      dialer,
      limits: this.#limits!,
      epoch: target.tls?.kind === 'istio' ? () => tls.epoch : () => 0,
      counters: counters.cluster(target.cluster),
      onUnsolicited: (upstreamHost) =>
        log.warn(
          'upstream_unsolicited',
          { upstream: upstreamHost, cluster: target.cluster },
          'The upstream sent bytes that nobody asked for on an idle connection; the connection was discarded',
        ),
      onBug,
    });
    this.#pools.set(key, pool);
    return pool;
  }

  /**
   * After every secret. No connection of before carries another exchange (that holds without this call; idle ones go
   * now), and those whose server would be refused by the trust in force are destroyed, tunnels included.
   */
  rejudge(): void {
    const { log, onBug, tls } = this.#deps;
    for (const pool of this.#pools.values()) pool.retire();
    const done = tls.rejudge((target, refusal) =>
      log.info(
        refusal.code,
        { upstream: `${target.host}:${target.port}`, cluster: target.cluster, reason: refusal.reason },
        'A live upstream connection is closed: the trust now in force would not accept its server',
      ),
    );
    detach(done, onBug);
  }

  #dropEmptyPools(): void {
    for (const [key, pool] of this.#pools) {
      if (pool.size > 0 || pool.active > 0) continue;
      this.#pools.delete(key);
      pool.close();
    }
    this.#sweepAt = this.#pools.size + MAX_EMPTY_POOLS;
  }

  /** Destroys every connection of every pool. */
  close(): void {
    for (const pool of this.#pools.values()) pool.destroy();
    this.#pools.clear();
  }
}

/** A hash, for the settings may hold a private key. */
function tlsKey(dialTls: DialTls | undefined): string {
  return dialTls === undefined ? '' : hash('sha256', JSON.stringify(dialTls));
}
