/** What a denial by policies is: Envoy's answer for the peer, and for the log which policy, which rule, and why. */
import type { ConnectionFacts, Deny } from '../http/filter.ts';
import { decideAccess } from '../policy/decide-access.ts';
import type { AccessDecision, ActionRules, MatchedRule, RuleSet } from '../policy/decision.ts';
import type { PolicyConnection } from '../policy/policy-connection.ts';
import type { PolicyRequest } from '../policy/policy-request.ts';
import { ExplanationBudget } from './explanation-budget.ts';
import { policyConnectionOf } from './policy-facts.ts';
import { reasonOfMatch, reasonOfNoMatch } from './rbac-reason.ts';

/** Looking for the closest of more would hold all connections up for several milliseconds (10 µs a rule). */
const MAX_RULES_EXPLAINED = 500;

/** Of the whole worker: there may be a filter for every port. */
export const DENIALS: ExplanationBudget = new ExplanationBudget();
/** Of its own, as its log lines are: a flood of requests does not hide why a connection was closed. */
const OPEN_CONNECTIONS = new ExplanationBudget();

/** What is judged. */
export interface Judged {
  readonly rules: ActionRules;
  readonly connection: PolicyConnection;
  /** null on TCP. */
  readonly request: PolicyRequest | null;
}

/** The denial of a decision that does not allow. */
export function denialOf(judged: Judged, decision: AccessDecision, budget: ExplanationBudget): Deny {
  const { matched } = decision;
  const action = decision.step === 'DENY' ? 'DENY' : 'ALLOW';
  const set = action === 'DENY' ? judged.rules.deny : judged.rules.allow;
  const reason = reasonOf(judged, set, action, matched, budget);
  return denial(matched, matched === null ? `denied: ${reason}` : `denied by ${reason}`);
}

/** The denial of what a CUSTOM rule matches whose provider cannot be asked. */
export function denialUnasked(matched: MatchedRule, problem: string): Deny {
  return denial(matched, `CUSTOM ${matched.key}: the provider cannot be asked: ${problem}`);
}

/** Why an open TCP connection would not be let in under these rules; null: it would. No provider is asked again. */
export function denyOpenConnection(rules: ActionRules, facts: ConnectionFacts): Deny | null {
  const connection = policyConnectionOf(facts);
  for (const { problem, rules: set } of rules.custom) {
    const matched = problem === '' ? null : set.match(connection, null);
    if (matched !== null) return denialUnasked(matched, problem);
  }
  const decision = decideAccess(rules, connection, null);
  if (decision.allowed) return null;
  return denialOf({ rules, connection, request: null }, decision, OPEN_CONNECTIONS);
}

function denial(matched: MatchedRule | null, why: string): Deny {
  return {
    kind: 'deny',
    code: 'rbac_denied',
    status: 403,
    body: 'RBAC: access denied',
    headers: [],
    details: rbacDetails(matched),
    why,
  };
}

/** As Envoy's RBAC filter writes RESPONSE_CODE_DETAILS. */
export function rbacDetails(matched: MatchedRule | null): string {
  return `rbac_access_denied_matched_policy[${(matched?.key ?? 'none').replaceAll(/\s/g, '_')}]`;
}

/** The sentence without "denied"; a shorter one for very many rules, or when the budget is spent. */
export function reasonOf(
  { connection, request }: Judged,
  set: RuleSet | null,
  action: 'DENY' | 'ALLOW',
  matched: MatchedRule | null,
  budget: ExplanationBudget,
): string {
  if (matched !== null) {
    const explained = budget.spend(() =>
      reasonOfMatch(action, matched, set?.explain(connection, request, matched) ?? []),
    );
    return explained ?? reasonOfMatch(action, matched, []);
  }
  if (set === null) return `no ${action} policy applies`;
  const none = `none of ${set.size} ${action} rules matched`;
  if (set.size > MAX_RULES_EXPLAINED) return `${none}; which came closest is not looked for among so many`;
  const explained = budget.spend(() => reasonOfNoMatch(action, set.explain(connection, request)));
  return explained ?? `${none}; not explained, for there are too many denials`;
}
