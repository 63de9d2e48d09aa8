/**
 * The authorization plan of one workload: its policies, and the providers that its CUSTOM policies ask.
 */
import { nearestName } from '../config/nearest-name.ts';
import { compareBytes } from '../config/problem.ts';
import type { AuthorizationPolicy, Resources } from '../config/resources.ts';
import type {
  AuthorizationPlan,
  ExtAuthzProvider,
  PlannedPolicy,
  PolicyRule,
} from '../core/authorization-plan.ts';
import { type FoundProvider, planProvider } from './ext-authz-providers.ts';
import type { ClusterPlan, PortPlan } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import type { SelectedPolicy } from './select-policies.ts';
import type { WarningList } from './warning-list.ts';

export interface AuthorizationInput {
  readonly selected: readonly SelectedPolicy<AuthorizationPolicy>[];
  /** By name, those that a policy names and MeshConfig has. */
  readonly providers: ReadonlyMap<string, FoundProvider>;
  readonly resources: Resources;
  readonly clusters: Readonly<Record<string, ClusterPlan>>;
  readonly ports: Readonly<Record<string, PortPlan>>;
  readonly warnings: WarningList;
}

export function buildAuthorization(input: AuthorizationInput): AuthorizationPlan {
  const planned = new Map<string, ExtAuthzProvider | string>();
  for (const [name, found] of input.providers) planned.set(name, planProvider(found, input.clusters));
  const policies = input.selected.map(({ policy, scope }): PlannedPolicy => ({
    namespace: policy.namespace,
    name: policy.name,
    scope,
    action: policy.action,
    provider: policy.provider,
    providerProblem: policy.action === 'CUSTOM' ? providerProblem(policy, planned, input) : '',
    dryRun: policy.dryRun,
    rules: policy.rules,
  }));
  const providers = [...planned]
    .filter((entry): entry is [string, ExtAuthzProvider] => typeof entry[1] !== 'string')
    .toSorted(([a], [b]) => compareBytes(a, b));
  return { policies, providers: Object.fromEntries(providers) };
}

/** '' : it can be asked. */
function providerProblem(
  policy: AuthorizationPolicy,
  planned: ReadonlyMap<string, ExtAuthzProvider | string>,
  { resources, ports, warnings }: AuthorizationInput,
): string {
  const provider = planned.get(policy.provider);
  if (typeof provider === 'object') {
    if (provider.kind === 'http' && !policy.dryRun) refuseTcpPorts(policy, ports, warnings);
    return '';
  }
  const names = resources.meshConfig.extAuthzProviders.map(({ name }) => name);
  const nearest = nearestName(policy.provider, names);
  const problem = provider ?? `MeshConfig.extensionProviders has no ext_authz provider "${policy.provider}"`;
  warnings.add(
    'unusable_provider',
    policy,
    'spec.provider.name',
    `${nameOf(policy)} denies all that it matches: provider "${policy.provider}" cannot be asked, ${problem}`,
    provider !== undefined
      ? 'add a Service or ServiceEntry with this host and port'
      : nearest === null
        ? 'add the provider to MeshConfig.extensionProviders'
        : `did you mean "${nearest}"?`,
  );
  return problem;
}

/** Istio lets such connections through unasked. */
function refuseTcpPorts(
  policy: AuthorizationPolicy,
  ports: Readonly<Record<string, PortPlan>>,
  warnings: WarningList,
): void {
  const tcp = Object.values(ports).find(
    ({ protocol, port }) =>
      protocol === 'tcp' && policy.rules.some((rule) => canMatchPort(rule, String(port))),
  );
  if (tcp === undefined) return;
  warnings.add(
    'http_provider_on_tcp',
    policy,
    'spec.provider',
    `${nameOf(policy)} applies to port ${tcp.port}, which ${tcp.protocolFrom} declares TCP, and the HTTP provider ` +
      `"${policy.provider}" cannot judge a TCP connection`,
    'use an envoyExtAuthzGrpc provider, or name the HTTP ports in to.operation.ports of each rule',
    'error',
  );
}

function canMatchPort({ to, when }: PolicyRule, port: string): boolean {
  const inTo =
    to.length === 0 ||
    to.some(
      ({ ports, notPorts }) => (ports.length === 0 || ports.includes(port)) && !notPorts.includes(port),
    );
  return (
    inTo &&
    when.every(
      ({ key, values, notValues }) =>
        key !== 'destination.port' ||
        ((values.length === 0 || values.includes(port)) && !notValues.includes(port)),
    )
  );
}
