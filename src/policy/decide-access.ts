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
  const denied = rules.deny?.match(connection, request) ?? null;
  if (denied !== null) {
    const shadow = decideShadow(rules, connection, request, 'denied');
    return { allowed: false, step: 'DENY', matched: denied, audited, shadow };
  }
  if (rules.allow === null) {
    const shadow = decideShadow(rules, connection, request, 'open');
    return { allowed: true, step: null, matched: null, audited, shadow };
  }
  const matched = rules.allow.match(connection, request);
  const shadow = decideShadow(rules, connection, request, matched === null ? 'unmatched' : 'allowed');
  return { allowed: matched !== null, step: 'ALLOW', matched, audited, shadow };
}

/**
 * What would have been if the dry-run policies were enforced as well: a DENY stays one, and an ALLOW rule of either
 * kind lets through. `open`: no ALLOW policy is enforced.
 */
function decideShadow(
  rules: ActionRules,
  connection: PolicyConnection,
  request: PolicyRequest | null,
  enforced: 'denied' | 'open' | 'allowed' | 'unmatched',
): ShadowDecision | null {
  const { denyShadow, allowShadow } = rules;
  if (denyShadow === null && allowShadow === null) return null;
  const denying: MatchedRule | null = denyShadow?.match(connection, request) ?? null;
  const allowing: MatchedRule | null = allowShadow?.match(connection, request) ?? null;
  const noAllowPolicy = enforced === 'open' && allowShadow === null;
  const allowedByRule = enforced === 'allowed' || allowing !== null;
  return {
    allowed: enforced !== 'denied' && denying === null && (noAllowPolicy || allowedByRule),
    deny: denyShadow === null ? null : { denied: denying !== null, matched: denying },
    allow: allowShadow === null ? null : { allowed: allowing !== null, matched: allowing },
  };
}
