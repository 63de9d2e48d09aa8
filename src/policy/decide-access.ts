/**
 * AUDIT, DENY and ALLOW of one request or connection, after CUSTOM and JWT: what filters enforce and `explain` tells.
 */
import type { AccessDecision, ActionRules, MatchedRule, ShadowDecision } from './decision.ts';
import type { PolicyConnection } from './policy-connection.ts';
import type { PolicyRequest } from './policy-request.ts';

/** `request` is null on TCP. */
export function decideAccess(
  rules: ActionRules,
  connection: PolicyConnection,
  request: PolicyRequest | null,
): AccessDecision {
  const audited = rules.audit?.match(connection, request) ?? null;
  const shadow = decideShadow(rules, connection, request);
  const denied = rules.deny?.match(connection, request) ?? null;
  if (denied !== null) return { allowed: false, step: 'DENY', matched: denied, audited, shadow };
  if (rules.allow === null) return { allowed: true, step: null, matched: null, audited, shadow };
  const matched = rules.allow.match(connection, request);
  return { allowed: matched !== null, step: 'ALLOW', matched, audited, shadow };
}

/** What would have been if the dry-run policies were the ones that are enforced. */
function decideShadow(
  rules: ActionRules,
  connection: PolicyConnection,
  request: PolicyRequest | null,
): ShadowDecision | null {
  const { denyShadow, allowShadow } = rules;
  if (denyShadow === null && allowShadow === null) return null;
  const denying: MatchedRule | null = denyShadow?.match(connection, request) ?? null;
  const allowing: MatchedRule | null = allowShadow?.match(connection, request) ?? null;
  return {
    allowed: denying === null && (allowShadow === null || allowing !== null),
    deny: denyShadow === null ? null : { denied: denying !== null, matched: denying },
    allow: allowShadow === null ? null : { allowed: allowing !== null, matched: allowing },
  };
}
