/**
 * The token rules of one workload: those of all RequestAuthentications that select it, sorted by issuer, and the key
 * sets that they need. (API: security.istio.io RequestAuthentication)
 */
import { keysOf } from '../config/inline-key-set.ts';
import { compareBytes } from '../config/problem.ts';
import type { RequestAuthentication, RequestAuthenticationRule } from '../config/resources.ts';
import type { JwtPlan, JwtRule, KeySetPlan } from '../core/jwt-plan.ts';
import type { Limits } from '../core/limits.ts';
import { nameOf } from './plan-warning.ts';
import type { SelectedPolicy } from './select-policies.ts';
import type { WarningList } from './warning-list.ts';

export function buildJwtPlan(
  selected: readonly SelectedPolicy<RequestAuthentication>[],
  limits: Limits,
  warnings: WarningList,
): JwtPlan {
  const rules: JwtRule[] = [];
  const keySets = new Map<string, KeySetPlan>();
  for (const { policy } of selected) {
    for (const [index, rule] of policy.rules.entries()) {
      const { jwksUri, timeoutMs, ...stated } = rule;
      const keySet = rule.jwks === '' ? `${rule.issuer} ${jwksUri}` : '';
      rules.push({ ...stated, keySet, from: `${nameOf(policy)} rule ${index}` });
      if (keySet === '') checkSize(policy, index, rule, limits, warnings);
      else {
        // Fetched once for all rules that need it: the most patient decides.
        const known = keySets.get(keySet)?.timeoutMs ?? 0;
        const longest = Math.max(known, timeoutMs);
        keySets.set(keySet, { name: keySet, issuer: rule.issuer, jwksUri, timeoutMs: longest });
      }
    }
  }
  return {
    rules: rules.toSorted((a, b) => compareBytes(a.issuer, b.issuer)),
    keySets: [...keySets.values()].toSorted((a, b) => compareBytes(a.name, b.name)),
  };
}

/** The same bounds as for key sets that are fetched. */
function checkSize(
  policy: RequestAuthentication,
  index: number,
  { jwks }: RequestAuthenticationRule,
  limits: Limits,
  warnings: WarningList,
): void {
  const bytes = Buffer.byteLength(jwks);
  const keys = keysOf(jwks)?.length ?? 0;
  const isLong = bytes > limits.maxJwksBytes;
  if (!isLong && keys <= limits.maxJwksKeys) return;
  const what = isLong
    ? `${bytes} bytes, more than limits.maxJwksBytes ${limits.maxJwksBytes}`
    : `${keys} keys, more than limits.maxJwksKeys ${limits.maxJwksKeys}`;
  warnings.add(
    'key_set_too_large',
    policy,
    `spec.jwtRules[${index}].jwks`,
    `the key set of ${nameOf(policy)} rule ${index} has ${what}`,
    'remove keys that are not used, or raise the limit in postern.yaml',
    'error',
  );
}
