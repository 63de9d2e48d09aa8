/** Counts a decision as Envoy's RBAC filters do, each of which sees only what the one before it let through. */
import type { RbacCounters } from '../observe/policy-counters.ts';
import type { AccessDecision, ActionRules, ShadowDecision } from '../policy/decision.ts';

/** Each filter that lets a request pass counts `allowed` once: through AUDIT, DENY and ALLOW it is three. */
export function countDecision(counters: RbacCounters, rules: ActionRules, decision: AccessDecision): void {
  if (rules.audit !== null) counters.allowed++;
  if (rules.deny !== null) {
    if (decision.step === 'DENY') {
      counters.denied++;
      return;
    }
    counters.allowed++;
  }
  if (rules.allow === null) return;
  if (decision.allowed) counters.allowed++;
  else counters.denied++;
}

export function countShadow(counters: RbacCounters, decision: AccessDecision, shadow: ShadowDecision): void {
  if (shadow.deny !== null) {
    if (shadow.deny.denied) counters.dryRunDenyShadowDenied++;
    else counters.dryRunDenyShadowAllowed++;
  }
  // What DENY stopped never came to the ALLOW filter.
  if (shadow.allow !== null && decision.step !== 'DENY') {
    if (shadow.allow.allowed) counters.dryRunAllowShadowAllowed++;
    else counters.dryRunAllowShadowDenied++;
  }
  if (shadow.allowed) counters.dryRunWouldAllow++;
  else counters.dryRunWouldDeny++;
}
