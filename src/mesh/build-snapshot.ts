/**
 * Resources and one workload → its snapshot, with what is odd about them. Pure; the same input gives the same
 * snapshot, and nothing of the input's functions or positions gets into it.
 */
import type { PathNormalizationSetting, Resources } from '../config/resources.ts';
import type { Limits } from '../core/limits.ts';
import { buildAuthorization } from './build-authorization.ts';
import { buildOutbound } from './build-outbound.ts';
import { findProviders } from './ext-authz-providers.ts';
import { type Ingress, type IngressPort, NO_INGRESS, readIngress } from './ingress-listeners.ts';
import { ListenerPlaces } from './listener-place.ts';
import { type EffectiveModes, effectiveModes, modeOfPort } from './peer-authentication.ts';
import type { PlanWarning } from './plan-warning.ts';
import type { AccessLogPlan, PathNormalization, PortPlan, Snapshot, WorkloadIdentity } from './plan.ts';
import { warnOfTrustDomains } from './principal-trust-domains.ts';
import { buildJwtPlan } from './request-authentication.ts';
import { selectPolicies } from './select-policies.ts';
import { type NamedPort, servicePorts } from './services.ts';
import { selectSidecar } from './sidecar-scope.ts';
import { WarningList } from './warning-list.ts';

export interface SnapshotInput {
  /** Each list oldest first. */
  readonly resources: Resources;
  readonly workload: WorkloadIdentity;
  readonly limits: Limits;
  readonly generation: number;
  /** Where the app listens. */
  readonly appHost: string;
  /** What postern.yaml says; it wins over MeshConfig. null: it says nothing. */
  readonly accessLog: AccessLogPlan | null;
}

export interface BuiltSnapshot {
  readonly snapshot: Snapshot;
  readonly warnings: readonly PlanWarning[];
}

const PASSTHROUGH_CLUSTER = 'InboundPassthroughCluster';

/** Builds the snapshot of one workload. */
export function buildSnapshot(input: SnapshotInput): BuiltSnapshot {
  const { resources, workload } = input;
  const { meshConfig } = resources;
  const modes = effectiveModes(resources.peerAuthentications, meshConfig.rootNamespace, workload);
  const services = servicePorts(resources.services, workload);
  const warnings = new WarningList();
  const sidecar = selectSidecar(resources.sidecars, meshConfig.rootNamespace, workload, warnings);
  const taken = new Map<string, string>();
  const ingress =
    sidecar === null
      ? NO_INGRESS
      : readIngress(sidecar, input.appHost, new ListenerPlaces(taken, sidecar, warnings), warnings);
  const { rootNamespace } = meshConfig;
  const policies = selectPolicies(resources.authorizationPolicies, rootNamespace, workload, warnings);
  for (const { policy } of policies) warnOfTrustDomains(policy, meshConfig, warnings);
  const tokens = selectPolicies(resources.requestAuthentications, rootNamespace, workload, warnings);
  const asked = policies.filter(({ policy }) => policy.action === 'CUSTOM');
  const providers = findProviders(resources, new Set(asked.map(({ policy }) => policy.provider)));
  const ports = portPlans(modes, services.ports, ingress);
  const outbound = buildOutbound({
    resources,
    workload,
    sidecar,
    places: sidecar === null ? null : new ListenerPlaces(taken, sidecar, warnings),
    called: [...providers.values()].flatMap(({ service }) => service ?? []),
    warnings,
  });
  const snapshot: Snapshot = {
    generation: input.generation,
    workload: {
      namespace: workload.namespace,
      serviceAccount: workload.serviceAccount,
      name: workload.name,
      labels: { ...workload.labels },
    },
    trustDomains: [...new Set([meshConfig.trustDomain, ...meshConfig.trustDomainAliases])],
    limits: { ...input.limits },
    protocolDetectionTimeoutMs: meshConfig.protocolDetectionTimeoutMs,
    pathNormalization: pathNormalizationOf(meshConfig.pathNormalization),
    accessLog: input.accessLog ?? meshAccessLog(resources),
    authorization: buildAuthorization({
      selected: policies,
      providers,
      resources,
      clusters: outbound.clusters,
      ports,
      warnings,
    }),
    jwt: buildJwtPlan(tokens, input.limits, warnings),
    inbound: {
      ports,
      passthrough: portPlan(0, undefined, modes),
      listeners: ingress.listeners,
    },
    outbound,
  };
  return { snapshot, warnings: [...modes.warnings, ...services.warnings, ...warnings.all] };
}

/** The plan of one workload port. */
export function planOfPort(snapshot: Snapshot, port: number): PortPlan {
  return snapshot.inbound.ports[port] ?? snapshot.inbound.passthrough;
}

/** Ports that a Service or the Sidecar names, and those that only portLevelMtls does. */
function portPlans(
  modes: EffectiveModes,
  named: ReadonlyMap<number, NamedPort>,
  ingress: Ingress,
): Record<string, PortPlan> {
  const plans: Record<string, PortPlan> = {};
  const ports = new Set([...named.keys(), ...modes.ports.keys(), ...ingress.ports.keys()]);
  for (const port of [...ports].toSorted((a, b) => a - b)) {
    const plan = portPlan(port, named.get(port), modes);
    const given = ingress.ports.get(port);
    plans[port] = given === undefined ? plan : withIngress(plan, given);
  }
  return plans;
}

/** What the Sidecar says of a port goes before what a Service does. */
function withIngress(plan: PortPlan, { protocol, protocolFrom }: IngressPort): PortPlan {
  const cluster = `inbound|${plan.port}||`;
  return protocol === null ? { ...plan, cluster } : { ...plan, cluster, protocol, protocolFrom };
}

function portPlan(port: number, named: NamedPort | undefined, modes: EffectiveModes): PortPlan {
  const { mode, modeFrom } = modeOfPort(modes, port);
  return {
    port,
    protocol: named?.protocol ?? 'auto',
    mode,
    modeFrom,
    protocolFrom: named?.protocolFrom ?? '',
    cluster: named === undefined ? PASSTHROUGH_CLUSTER : `inbound|${port}||`,
    service: named?.service ?? null,
  };
}

function pathNormalizationOf(setting: PathNormalizationSetting): PathNormalization {
  return setting === 'DEFAULT' ? 'BASE' : setting;
}

function meshAccessLog({ meshConfig }: Resources): AccessLogPlan | null {
  if (meshConfig.accessLogFile === '') return null;
  return {
    path: meshConfig.accessLogFile,
    encoding: meshConfig.accessLogEncoding,
    format: meshConfig.accessLogFormat,
  };
}
