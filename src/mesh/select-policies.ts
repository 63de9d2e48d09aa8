/**
 * The AuthorizationPolicies that apply to one workload: those of the root namespace and of its own, whose selector it
 * meets. None goes before another. (API: security.istio.io AuthorizationPolicy)
 */
import type { AuthorizationPolicy, RequestAuthentication } from '../config/resources.ts';
import type { PolicyScope } from '../core/authorization-plan.ts';
import { matchLabels } from './match-labels.ts';
import type { WorkloadIdentity } from './plan.ts';
import { inOtherNamespace, nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

/** Kinds whose documents add up: a selector in the root namespace selects workloads of the whole mesh. */
type Additive = AuthorizationPolicy | RequestAuthentication;

export interface SelectedPolicy<T extends Additive> {
  readonly policy: T;
  readonly scope: PolicyScope;
}

/** In the order given. */
export function selectPolicies<T extends Additive>(
  policies: readonly T[],
  rootNamespace: string,
  workload: WorkloadIdentity,
  warnings: WarningList,
): SelectedPolicy<T>[] {
  const selected: SelectedPolicy<T>[] = [];
  for (const policy of policies) {
    const { matchLabels: selector, namespace } = policy;
    if (selector !== null && !matchLabels(selector, workload.labels)) continue;
    if (namespace !== rootNamespace && namespace !== workload.namespace) {
      if (!policy.namespaceGiven) warnings.add(...inOtherNamespace(policy, workload));
    } else if (policy.hasTargetRefs) warnOfTarget(policy, warnings);
    else selected.push({ policy, scope: scopeOf(selector === null, namespace === rootNamespace) });
  }
  return selected;
}

function scopeOf(forAll: boolean, inRoot: boolean): PolicyScope {
  if (!forAll) return 'workload';
  return inRoot ? 'mesh' : 'namespace';
}

function warnOfTarget(policy: Additive, warnings: WarningList): void {
  warnings.add(
    'gateway_policy',
    policy,
    'spec.targetRefs',
    `${nameOf(policy)} has no effect on a sidecar: its targetRefs are for gateways, waypoints and services`,
    'use selector to name workloads',
  );
}
