/**
 * The key sets that rules of RequestAuthentications name: fetched ahead of use, as soon as a snapshot that needs them
 * is being prepared, and kept fresh as long as one is in force.
 */
import type { PosternConfig } from './config/postern-config.ts';
import { ControlKeySet } from './control-key-set.ts';
import type { ServerPorts } from './control-servers.ts';
import type { FetchedKeySet, KeySetPlan } from './core/jwt-plan.ts';
import { fetchKeySet } from './filters/fetch-key-set.ts';
import type { BoundPorts } from './messages.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { Log } from './observe/log.ts';

export interface ControlKeySetsOptions {
  readonly config: Pick<PosternConfig, 'jwks' | 'limits'>;
  /** What this sidecar listens on, as far as it is known now. */
  readonly ownPorts: () => readonly number[];
  readonly counters: ControlCounters;
  readonly log: Log;
  /** Tells the data halves; null keys are to be forgotten. */
  readonly send: (keySets: readonly FetchedKeySet[]) => void;
  readonly onBug: (thrown: unknown) => void;
}

/** What `/config_dump` shows of one; no key. */
export interface KeySetState {
  readonly issuer: string;
  /** '' : found by discovery. */
  readonly jwksUri: string;
  readonly keys: number;
  readonly usableKeys: number;
  /** ISO 8601; null: never, none. */
  readonly fetchedAt: string | null;
  readonly attemptedAt: string | null;
  readonly nextAttemptAt: string | null;
  readonly failuresInARow: number;
  readonly lastError: string | null;
}

export class ControlKeySets {
  readonly #options: ControlKeySetsOptions;
  readonly #sets = new Map<string, ControlKeySet>();
  #isClosed = false;

  constructor(options: ControlKeySetsOptions) {
    this.#options = options;
  }

  /**
   * Begins to fetch what is not known yet. Settles when each of these was tried, `maxWaitMs` (else each one's own
   * timeout) having passed at the latest; it goes on in the background.
   */
  async prepare(plans: readonly KeySetPlan[], maxWaitMs: number = Number.POSITIVE_INFINITY): Promise<void> {
    if (this.#isClosed || plans.length === 0) return;
    const open = plans
      .map((plan) => this.#follow(plan))
      .filter(({ failures, fetched }) => fetched === null && failures === 0);
    if (open.length === 0) return;
    const waitMs = Math.min(maxWaitMs, Math.max(...open.map(({ plan }) => plan.timeoutMs)));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, waitMs);
    try {
      await Promise.race([Promise.allSettled(open.map(({ firstAttempt }) => firstAttempt)), promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** These are in force; all others are forgotten. */
  note(plans: readonly KeySetPlan[]): void {
    const names = new Set(plans.map(({ name }) => name));
    const gone = [...this.#sets.keys()].filter((name) => !names.has(name));
    for (const name of gone) {
      this.#sets.get(name)?.close();
      this.#sets.delete(name);
    }
    if (gone.length > 0) this.#options.send(gone.map((name) => ({ name, jwks: null })));
    this.#count();
  }

  states(): KeySetState[] {
    return [...this.#sets.values()].map((set) => ({
      issuer: set.plan.issuer,
      jwksUri: set.plan.jwksUri,
      keys: set.fetched?.keys ?? 0,
      usableKeys: set.fetched?.usableKeys ?? 0,
      fetchedAt: timeText(set.fetchedAtMs),
      attemptedAt: timeText(set.attemptedAtMs),
      nextAttemptAt: timeText(set.nextAtMs),
      failuresInARow: set.failures,
      lastError: set.lastError === '' ? null : set.lastError,
    }));
  }

  close(): void {
    this.#isClosed = true;
    for (const set of this.#sets.values()) set.close();
    this.#sets.clear();
  }

  #follow(plan: KeySetPlan): ControlKeySet {
    const known = this.#sets.get(plan.name);
    if (known !== undefined) {
      known.plan = plan;
      return known;
    }
    const { config, onBug, ownPorts } = this.#options;
    const set = new ControlKeySet(plan, {
      fetch: (now, signal) =>
        fetchKeySet(now, {
          addresses: { allow: config.jwks.allow, ownPorts: ownPorts() },
          limits: config.limits,
          signal,
        }),
      onAttempt: this.#onAttempt,
      onBug,
    });
    this.#sets.set(plan.name, set);
    return set;
  }

  readonly #onAttempt = (set: ControlKeySet, changed: boolean): void => {
    if (this.#isClosed || this.#sets.get(set.plan.name) !== set) return;
    const { counters, log, send } = this.#options;
    const { issuer, name } = set.plan;
    const jwksUri = withoutQuery(set.plan.jwksUri);
    const { failures, fetched, lastError } = set;
    if (failures > 0) {
      counters.jwksFetchFailed++;
      const message =
        fetched === null
          ? 'A key set cannot be fetched; tokens that need it are refused'
          : 'A key set cannot be fetched; the last good one stays in force';
      const fields = { issuer, jwksUri, why: lastError, failures, nextAttemptAt: timeText(set.nextAtMs) };
      log.warn('jwks_fetch_failed', fields, message);
    } else if (fetched !== null) {
      counters.jwksFetchSuccess++;
      if (changed) {
        const { keys, usableKeys } = fetched;
        log.info('jwks_fetched', { issuer, jwksUri, keys, usableKeys }, 'A key set was fetched');
        send([{ name, jwks: fetched.jwks }]);
      }
    }
    this.#count();
  };

  #count(): void {
    const { counters } = this.#options;
    const sets = [...this.#sets.values()];
    const ofSets = (value: number): number | null => (sets.length === 0 ? null : value);
    counters.jwksSets = ofSets(sets.length);
    counters.jwksSetsMissing = ofSets(sets.filter(({ fetched }) => fetched === null).length);
    counters.jwksOldestFetchMs = ofSets(Math.min(...sets.map(({ fetchedAtMs }) => fetchedAtMs)));
  }
}

/** Ports that this sidecar listens on, or is about to: as written, and as bound as far as they are. */
export function ownPortsOf(
  { admin, intercept, metrics, readiness }: PosternConfig,
  bound: BoundPorts | null,
  servers: ServerPorts | null,
): number[] {
  const written = [admin.port, readiness.port, metrics.port, intercept.port, intercept.inboundPort ?? 0];
  const listening = bound === null ? [] : [bound.intercept, bound.inbound ?? 0];
  const listeners = bound === null ? [] : [bound.ingress, bound.egress].flatMap(Object.values<number>);
  const own = servers === null ? [] : [servers.admin, servers.readiness, servers.metrics];
  return [...written, ...listening, ...listeners, ...own].filter((port) => port !== 0);
}

/** Keys of APIs stand there, and none is for the log. */
function withoutQuery(uri: string): string {
  return uri.replace(/\?.*/s, '?…');
}

function timeText(atMs: number): string | null {
  return atMs === 0 ? null : new Date(atMs).toISOString();
}
