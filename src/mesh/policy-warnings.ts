/**
 * What is odd about policies whatever the workload, for `validate`. Without a MeshConfig among the documents nothing is
 * known of trust domains and providers, and nothing is said of them.
 */
import type { Resources } from '../config/resources.ts';
import type { PlanWarning } from './plan-warning.ts';
import { nameOf } from './plan-warning.ts';
import { warnOfTrustDomains } from './principal-trust-domains.ts';
import { WarningList } from './warning-list.ts';

export function policyWarnings({
  authorizationPolicies,
  meshConfig,
}: Pick<Resources, 'authorizationPolicies' | 'meshConfig'>): readonly PlanWarning[] {
  const warnings = new WarningList();
  if (meshConfig.position === null) return [];
  const providers = new Set(meshConfig.extAuthzProviders.map(({ name }) => name));
  for (const policy of authorizationPolicies) {
    warnOfTrustDomains(policy, meshConfig, warnings);
    if (policy.action !== 'CUSTOM' || providers.has(policy.provider)) continue;
    warnings.add(
      'unusable_provider',
      policy,
      'spec.provider.name',
      `${nameOf(policy)} denies all that it matches: MeshConfig.extensionProviders has no ext_authz provider ` +
        `"${policy.provider}"`,
      'add the provider to MeshConfig.extensionProviders',
    );
  }
  return warnings.all;
}
