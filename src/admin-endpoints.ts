/**
 * What the admin, readiness and metrics servers answer: one function an endpoint, in Envoy's shapes where Envoy
 * has one. No answer holds a private key.
 */
import type { PosternConfig } from './config/postern-config.ts';
import type { KeySetState } from './control-key-sets.ts';
import type { SummedReport } from './data-reports.ts';
import type { Snapshot } from './mesh/plan.ts';
import { jsonAnswer, textAnswer } from './observe/admin-server.ts';
import type { EndpointTable } from './observe/admin-server.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { Readiness } from './observe/readiness.ts';
import { DUMP_BOUNDS, REDACTED, redact } from './observe/redact.ts';
import type { StatsInput } from './observe/collect-stats.ts';
import { answerStats, renderPrometheus } from './observe/render-stats.ts';
import type { ExtAuthzProvider } from './core/authorization-plan.ts';
import type { OwnCertificate } from './own-certificate.ts';

/** What the answers are made of; the control half is one. */
export interface AdminSources {
  readonly readiness: Readiness;
  readonly counters: ControlCounters;
  readonly config: PosternConfig;
  readonly snapshot: Snapshot | null;
  readonly certificate: OwnCertificate;
  /** How fetching goes; none where no rule names a key set. */
  keySets(): readonly KeySetState[];
  report(): Promise<SummedReport>;
  applyLogQuery(query: URLSearchParams): { readonly ok: boolean; readonly text: string };
}

/** Endpoints of the loopback-only admin server. */
export function createAdminEndpoints(sources: AdminSources): EndpointTable {
  return {
    ...createReadinessEndpoints(sources),
    ...createMetricsEndpoints(sources),
    '/certs': {
      method: 'GET',
      help: 'certificates in force, as Envoy prints them',
      answer: () => jsonAnswer({ certificates: [sources.certificate.details()] }),
    },
    '/config_dump': {
      method: 'GET',
      help: 'postern.yaml as understood, the snapshot in force and live connections; keys are redacted',
      answer: async () => jsonAnswer(await configDump(sources)),
    },
    '/logging': {
      method: 'POST',
      help: 'log levels: ?level=debug for all, ?rbac=debug for one, nothing to list them',
      answer: ({ query }) => {
        const { ok, text } = sources.applyLogQuery(query);
        return textAnswer(ok ? 200 : 400, text);
      },
    },
    '/server_info': {
      method: 'GET',
      help: 'state, uptime and version',
      answer: () =>
        jsonAnswer({
          version: `postern/node ${process.versions.node}`,
          state: sources.readiness.isReady ? 'LIVE' : 'PRE_INITIALIZING',
          uptime_current_epoch: `${Math.floor((Date.now() - sources.counters.startedAtMs) / 1000)}s`,
        }),
    },
    '/stats': {
      method: 'GET',
      help: 'counters as text: ?filter=REGEX, ?usedonly, ?format=json or prometheus',
      answer: async ({ query }) => answerStats(await statsInput(sources), query),
    },
  };
}

/** Endpoints of the readiness listener. */
export function createReadinessEndpoints({ readiness }: AdminSources): EndpointTable {
  const endpoint = {
    method: 'GET',
    help: '200 LIVE, or 503 and why; ?format=json',
    answer: ({ query }: { readonly query: URLSearchParams }) => readiness.answer(query),
  } as const;
  return { '/ready': endpoint, '/healthz/ready': endpoint };
}

/** Endpoints of the metrics listener. */
export function createMetricsEndpoints(sources: AdminSources): EndpointTable {
  const endpoint = {
    method: 'GET',
    help: 'counters for Prometheus',
    answer: async () => textAnswer(200, await renderPrometheus(await statsInput(sources))),
  } as const;
  return { '/stats/prometheus': endpoint, '/metrics': endpoint };
}

async function statsInput(sources: AdminSources): Promise<StatsInput> {
  const { counters } = await sources.report();
  return { counters, control: sources.counters, ready: sources.readiness.isReady, nowMs: Date.now() };
}

async function configDump(sources: AdminSources): Promise<unknown> {
  const { connectionCount, connections } = await sources.report();
  const { identity } = sources.config;
  const name = identity.kind === 'sds' ? identity.certificateName : 'default';
  return redact(
    {
      bootstrap: sources.config,
      snapshot: sources.snapshot === null ? null : shownSnapshot(sources.snapshot),
      secrets: {
        ...sources.certificate.details(),
        dynamic_active_secrets:
          sources.certificate.facts().notAfterMs === 0
            ? []
            : [{ name, secret: { tls_certificate: { private_key: { inline_bytes: REDACTED } } } }],
      },
      keySets: sources.keySets(),
      connections: { count: connectionCount, first: connections },
    },
    DUMP_BOUNDS,
  );
}

/**
 * Without inline keys, where somebody may have written private ones, and without what is said to providers, which may
 * be a credential. Policies have a key of their own: one called `authorization` holds a credential anywhere else.
 */
function shownSnapshot({ authorization, jwt, ...snapshot }: Snapshot): Record<string, unknown> {
  const rules = jwt.rules.map((rule) => (rule.jwks === '' ? rule : { ...rule, jwks: REDACTED }));
  const providers = Object.values(authorization.providers).map(shownProvider);
  return {
    ...snapshot,
    policies: authorization.policies,
    extAuthzProviders: providers,
    jwt: { ...jwt, rules },
  };
}

function shownProvider(provider: ExtAuthzProvider): ExtAuthzProvider {
  const told = provider.includeAdditionalHeadersInCheck;
  return {
    ...provider,
    includeAdditionalHeadersInCheck: told.map((text, at) => (at % 2 === 0 ? text : REDACTED)),
  };
}
