/**
 * AuthorizationPolicy: who may do what. Validated as Istio's webhook does, and stricter where Istio would skip a rule
 * at run time. (API: security.istio.io AuthorizationPolicy)
 */
import type { PolicyAction } from '../core/authorization-plan.ts';
import type { FieldReader } from './field-reader.ts';
import { readPolicyRules } from './read-policy-rules.ts';
import { readPolicyTarget } from './read-policy-target.ts';
import type { AuthorizationPolicy, ResourceOrigin } from './resources.ts';
import { shown } from './yaml-tree.ts';

const ACTIONS = ['ALLOW', 'DENY', 'AUDIT', 'CUSTOM'] as const;
const DRY_RUN = 'istio.io/dry-run';
/** As Go's strconv.ParseBool. */
const BOOLEANS: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false] as const),
]);

/** Fields are already known to be the API's; what their values break is noted. */
export function readAuthorizationPolicy(document: FieldReader, origin: ResourceOrigin): AuthorizationPolicy {
  const spec = document.object('spec');
  const dryRun = readDryRun(document, origin);
  const action = spec?.oneOf('action', ACTIONS) ?? 'ALLOW';
  // Nothing stated is ALLOW without rules, which denies all.
  const target = spec === null ? { matchLabels: null, hasTargetRefs: false } : readPolicyTarget(spec);
  return {
    ...origin,
    kind: 'AuthorizationPolicy',
    ...target,
    action,
    provider: spec === null ? '' : readProvider(spec, action),
    dryRun,
    rules: spec === null ? [] : readPolicyRules(spec, action),
  };
}

function readProvider(spec: FieldReader, action: PolicyAction): string {
  const name = spec.object('provider')?.text('name') ?? '';
  if (action !== 'CUSTOM') {
    if (!spec.has('provider')) return '';
    const message = `provider is for action CUSTOM, not for ${action}`;
    spec.report('provider', 'conflict', message, 'remove it, or write action: CUSTOM');
    return '';
  }
  if (name === '') {
    const fix = 'add provider.name, a name of MeshConfig.extensionProviders';
    spec.report('provider', 'missing_field', 'action CUSTOM needs provider.name', fix);
  }
  return name;
}

function readDryRun(document: FieldReader, { annotations }: ResourceOrigin): boolean {
  const text = Object.hasOwn(annotations, DRY_RUN) ? annotations[DRY_RUN] : undefined;
  if (text === undefined) return false;
  if (Object.hasOwn(BOOLEANS, text)) return BOOLEANS[text] === true;
  const message = `"${shown(text)}" is neither true nor false: the policy is enforced`;
  document
    .object('metadata')
    ?.object('annotations')
    ?.reportValue(DRY_RUN, 'bad_value', message, 'write "true" or "false"', 'warning');
  return false;
}
