/**
 * From the AuthorizationPolicies of one workload to the rules that filters ask (Istio's authz/builder).
 *
 * A dry-run AUDIT policy goes nowhere: it would neither enforce nor report. An ALLOW policy without rules matches
 * nothing and yet is there, so that all is denied.
 */
import type { AuthorizationPlan, PlannedPolicy, PolicyAction } from '../core/authorization-plan.ts';
import { atOnce } from '../core/in-slices.ts';
import type { Steps } from '../core/in-slices.ts';
import { CompiledRule } from './compiled-rule.ts';
import { compileRule, hasHttpField } from './compile-rule.ts';
import { CompiledRuleSet } from './compiled-rule-set.ts';
import type { CompiledPolicy } from './compiled-rule-set.ts';
import type { ActionRules, CompiledPolicies, CustomRules, RuleSet } from './decision.ts';

/** `trustDomains`: the mesh's own first, then its aliases. */
export function compilePolicies(plan: AuthorizationPlan, trustDomains: readonly string[]): CompiledPolicies {
  return atOnce(compilePoliciesSteps(plan, trustDomains));
}

/** The same, to be done beside connections that are being served; a step is one policy. */
export function* compilePoliciesSteps(
  plan: AuthorizationPlan,
  trustDomains: readonly string[],
): Steps<CompiledPolicies> {
  const http = new ActionCompiler(plan.policies, trustDomains, null);
  const tcp = new ActionCompiler(plan.policies, trustDomains, http);
  return { http: yield* http.compile(), tcp: yield* tcp.compile() };
}

/** All actions for HTTP, or after that for TCP: what means the same there is taken over, not compiled again. */
class ActionCompiler {
  readonly #policies: readonly PlannedPolicy[];
  readonly #trustDomains: readonly string[];
  readonly #http: ActionCompiler | null;
  readonly #compiled = new Map<PlannedPolicy, CompiledPolicy>();
  /** By action, dry run and provider. */
  readonly #sets = new Map<string, RuleSet>();

  constructor(
    policies: readonly PlannedPolicy[],
    trustDomains: readonly string[],
    http: ActionCompiler | null,
  ) {
    this.#policies = policies;
    this.#trustDomains = trustDomains;
    this.#http = http;
  }

  *compile(): Steps<ActionRules> {
    return {
      custom: yield* this.#customOf(false),
      customShadow: yield* this.#customOf(true),
      audit: yield* this.#setOf('AUDIT', false),
      deny: yield* this.#setOf('DENY', false),
      denyShadow: yield* this.#setOf('DENY', true),
      allow: yield* this.#setOf('ALLOW', false),
      allowShadow: yield* this.#setOf('ALLOW', true),
    };
  }

  *#setOf(action: PolicyAction, dryRun: boolean): Steps<RuleSet | null> {
    const chosen = this.#choose(action, dryRun);
    if (chosen.length === 0) return null;
    return yield* this.#compileSet(JSON.stringify([action, dryRun]), action, chosen);
  }

  *#customOf(dryRun: boolean): Steps<CustomRules[]> {
    const byProvider = Map.groupBy(this.#choose('CUSTOM', dryRun), (policy) =>
      JSON.stringify([policy.provider, policy.providerProblem]),
    );
    const custom: CustomRules[] = [];
    for (const [id, chosen] of [...byProvider].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
      custom.push({
        provider: chosen[0]?.provider ?? '',
        problem: chosen[0]?.providerProblem ?? '',
        rules: yield* this.#compileSet(JSON.stringify(['CUSTOM', dryRun, id]), 'CUSTOM', chosen),
      });
    }
    return custom;
  }

  #choose(action: PolicyAction, dryRun: boolean): PlannedPolicy[] {
    return this.#policies.filter((policy) => policy.action === action && policy.dryRun === dryRun);
  }

  *#compileSet(id: string, action: PolicyAction, chosen: readonly PlannedPolicy[]): Steps<RuleSet> {
    const compiled: CompiledPolicy[] = [];
    for (const policy of chosen) {
      compiled.push(this.#compilePolicy(policy));
      yield;
    }
    // None had to be compiled for TCP.
    const isTakenOver = chosen.every((policy) => !this.#compiled.has(policy));
    const known = this.#http !== null && isTakenOver ? this.#http.#sets.get(id) : undefined;
    const set = known ?? new CompiledRuleSet(action, compiled);
    this.#sets.set(id, set);
    return set;
  }

  #compilePolicy(policy: PlannedPolicy): CompiledPolicy {
    const known = this.#http === null ? undefined : this.#http.#compiled.get(policy);
    if (known !== undefined && !policy.rules.some(hasHttpField)) return known;
    const { namespace, name, scope, action } = policy;
    const key = `ns[${namespace}]-policy[${name}]`;
    const context = { action, namespace, trustDomains: this.#trustDomains, forTcp: this.#http !== null };
    const rules = policy.rules.map(
      (rule, index) =>
        new CompiledRule(
          { key: ruleKey(policy, `${key}-rule[${index}]`), namespace, name, rule: index },
          compileRule(rule, context),
        ),
    );
    const compiled = { key, namespace, name, scope, rules };
    this.#compiled.set(policy, compiled);
    return compiled;
  }
}

/** Envoy's name of a rule as Istio 1.30 and later write it. */
function ruleKey(policy: PlannedPolicy, plainKey: string): string {
  if (policy.action !== 'CUSTOM') return plainKey;
  const suffix = policy.providerProblem === '' ? '' : '-deny-due-to-bad-CUSTOM-action';
  return `istio-ext-authz-${policy.provider}-${plainKey}${suffix}`;
}
