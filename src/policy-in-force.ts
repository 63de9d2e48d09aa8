/**
 * What judges inbound requests and connections at this moment: compiled policies, token rules and keys, providers.
 * Keys, verified tokens and connections to providers outlive snapshots.
 */
import { NO_AUTHORIZATION } from './core/authorization-plan.ts';
import type { ExtAuthzProvider } from './core/authorization-plan.ts';
import type { FetchedKeySet } from './core/jwt-plan.ts';
import { inSlices } from './core/in-slices.ts';
import { DEFAULT_LIMITS } from './core/limits.ts';
import type { ExtAuthzUpstreams } from './ext-authz-upstreams.ts';
import { ExtAuthzFilter } from './filters/ext-authz.ts';
import { JwtAuthnFilter } from './filters/jwt-authn.ts';
import { JwtKeySets } from './filters/jwt-key-sets.ts';
import { loadJose } from './filters/jwt-signature.ts';
import { TokenCache } from './filters/jwt-token-cache.ts';
import { RbacFilter } from './filters/rbac.ts';
import type { Filter } from './http/filter.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { Counters, HttpCounters } from './observe/counters.ts';
import type { Loggers } from './observe/loggers.ts';
import { ClusterExtAuthzCounters } from './observe/policy-counters.ts';
import { compilePolicies, compilePoliciesSteps } from './policy/compile-policies.ts';
import type { CompiledPolicies, CustomRules } from './policy/decision.ts';
import type { ClusterUpstream } from './upstream/cluster-upstream.ts';

export interface PolicyInForceDeps {
  readonly counters: Counters;
  readonly loggers: Loggers;
  readonly ownSpiffeId: () => string;
  /** The service of a provider, as the snapshot in force knows it. */
  readonly providerUpstream: (cluster: string, protocol: 'http' | 'http2') => ClusterUpstream;
}

export class PolicyInForce {
  policies: CompiledPolicies = compilePolicies(NO_AUTHORIZATION, []);
  readonly #deps: PolicyInForceDeps;
  readonly #keySets = new JwtKeySets();
  #tokens = new TokenCache(DEFAULT_LIMITS.jwtCacheEntries);
  #snapshot: Snapshot | null = null;
  /** null while no snapshot has named a provider: HTTP/2 and protobuf are not loaded for nothing. */
  #providers: ExtAuthzUpstreams | null = null;

  constructor(deps: PolicyInForceDeps) {
    this.#deps = deps;
  }

  /** Makes the policies of a snapshot ready, and loads what it needs and none before it did: no request waits for it. */
  async load({ authorization, jwt, trustDomains }: Snapshot): Promise<CompiledPolicies> {
    if (jwt.rules.length > 0) await loadJose();
    if (Object.keys(authorization.providers).length > 0) await this.#loadProviders();
    return await inSlices(compilePoliciesSteps(authorization, trustDomains));
  }

  async #loadProviders(): Promise<void> {
    if (this.#providers !== null) return;
    const module = await import('./ext-authz-upstreams.ts');
    const { ownSpiffeId, providerUpstream } = this.#deps;
    this.#providers = new module.ExtAuthzUpstreams({
      upstreamOf: ({ cluster, kind }) => providerUpstream(cluster, kind === 'http' ? 'http' : 'http2'),
      limits: () => this.#snapshot!.limits,
      ownSpiffeId,
    });
  }

  replace(snapshot: Snapshot, policies: CompiledPolicies): void {
    const { jwtCacheEntries } = snapshot.limits;
    if (jwtCacheEntries !== (this.#snapshot?.limits ?? DEFAULT_LIMITS).jwtCacheEntries)
      this.#tokens = new TokenCache(jwtCacheEntries);
    this.#snapshot = snapshot;
    this.policies = policies;
  }

  /** Each replaces what was known under its name. */
  putKeySets(keySets: readonly FetchedKeySet[]): void {
    this.#keySets.put(keySets);
  }

  /** After every snapshot and secret. */
  retireConnections(): void {
    this.#providers?.retire();
  }

  close(): void {
    this.#providers?.close();
  }

  /** CUSTOM by provider, tokens, AUDIT, DENY and ALLOW (Istio's order), counted as the port's. */
  filters(counted: HttpCounters): Filter[] {
    const { counters, loggers } = this.#deps;
    const { jwt } = this.#snapshot!;
    const filters: Filter[] = this.#customFilters(counted);
    if (jwt.rules.length > 0) {
      filters.push(
        new JwtAuthnFilter({
          plan: jwt,
          keySets: this.#keySets,
          cache: this.#tokens,
          counters: counted.jwt,
          log: loggers.get('jwt'),
        }),
      );
    }
    filters.push(
      new RbacFilter({
        policies: this.policies,
        counters: { http: counted.rbac, tcp: counters.tcpRbac },
        log: loggers.get('rbac'),
      }),
    );
    return filters;
  }

  #customFilters(counted: HttpCounters): Filter[] {
    const { http, tcp } = this.policies;
    const names = new Set([...http.custom, ...tcp.custom].map(({ provider }) => provider));
    return [...names]
      .toSorted()
      .map((name) =>
        this.#customFilter(counted, rulesOf(http.custom, name), rulesOf(tcp.custom, name), name),
      );
  }

  #customFilter(
    counted: HttpCounters,
    http: CustomRules | null,
    tcp: CustomRules | null,
    name: string,
  ): ExtAuthzFilter {
    const { counters, loggers } = this.#deps;
    const { authorization, limits } = this.#snapshot!;
    const provider: ExtAuthzProvider | null = Object.hasOwn(authorization.providers, name)
      ? authorization.providers[name]!
      : null;
    return new ExtAuthzFilter({
      provider,
      client: provider === null ? null : (this.#providers?.clientOf(provider) ?? null),
      http,
      tcp,
      counters: {
        http: counted.extAuthz,
        tcp: counters.tcpExtAuthz,
        cluster: provider === null ? NOT_ASKED : counters.cluster(provider.cluster).extAuthz,
        rbac: { http: counted.rbac, tcp: counters.tcpRbac },
      },
      limits,
      log: loggers.get('ext_authz'),
    });
  }
}

/** Of a provider without a service. */
const NOT_ASKED = new ClusterExtAuthzCounters();

function rulesOf(custom: readonly CustomRules[], name: string): CustomRules | null {
  return custom.find(({ provider }) => provider === name) ?? null;
}
