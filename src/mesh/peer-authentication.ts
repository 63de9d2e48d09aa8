/**
 * The mTLS mode of every port of one workload, by Istio's rules of scope and precedence:
 * PERMISSIVE ← mesh ← namespace ← workload ← port, each level passed over where it says nothing.
 * One policy a level counts, the oldest. (API: security.istio.io PeerAuthentication)
 */
import type { PeerAuthentication } from '../config/resources.ts';
import { matchLabels } from './match-labels.ts';
import type { MtlsMode, WorkloadIdentity } from './plan.ts';
import { inOtherNamespace, nameOf, type PlanWarning, planWarning } from './plan-warning.ts';

/** A mode and the policy it comes from, for logs. */
export interface EffectiveMode {
  readonly mode: MtlsMode;
  /** `PeerAuthentication foo/default` or `default (no PeerAuthentication)`. */
  readonly modeFrom: string;
}

export interface EffectiveModes {
  /** For every port that `ports` does not hold. */
  readonly workload: EffectiveMode;
  /** By workload port: those that the winning workload policy names. */
  readonly ports: ReadonlyMap<number, EffectiveMode>;
  readonly warnings: readonly PlanWarning[];
}

type Scope = 'mesh' | 'namespace' | 'workload';

/** `policies` oldest first. */
export function effectiveModes(
  policies: readonly PeerAuthentication[],
  rootNamespace: string,
  workload: WorkloadIdentity,
): EffectiveModes {
  const warnings: PlanWarning[] = [];
  const winners = new Map<Scope, PeerAuthentication>();
  for (const policy of policies) {
    const scope = scopeOf(policy, rootNamespace, workload, warnings);
    if (scope === null) continue;
    const winner = winners.get(scope);
    if (winner === undefined) winners.set(scope, policy);
    else warnings.push(shadowedWarning(policy, winner, scope));
  }

  let effective: EffectiveMode = { mode: 'PERMISSIVE', modeFrom: 'default (no PeerAuthentication)' };
  for (const scope of ['mesh', 'namespace', 'workload'] as const) {
    const policy = winners.get(scope);
    if (policy === undefined || policy.mode === null || policy.mode === 'UNSET') continue;
    effective = { mode: policy.mode, modeFrom: nameOf(policy) };
  }

  const ports = new Map<number, EffectiveMode>();
  const winner = winners.get('workload');
  for (const [port, mode] of winner?.portModes ?? []) {
    ports.set(
      port,
      mode === 'UNSET' ? effective : { mode, modeFrom: `${nameOf(winner!)} portLevelMtls ${port}` },
    );
  }
  return { workload: effective, ports, warnings };
}

/** The mode of one workload port. */
export function modeOfPort(modes: EffectiveModes, port: number): EffectiveMode {
  return modes.ports.get(port) ?? modes.workload;
}

/** On which level the policy speaks to this workload; null: on none. */
function scopeOf(
  policy: PeerAuthentication,
  rootNamespace: string,
  workload: WorkloadIdentity,
  warnings: PlanWarning[],
): Scope | null {
  const { matchLabels: selector } = policy;
  if (policy.namespace === rootNamespace) {
    if (selector === null) return 'mesh';
    if (matchLabels(selector, workload.labels)) {
      warnings.push(
        planWarning(
          'selector_ignored',
          policy,
          'spec.selector',
          `${nameOf(policy)} has a selector in the root namespace, where Istio ignores the whole policy`,
          `move it to namespace "${workload.namespace}", or remove the selector to set the mode of the mesh`,
        ),
      );
    }
    return null;
  }
  if (selector !== null && !matchLabels(selector, workload.labels)) return null;
  if (policy.namespace === workload.namespace) return selector === null ? 'namespace' : 'workload';
  if (!policy.namespaceGiven) warnings.push(planWarning(...inOtherNamespace(policy, workload)));
  return null;
}

function shadowedWarning(policy: PeerAuthentication, winner: PeerAuthentication, scope: Scope): PlanWarning {
  return planWarning(
    'shadowed',
    policy,
    'metadata.name',
    `${nameOf(policy)} has no effect: ${nameOf(winner)} is older and sets the same ${scope}`,
    'merge the two into one',
  );
}
