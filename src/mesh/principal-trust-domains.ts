/**
 * Principals of AuthorizationPolicies whose trust domain is not one of the mesh: a DENY that names one denies nobody
 * of the mesh. Istio says so in its log only. (Istio: trust domain migration)
 */
import type { AuthorizationPolicy, MeshConfig } from '../config/resources.ts';
import { nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

const ISTIO_DEFAULT = 'cluster.local';

export function warnOfTrustDomains(
  policy: AuthorizationPolicy,
  { trustDomain, trustDomainAliases }: MeshConfig,
  warnings: WarningList,
): void {
  const known = new Set([trustDomain, ...trustDomainAliases]);
  for (const [path, value] of principalsOf(policy)) {
    const parts = value.split('/');
    const [domain = ''] = parts;
    // `spiffe:` is told where the document is read.
    if (domain.includes('*') || known.has(domain) || value.startsWith('spiffe://')) continue;
    const isDefault = domain === ISTIO_DEFAULT;
    // Of names in full the default stands for every trust domain of the mesh.
    if (isDefault && parts.length === 5) continue;
    const fix = isDefault
      ? `write "${[trustDomain, ...parts.slice(1)].join('/')}": only names in full, ${ISTIO_DEFAULT}/ns/NS/sa/NAME, ` +
        'stand for the trust domain of the mesh'
      : `use "${trustDomain}", or add it to MeshConfig.trustDomainAliases`;
    warnings.add(
      'unknown_trust_domain',
      policy,
      path,
      `${nameOf(policy)} names "${value}", and "${domain}" is neither the trust domain of this mesh nor an alias of it`,
      fix,
    );
  }
}

/** Every principal with the path that it stands at. */
function* principalsOf(policy: AuthorizationPolicy): Generator<readonly [path: string, value: string]> {
  for (const [index, rule] of policy.rules.entries()) {
    const at = `spec.rules[${index}]`;
    for (const [number, source] of rule.from.entries()) {
      const path = `${at}.from[${number}].source`;
      yield* placed(`${path}.principals`, source.principals);
      yield* placed(`${path}.notPrincipals`, source.notPrincipals);
    }
    for (const [number, { key, values, notValues }] of rule.when.entries()) {
      if (key !== 'source.principal') continue;
      yield* placed(`${at}.when[${number}].values`, values);
      yield* placed(`${at}.when[${number}].notValues`, notValues);
    }
  }
}

function* placed(path: string, values: readonly string[]): Generator<readonly [string, string]> {
  for (const [index, value] of values.entries()) yield [`${path}[${index}]`, value];
}
