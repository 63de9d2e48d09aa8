/**
 * Resources and one workload → its snapshot, with what is odd about them. Pure; the same input gives the same
 * snapshot, and nothing of the input's functions or positions gets into it.
 */
import type { PathNormalizationSetting, Resources } from '../config/resources.ts';
import type { Limits } from '../core/limits.ts';
import { type EffectiveModes, effectiveModes, modeOfPort } from './peer-authentication.ts';
import type { PlanWarning } from './plan-warning.ts';
import type { AccessLogPlan, PathNormalization, PortPlan, Snapshot, WorkloadIdentity } from './plan.ts';
import { type NamedPort, servicePorts } from './services.ts';

export interface SnapshotInput {
  /** Each list oldest first. */
  readonly resources: Resources;
  readonly workload: WorkloadIdentity;
  readonly limits: Limits;
  readonly generation: number;
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
    inbound: {
      ports: portPlans(modes, services.ports),
      passthrough: portPlan(0, undefined, modes),
      listeners: [],
    },
    outbound: {
      unknownDestinations: meshConfig.outboundTrafficPolicy,
      clusters: {},
      ports: {},
      listeners: [],
    },
  };
  return { snapshot, warnings: [...modes.warnings, ...services.warnings] };
}

/** The plan of one workload port. */
export function planOfPort(snapshot: Snapshot, port: number): PortPlan {
  return snapshot.inbound.ports[port] ?? snapshot.inbound.passthrough;
}

/** Ports that a Service names, and those that only portLevelMtls does. */
function portPlans(modes: EffectiveModes, named: ReadonlyMap<number, NamedPort>): Record<string, PortPlan> {
  const plans: Record<string, PortPlan> = {};
  const ports = new Set([...named.keys(), ...modes.ports.keys()]);
  for (const port of [...ports].toSorted((a, b) => a - b))
    plans[port] = portPlan(port, named.get(port), modes);
  return plans;
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
