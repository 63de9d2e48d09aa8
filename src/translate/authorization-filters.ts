/**
 * AuthorizationPolicies as Envoy's filters: RBAC and ext_authz, over HTTP or over TCP.
 *
 * All policies of an action are one RBAC filter; of CUSTOM, each provider has a pair: RBAC in shadow mode that says
 * whether a rule matches, and ext_authz that asks only then. Keys are those by which Envoy names a decision.
 */
import type { AuthorizationPlan, PlannedPolicy, PolicyAction } from '../core/authorization-plan.ts';
import { type EnvoyMessage, extension } from './envoy-message.ts';
import { extAuthzHttpFilter, extAuthzNetworkFilter } from './ext-authz.ts';
import { translateRule } from './rbac-policy.ts';

export interface AuthorizationContext {
  readonly plan: AuthorizationPlan;
  /** Own trust domain first, then its aliases. */
  readonly trustDomains: readonly string[];
  readonly layer: 'http' | 'tcp';
}

type RbacAction = 'ALLOW' | 'DENY' | 'LOG';

interface RbacRules {
  readonly action: RbacAction;
  readonly policies: Readonly<Record<string, EnvoyMessage>>;
}

/** What Envoy's counters and metadata of shadow rules begin with. */
const DRY_RUN_PREFIX: Readonly<Record<RbacAction, string>> = {
  ALLOW: 'istio_dry_run_allow_',
  DENY: 'istio_dry_run_deny_',
  LOG: '',
};
const CUSTOM_PREFIX = 'istio_ext_authz_';
const CUSTOM_DRY_RUN_PREFIX = 'istio_dry_run_custom_';

/** A policy without rules: there, and matching nothing. */
const NEVER: EnvoyMessage = {
  permissions: [{ notRule: { any: true } }],
  principals: [{ notId: { any: true } }],
};

/** AUDIT, DENY, ALLOW: the filters after JWT. */
export function rbacFilters(context: AuthorizationContext): EnvoyMessage[] {
  return (['AUDIT', 'DENY', 'ALLOW'] as const).flatMap((action) => {
    const policies = context.plan.policies.filter((policy) => policy.action === action);
    if (policies.length === 0) return [];
    const envoyAction = action === 'AUDIT' ? 'LOG' : action;
    const shadow = rulesOf(dryRun(policies), envoyAction, context);
    return [
      rbacFilter(context.layer, {
        ...presentRules('rules', rulesOf(enforced(policies), envoyAction, context)),
        ...presentRules('shadowRules', shadow),
        ...(shadow === null ? {} : { shadowRulesStatPrefix: DRY_RUN_PREFIX[envoyAction] }),
      }),
    ];
  });
}

/** CUSTOM: the filters before JWT, providers in alphabetical order. */
export function customFilters(context: AuthorizationContext): EnvoyMessage[] {
  const custom = context.plan.policies.filter(({ action }) => action === 'CUSTOM');
  const providers = [...new Set(custom.map(({ provider }) => provider))].toSorted(byBytes);
  return providers.flatMap((provider) => {
    const policies = custom.filter((policy) => policy.provider === provider);
    const asked = providerFilters(provider, enforced(policies), context);
    return asked.concat(customDryRun(dryRun(policies), context));
  });
}

function providerFilters(
  name: string,
  policies: readonly PlannedPolicy[],
  context: AuthorizationContext,
): EnvoyMessage[] {
  const rules = rulesOf(policies, 'DENY', context);
  if (rules === null) return [];
  const provider = context.plan.providers[name];
  if (provider === undefined || policies.some(({ providerProblem }) => providerProblem !== '')) {
    return [rbacFilter(context.layer, { rules: denyForBadProvider(rules) })];
  }
  // An HTTP provider cannot be asked about a TCP connection: Istio's control plane leaves the policies out.
  if (context.layer === 'tcp' && provider.kind === 'http') return [];
  const shadow = rbacFilter(context.layer, { shadowRules: rules, shadowRulesStatPrefix: CUSTOM_PREFIX });
  const build = context.layer === 'http' ? extAuthzHttpFilter : extAuthzNetworkFilter;
  return [shadow, build(provider, matchedPolicyOf(name, context.layer))];
}

/** Evaluated and counted; ext_authz does not look at what it writes, so nobody is asked. */
function customDryRun(policies: readonly PlannedPolicy[], context: AuthorizationContext): EnvoyMessage[] {
  const shadowRules = rulesOf(policies, 'DENY', context);
  if (shadowRules === null) return [];
  return [rbacFilter(context.layer, { shadowRules, shadowRulesStatPrefix: CUSTOM_DRY_RUN_PREFIX })];
}

/** null: there is no such policy. No policy and a list that came out empty differ: an empty ALLOW denies all. */
function rulesOf(
  policies: readonly PlannedPolicy[],
  action: RbacAction,
  { layer, trustDomains }: AuthorizationContext,
): RbacRules | null {
  if (policies.length === 0) return null;
  const translated: Record<string, EnvoyMessage> = {};
  for (const policy of policies) {
    if (policy.rules.length === 0) translated[keyOf(policy, 0)] = NEVER;
    for (const [index, rule] of policy.rules.entries()) {
      const context = { namespace: policy.namespace, trustDomains, layer, isAllow: action === 'ALLOW' };
      const envoyPolicy = translateRule(rule, context);
      if (envoyPolicy !== null) translated[keyOf(policy, index)] = envoyPolicy;
    }
  }
  return { action, policies: translated };
}

function keyOf({ action, name, namespace, provider }: PlannedPolicy, rule: number): string {
  const key = `ns[${namespace}]-policy[${name}]-rule[${rule}]`;
  return action === CUSTOM ? `istio-ext-authz-${provider}-${key}` : key;
}

const CUSTOM: PolicyAction = 'CUSTOM';

/** Up to the bracket: a provider `a` is not asked for what matched a policy of `ab`. */
function matchedPolicyOf(provider: string, layer: AuthorizationContext['layer']): EnvoyMessage {
  return {
    filter: rbacName(layer),
    path: [{ key: `${CUSTOM_PREFIX}shadow_effective_policy_id` }],
    value: { stringMatch: { prefix: `istio-ext-authz-${provider}-ns[` } },
  };
}

function denyForBadProvider({ policies }: RbacRules): RbacRules {
  const renamed = Object.entries(policies).map(([key, policy]): [string, EnvoyMessage] => [
    `${key}-deny-due-to-bad-CUSTOM-action`,
    policy,
  ]);
  return { action: 'DENY', policies: Object.fromEntries(renamed) };
}

function rbacFilter(layer: AuthorizationContext['layer'], fields: EnvoyMessage): EnvoyMessage {
  return layer === 'http'
    ? extension(rbacName(layer), 'envoy.extensions.filters.http.rbac.v3.RBAC', fields)
    : extension(rbacName(layer), 'envoy.extensions.filters.network.rbac.v3.RBAC', {
        ...fields,
        statPrefix: 'tcp.',
      });
}

function rbacName(layer: AuthorizationContext['layer']): string {
  return layer === 'http' ? 'envoy.filters.http.rbac' : 'envoy.filters.network.rbac';
}

function presentRules(field: string, rules: RbacRules | null): EnvoyMessage {
  return rules === null ? {} : { [field]: rules };
}

function enforced(policies: readonly PlannedPolicy[]): PlannedPolicy[] {
  return policies.filter((policy) => !policy.dryRun);
}

function dryRun(policies: readonly PlannedPolicy[]): PlannedPolicy[] {
  return policies.filter((policy) => policy.dryRun);
}

function byBytes(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
