/**
 * From the AuthorizationPolicies of one workload to the rules that filters ask (Istio's authz/builder).
 *
 * A dry-run AUDIT policy goes nowhere: it would neither enforce nor report. An ALLOW policy without rules matches
 * nothing and yet is there, so that all is denied.
 */
import type { AuthorizationPlan, PlannedPolicy, PolicyAction } from '../core/authorization-plan.ts';
import { CompiledRule } from './compiled-rule.ts';
import { compileRule } from './compile-rule.ts';
import { CompiledRuleSet } from './compiled-rule-set.ts';
import type { CompiledPolicy } from './compiled-rule-set.ts';
import type { ActionRules, CompiledPolicies, CustomRules, RuleSet } from './decision.ts';

/** `trustDomains`: the mesh's own first, then its aliases. */
export function compilePolicies(plan: AuthorizationPlan, trustDomains: readonly string[]): CompiledPolicies {
  return {
    http: compileActions(plan.policies, trustDomains, false),
    tcp: compileActions(plan.policies, trustDomains, true),
  };
}

function compileActions(
  policies: readonly PlannedPolicy[],
  trustDomains: readonly string[],
  forTcp: boolean,
): ActionRules {
  function compileSet(action: PolicyAction, chosen: readonly PlannedPolicy[]): RuleSet {
    return new CompiledRuleSet(
      action,
      chosen.map((policy) => compilePolicy(policy, trustDomains, forTcp)),
    );
  }

  function setOf(action: PolicyAction, dryRun: boolean): RuleSet | null {
    const chosen = policies.filter((policy) => policy.action === action && policy.dryRun === dryRun);
    return chosen.length === 0 ? null : compileSet(action, chosen);
  }

  function customOf(dryRun: boolean): CustomRules[] {
    const chosen = policies.filter((policy) => policy.action === 'CUSTOM' && policy.dryRun === dryRun);
    const byProvider = Map.groupBy(chosen, (policy) =>
      JSON.stringify([policy.provider, policy.providerProblem]),
    );
    return [...byProvider]
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([, ofProvider]) => ({
        provider: ofProvider[0]?.provider ?? '',
        problem: ofProvider[0]?.providerProblem ?? '',
        rules: compileSet('CUSTOM', ofProvider),
      }));
  }

  return {
    custom: customOf(false),
    customShadow: customOf(true),
    audit: setOf('AUDIT', false),
    deny: setOf('DENY', false),
    denyShadow: setOf('DENY', true),
    allow: setOf('ALLOW', false),
    allowShadow: setOf('ALLOW', true),
  };
}

function compilePolicy(
  policy: PlannedPolicy,
  trustDomains: readonly string[],
  forTcp: boolean,
): CompiledPolicy {
  const { namespace, name, scope, action } = policy;
  const key = `ns[${namespace}]-policy[${name}]`;
  const rules = policy.rules.map((rule, index) => {
    const parts = compileRule(rule, { action, namespace, trustDomains, forTcp });
    return new CompiledRule(
      { key: ruleKey(policy, `${key}-rule[${index}]`), namespace, name, rule: index },
      parts,
    );
  });
  return { key, namespace, name, scope, rules };
}

/** Envoy's name of a rule as Istio 1.30 and later write it. */
function ruleKey(policy: PlannedPolicy, plainKey: string): string {
  if (policy.action !== 'CUSTOM') return plainKey;
  const suffix = policy.providerProblem === '' ? '' : '-deny-due-to-bad-CUSTOM-action';
  return `istio-ext-authz-${policy.provider}-${plainKey}${suffix}`;
}
