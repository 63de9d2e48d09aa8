/**
 * What ext_authz filters ask their providers through: the provider's service as the snapshot in force knows it, and
 * HTTP/2 connections to its endpoints, which outlive snapshots as pools do.
 */
import type { Socket } from 'node:net';
import type { ExtAuthzProvider } from './core/authorization-plan.ts';
import type { DialAttempt } from './core/dialer.ts';
import type { Limits } from './core/limits.ts';
import type { AuthzEndpoint, AuthzUpstream } from './filters/authz-upstream.ts';
import { ExtAuthzClient } from './filters/ext-authz-client.ts';
import { CheckSessions } from './filters/ext-authz-sessions.ts';
import type { ClusterCounters } from './observe/counters.ts';
import type { ClusterUpstream } from './upstream/cluster-upstream.ts';
import { noteDialFailure } from './upstream/dial-error.ts';
import type { EndpointPool } from './upstream/endpoint-pool.ts';

export interface ExtAuthzUpstreamsDeps {
  /** Asked at each check, for the snapshot in force. */
  readonly upstreamOf: (provider: ExtAuthzProvider) => ClusterUpstream;
  readonly limits: () => Pick<Limits, 'maxExtAuthzPending' | 'idleTimeoutMs'>;
  readonly ownSpiffeId: () => string;
}

export class ExtAuthzUpstreams {
  readonly #deps: ExtAuthzUpstreamsDeps;
  /** By name; each for as long as the provider stays as it is. */
  #clients = new Map<string, { readonly settings: string; readonly client: ExtAuthzClient }>();
  readonly #sessions = new Map<EndpointPool, CheckSessions>();
  #closed = false;

  constructor(deps: ExtAuthzUpstreamsDeps) {
    this.#deps = deps;
  }

  /** The same client for the same provider, also after a reload: what is in flight counts on. */
  clientOf(provider: ExtAuthzProvider): ExtAuthzClient {
    const settings = JSON.stringify(provider);
    const known = this.#clients.get(provider.name);
    if (known?.settings === settings) return known.client;
    const { limits, ownSpiffeId } = this.#deps;
    const upstream = this.#upstreamOf(provider);
    const client = new ExtAuthzClient({ provider, upstream, limits, ownSpiffeId });
    this.#clients.set(provider.name, { settings, client });
    return client;
  }

  /** After every snapshot and secret: connections made for what is no longer in force end with their last check. */
  retire(): void {
    for (const [pool, sessions] of this.#sessions) {
      sessions.retire();
      if (pool.closed && sessions.size === 0) this.#sessions.delete(pool);
    }
  }

  /** Ends every connection; checks in flight fail. */
  close(): void {
    this.#closed = true;
    for (const sessions of this.#sessions.values()) sessions.close();
    this.#sessions.clear();
    this.#clients.clear();
  }

  #upstreamOf(provider: ExtAuthzProvider): () => AuthzUpstream {
    return () => {
      const upstream = this.#deps.upstreamOf(provider);
      return { opener: upstream, pickSessions: () => this.#pickSessions(upstream) };
    };
  }

  #pickSessions(upstream: ClusterUpstream): CheckSessions | null {
    const pool = this.#closed ? null : upstream.pickEndpoint();
    if (pool === null) return null;
    let sessions = this.#sessions.get(pool);
    if (sessions === undefined) {
      this.retire();
      const endpoint = new PooledEndpoint(pool, upstream);
      sessions = new CheckSessions(endpoint, () => this.#deps.limits().idleTimeoutMs);
      this.#sessions.set(pool, sessions);
    }
    return sessions;
  }
}

/** An endpoint with the health and the TLS of its pool. */
class PooledEndpoint implements AuthzEndpoint {
  readonly name: string;
  readonly scheme: 'http' | 'https';
  readonly counters: ClusterCounters;
  readonly #pool: EndpointPool;
  readonly #upstream: ClusterUpstream;

  constructor(pool: EndpointPool, upstream: ClusterUpstream) {
    this.name = pool.name;
    this.scheme = pool.target.tls === undefined ? 'http' : 'https';
    this.counters = upstream.counters;
    this.#pool = pool;
    this.#upstream = upstream;
  }

  get epoch(): number {
    return this.#pool.closed ? -1 : this.#pool.epoch;
  }

  get active(): number {
    return this.#pool.active;
  }

  set active(count: number) {
    this.#pool.active = count;
  }

  dial(onConnected: (socket: Socket) => void, onFailed: (error: Error) => void): DialAttempt {
    const note = (error: Error): void => {
      noteDialFailure(error, this.counters);
      onFailed(error);
    };
    return this.#pool.dial(onConnected, note, undefined, this.#upstream);
  }
}
