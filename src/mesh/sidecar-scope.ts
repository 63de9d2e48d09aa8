/**
 * The Sidecar resource of one workload, and which services its `hosts` let through.
 * (API: networking.istio.io Sidecar)
 */
import type { Sidecar, SidecarEgress } from '../config/resources.ts';
import { holdsHost, isWildcard } from './host-names.ts';
import { matchLabels } from './match-labels.ts';
import type { MeshService } from './mesh-services.ts';
import type { WorkloadIdentity } from './plan.ts';
import { inOtherNamespace, nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

export type ImportTest = (service: MeshService) => boolean;

/** One for the workload, else one for its namespace, else one of the root namespace; of each the oldest. */
export function selectSidecar(
  sidecars: readonly Sidecar[],
  rootNamespace: string,
  workload: WorkloadIdentity,
  warnings: WarningList,
): Sidecar | null {
  const { namespace, labels } = workload;
  const selected: (Sidecar | null)[] = [null, null, null];
  for (const sidecar of sidecars) {
    const { workloadSelector } = sidecar;
    const matches = workloadSelector === null || matchLabels(workloadSelector, labels);
    if (!matches) continue;
    if (
      sidecar.namespace !== namespace &&
      (sidecar.namespace !== rootNamespace || workloadSelector !== null)
    ) {
      if (!sidecar.namespaceGiven) warnings.add(...inOtherNamespace(sidecar, workload));
      continue;
    }
    const rank = workloadSelector !== null ? 0 : sidecar.namespace === namespace ? 1 : 2;
    const first = selected[rank] ?? null;
    if (first === null) selected[rank] = sidecar;
    else {
      warnings.add(
        'shadowed',
        sidecar,
        'metadata.name',
        `${nameOf(sidecar)} has no effect: ${nameOf(first)} is older and is for the same workloads`,
        'merge the two into one',
      );
    }
  }
  return selected.find((sidecar) => sidecar !== null) ?? null;
}

/** Whether `hosts` of an egress entry let a service through; `.` is the client's namespace, `~` nobody's. */
export function importTest(hosts: SidecarEgress['hosts'], clientNamespace: string): ImportTest {
  const exact = new Set<string>();
  const wildcards: { readonly namespace: string; readonly host: string }[] = [];
  for (const { namespace: given, host } of hosts) {
    if (given === '~') continue;
    const namespace = given === '.' ? clientNamespace : given;
    if (isWildcard(host)) wildcards.push({ namespace, host });
    else exact.add(`${namespace}/${host}`);
  }
  return ({ namespace, host, aliases }) =>
    [host, ...aliases].some((name) => exact.has(`${namespace}/${name}`) || exact.has(`*/${name}`)) ||
    wildcards.some(
      (wildcard) =>
        (wildcard.namespace === '*' || wildcard.namespace === namespace) && holdsHost(wildcard.host, host),
    );
}
