/** Snapshots of plans alone, what documents would become plays no part; and how to look at their translations. */
import assert from 'node:assert/strict';
import {
  type AuthorizationPlan,
  type ExtAuthzProvider,
  NO_AUTHORIZATION,
  type PlannedPolicy,
} from '../../src/core/authorization-plan.ts';
import { type JwtPlan, NO_JWT } from '../../src/core/jwt-plan.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type {
  AccessLogPlan,
  MtlsMode,
  PathNormalization,
  PortPlan,
  PortProtocol,
  Snapshot,
} from '../../src/mesh/plan.ts';
import type { EnvoyMessage } from '../../src/translate/envoy-message.ts';
import { translateInbound, type TranslatedPort } from '../../src/translate/translate-inbound.ts';
import { EXT_AUTHZ_DEFAULTS } from '../support/ext-authz-defaults.ts';

export { ruleOf as rule } from '../policy/policy-plan.ts';

export interface SnapshotParts {
  readonly trustDomains?: readonly string[];
  readonly pathNormalization?: PathNormalization;
  readonly accessLog?: AccessLogPlan | null;
  readonly authorization?: AuthorizationPlan;
  readonly jwt?: JwtPlan;
  readonly ports?: readonly PortPlan[];
  readonly passthrough?: MtlsMode;
}

export function snapshotOf(parts: SnapshotParts): Snapshot {
  return {
    generation: 1,
    workload: { namespace: 'foo', serviceAccount: 'httpbin', name: 'httpbin-1', labels: { app: 'httpbin' } },
    trustDomains: parts.trustDomains ?? ['cluster.local'],
    limits: DEFAULT_LIMITS,
    protocolDetectionTimeoutMs: 0,
    pathNormalization: parts.pathNormalization ?? 'BASE',
    accessLog: parts.accessLog ?? null,
    authorization: parts.authorization ?? NO_AUTHORIZATION,
    jwt: parts.jwt ?? NO_JWT,
    inbound: {
      ports: Object.fromEntries((parts.ports ?? [port()]).map((plan) => [plan.port, plan])),
      passthrough: {
        ...port('auto', parts.passthrough ?? 'PERMISSIVE', 0),
        cluster: 'InboundPassthroughCluster',
        service: null,
      },
      listeners: [],
    },
    outbound: { unknownDestinations: 'ALLOW_ANY', clusters: {}, ports: {}, listeners: [] },
  };
}

export function port(
  protocol: PortProtocol = 'http',
  mode: MtlsMode = 'PERMISSIVE',
  number = 8080,
): PortPlan {
  return {
    port: number,
    protocol,
    mode,
    modeFrom: '',
    protocolFrom: '',
    cluster: `inbound|${number}||`,
    service: { namespace: 'foo', name: 'httpbin' },
  };
}

export function policies(...list: readonly PlannedPolicy[]): AuthorizationPlan {
  return { policies: list, providers: {} };
}

export function policy(fields: Partial<PlannedPolicy>): PlannedPolicy {
  return {
    namespace: 'foo',
    name: 'p',
    scope: 'namespace',
    action: 'ALLOW',
    provider: '',
    providerProblem: '',
    dryRun: false,
    rules: [],
    ...fields,
  };
}

export function provider(fields: Partial<ExtAuthzProvider>): ExtAuthzProvider {
  const name = fields.name ?? 'ext';
  return {
    ...EXT_AUTHZ_DEFAULTS,
    name,
    cluster: `outbound|9000||${name}.foo.svc.cluster.local`,
    host: `${name}.foo.svc.cluster.local`,
    port: 9000,
    ...fields,
  };
}

export const INLINE = { certificateChain: 'CHAIN', privateKey: 'KEY', trustBundle: 'ROOT' };

/** The translation of one port, by default 8080; the key set `fetched` is there. */
export function translatePort(
  parts: SnapshotParts,
  key = '8080',
  inlineSecrets: typeof INLINE | null = null,
): TranslatedPort {
  const options = { keySets: [{ name: 'fetched', jwks: 'KEYS' }], inlineSecrets };
  return translateInbound(snapshotOf(parts), options).inbound[key]!;
}

/** The settings of the first filter of that name. */
export function configOf(filters: readonly EnvoyMessage[], name: string): Record<string, never> {
  const found = filters.find((filter) => filter['name'] === name);
  assert.ok(found !== undefined, `no ${name}`);
  return found['typedConfig'] as Record<string, never>;
}

/** Without what all names begin with. */
export function namesOf(filters: readonly EnvoyMessage[]): string[] {
  return filters.map((filter) => String(filter['name']).replace(/^envoy\.filters\./, ''));
}
