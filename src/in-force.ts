/**
 * What a data half works by at this moment: snapshot, identity, filters, access log. Each is replaced whole, and
 * a replacement that cannot be used leaves the old one untouched.
 */
import { messageOf } from './core/errors.ts';
import { detach } from './core/detach.ts';
import type { SecretMaterial } from './core/secret.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { Filter } from './http/filter.ts';
import type { IdentityInForce } from './identity-in-force.ts';
import { createInboundFilters } from './inbound-filters.ts';
import { inboundScope } from './inbound-routes.ts';
import type { AccessLogPlan, Snapshot } from './mesh/plan.ts';
import { createAccessLog } from './observe/access-log.ts';
import type { AccessLog } from './observe/access-log.ts';
import type { Counters } from './observe/counters.ts';
import type { Loggers } from './observe/loggers.ts';
import { createOutboundFilters } from './outbound-filters.ts';
import type { CompiledPolicies } from './policy/decision.ts';
import { PolicyInForce } from './policy-in-force.ts';
import type { PolicyInForceDeps } from './policy-in-force.ts';

export interface InForceDeps {
  readonly identity: IdentityInForce;
  readonly counters: Counters;
  readonly loggers: Loggers;
  readonly providerUpstream: PolicyInForceDeps['providerUpstream'];
  readonly userFilters: readonly Filter[];
  /** Part of the names that inbound chains are counted under. */
  readonly bind: string;
  /** Several workers write the same access log. */
  readonly shared: boolean;
  readonly onBug: (thrown: unknown) => void;
}

export class InForce {
  /** null before the first; nothing is accepted before that. */
  snapshot: Snapshot | null = null;
  accessLog: AccessLog | null = null;
  readonly policy: PolicyInForce;
  outboundFilters: FilterChain;
  readonly #deps: InForceDeps;

  constructor(deps: InForceDeps) {
    this.#deps = deps;
    this.policy = new PolicyInForce({ ...deps, ownSpiffeId: () => deps.identity.spiffeId });
    this.outboundFilters = this.#makeOutboundFilters('BASE');
  }

  /** Takes a snapshot with its policies, and a secret with it if there is a new one; throws, and then nothing has changed. */
  replace(snapshot: Snapshot, policies: CompiledPolicies, newSecret: SecretMaterial | null): void {
    const { identity, onBug } = this.#deps;
    const before = this.snapshot;
    const secret = newSecret ?? identity.secret;
    let { accessLog } = this;
    try {
      const logChanged = JSON.stringify(before?.accessLog ?? null) !== JSON.stringify(snapshot.accessLog);
      if (logChanged) accessLog = this.#openAccessLog(snapshot.accessLog);
      const trustChanged = String(before?.trustDomains) !== String(snapshot.trustDomains);
      if (secret !== null && (newSecret !== null || trustChanged))
        identity.put(secret, snapshot.trustDomains);
    } catch (thrown) {
      if (accessLog !== this.accessLog && accessLog !== null) detach(accessLog.close(), onBug);
      throw thrown;
    }
    if (accessLog !== this.accessLog && this.accessLog !== null) detach(this.accessLog.close(), onBug);
    this.accessLog = accessLog;
    this.snapshot = snapshot;
    this.policy.replace(snapshot, policies);
    this.outboundFilters = this.#makeOutboundFilters(snapshot.pathNormalization);
  }

  /** Writes what is left; nothing is logged any more. */
  async closeAccessLog(): Promise<void> {
    const { accessLog } = this;
    this.accessLog = null;
    await accessLog?.close();
  }

  #openAccessLog(plan: AccessLogPlan | null): AccessLog | null {
    if (plan === null) return null;
    const { counters, loggers, shared } = this.#deps;
    return createAccessLog(plan, counters.process, { log: loggers.get('main'), shared });
  }

  /** The chain of one port or of all that nothing names, under the snapshot in force. */
  makeInboundFilters(scope: string): FilterChain {
    const { bind, counters, identity, userFilters } = this.#deps;
    return createInboundFilters({
      pathNormalization: this.snapshot!.pathNormalization,
      ownSpiffeId: () => identity.spiffeId,
      policy: this.policy.filters(counters.httpScope(inboundScope(bind, scope))),
      user: userFilters.filter((filter) => filter.direction !== 'outbound'),
      onFailed: this.#onFilterFailed,
    });
  }

  #makeOutboundFilters(normalization: Snapshot['pathNormalization']): FilterChain {
    const { userFilters } = this.#deps;
    return createOutboundFilters(
      normalization,
      userFilters.filter(({ direction }) => direction === 'outbound' || direction === 'both'),
      this.#onFilterFailed,
    );
  }

  readonly #onFilterFailed = (filter: string, thrown: unknown): void => {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#deps.loggers
      .get('http')
      .error(
        'filter_failed',
        { filter, error: messageOf(thrown), stack },
        'A filter failed; the request is denied',
      );
  };
}
