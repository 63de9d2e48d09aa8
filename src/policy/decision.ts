/**
 * What a decision is, and what its explanation is made of: the shapes that filters, logs, `explain` and `test` share.
 */
import type { PolicyAction, PolicyScope } from '../core/authorization-plan.ts';
import type { PolicyConnection } from './policy-connection.ts';
import type { PolicyRequest } from './policy-request.ts';

/** A rule that matched. */
export interface MatchedRule {
  /** Envoy's name of it: `ns[foo]-policy[allow-get]-rule[0]`, with CUSTOM's prefix and suffix where it has them. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  /** Index in `spec.rules`. */
  readonly rule: number;
}

/** The rules of all policies of one action, for HTTP or for TCP: one of Envoy's RBAC filters. */
export interface RuleSet {
  readonly action: PolicyAction;
  /** Rules that can match at all. */
  readonly size: number;
  /** The matching rule with the smallest key (as Envoy's sorted map gives it), or null. `request` is null on TCP. */
  match(connection: PolicyConnection, request: PolicyRequest | null): MatchedRule | null;
  /** Every policy and rule with every field, by the same compiled rules; with `only`, the policy of that rule alone. */
  explain(
    connection: PolicyConnection,
    request: PolicyRequest | null,
    only?: MatchedRule,
  ): readonly PolicyTrace[];
}

/** CUSTOM rules of one provider. */
export interface CustomRules {
  readonly provider: string;
  /** '' : it can be asked. Else whatever matches is denied. */
  readonly problem: string;
  readonly rules: RuleSet;
}

/** null where no policy of that kind applies; an ALLOW set without rules denies everything. */
export interface ActionRules {
  /** By provider, alphabetical. */
  readonly custom: readonly CustomRules[];
  /** Dry run. */
  readonly customShadow: readonly CustomRules[];
  readonly audit: RuleSet | null;
  readonly deny: RuleSet | null;
  readonly denyShadow: RuleSet | null;
  readonly allow: RuleSet | null;
  readonly allowShadow: RuleSet | null;
}

/** HTTP-only fields mean something else on TCP chains, so each has its own rules. */
export interface CompiledPolicies {
  readonly http: ActionRules;
  readonly tcp: ActionRules;
}

/** What AUDIT, DENY and ALLOW say of one request or connection, after CUSTOM and JWT. */
export interface AccessDecision {
  readonly allowed: boolean;
  /** The step that decided; null: nothing applied and it is let through. */
  readonly step: 'DENY' | 'ALLOW' | null;
  /** null with `step` ALLOW and not allowed: no rule matched. */
  readonly matched: MatchedRule | null;
  /** An AUDIT rule that matched. */
  readonly audited: MatchedRule | null;
  /** What dry-run policies say; null: there are none. */
  readonly shadow: ShadowDecision | null;
}

/** DENY and ALLOW dry-run rules combined. */
export interface ShadowDecision {
  /** What would have been if the dry-run policies were enforced beside those that are. */
  readonly allowed: boolean;
  /** null: there is no dry-run policy of that action. */
  readonly deny: { readonly denied: boolean; readonly matched: MatchedRule | null } | null;
  readonly allow: { readonly allowed: boolean; readonly matched: MatchedRule | null } | null;
}

/** One policy in an explanation. */
export interface PolicyTrace {
  /** `ns[foo]-policy[allow-get]`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly scope: PolicyScope;
  readonly rules: readonly RuleTrace[];
}

export interface RuleTrace {
  readonly index: number;
  readonly matched: boolean;
  readonly fields: readonly FieldTrace[];
}

export interface FieldTrace {
  /** `from[0].source.principals`, `to[1].operation.notPaths`, `when[0].request.headers[x-role]`. */
  readonly field: string;
  /** As written in the policy. */
  readonly wanted: readonly string[];
  /** What the request has: '' stands for an empty value, an empty list for none. */
  readonly got: readonly string[];
  readonly matched: boolean;
}
