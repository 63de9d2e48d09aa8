/**
 * The inbound listener of a workload for Envoy: what Istio's control plane would send to a sidecar with these
 * documents, port by port.
 *
 * Reads the plan as written, never what `policy` compiles of it: Envoy with this config is the oracle of our tests.
 */
import type { FetchedKeySet } from '../core/jwt-plan.ts';
import type { PortPlan, Snapshot } from '../mesh/plan.ts';
import { accessLogs } from './access-logs.ts';
import { customFilters, rbacFilters } from './authorization-filters.ts';
import { type ChainMatch, chainMatches } from './chain-matches.ts';
import { connectionManager, LAST_HTTP_FILTERS } from './connection-manager.ts';
import { downstreamTls, type InlineSecrets } from './downstream-tls.ts';
import { type EnvoyMessage, extension } from './envoy-message.ts';
import { jwtFilter } from './jwt-authn.ts';
import { listenerFilters } from './listener-filters.ts';

export interface TranslateOptions {
  /** Those that are not here were never fetched: tokens that need them are refused. */
  readonly keySets: readonly FetchedKeySet[];
  /** null: certificates come by SDS. */
  readonly inlineSecrets: InlineSecrets | null;
}

export interface TranslatedPort {
  /** What Envoy looks at before it takes a chain. */
  readonly listenerFilters: readonly EnvoyMessage[];
  /** Whole FilterChain messages. */
  readonly filterChains: readonly EnvoyMessage[];
  /** Of the port's HTTP chains, in order; empty: it has none. */
  readonly httpFilters: readonly EnvoyMessage[];
  /** Of the port's TCP chains, in order; empty: it has none. */
  readonly networkFilters: readonly EnvoyMessage[];
}

export interface TranslatedInbound {
  /** By workload port; `0` is every port that is not here. */
  readonly inbound: Readonly<Record<string, TranslatedPort>>;
}

/** Every port of the plan, and `0` for all others. */
export function translateInbound(snapshot: Snapshot, options: TranslateOptions): TranslatedInbound {
  const plans = [snapshot.inbound.passthrough, ...Object.values(snapshot.inbound.ports)];
  return {
    inbound: Object.fromEntries(plans.map((plan) => [plan.port, translatePort(snapshot, plan, options)])),
  };
}

function translatePort(snapshot: Snapshot, plan: PortPlan, options: TranslateOptions): TranslatedPort {
  const matches = chainMatches(plan.mode, plan.protocol);
  const has = (layer: ChainMatch['layer']): boolean => matches.some((match) => match.layer === layer);
  const httpFilters = has('http') ? httpFiltersOf(snapshot, options.keySets) : [];
  const networkFilters = has('tcp') ? networkFiltersOf(snapshot, plan) : [];
  const { pathNormalization, trustDomains } = snapshot;
  const manager = connectionManager({
    plan,
    pathNormalization,
    httpFilters,
    accessLog: accessLogs(snapshot.accessLog),
  });
  const filterChains = matches.map((match) => ({
    filterChainMatch: filterChainMatch(plan, match),
    filters: match.layer === 'http' ? [manager] : networkFilters,
    ...(match.terminates
      ? { transportSocket: downstreamTls(match.layer, trustDomains, options.inlineSecrets) }
      : {}),
    name: chainName(plan, match),
  }));
  return { listenerFilters: listenerFilters(matches), filterChains, httpFilters, networkFilters };
}

function httpFiltersOf(snapshot: Snapshot, keySets: readonly FetchedKeySet[]): EnvoyMessage[] {
  const { authorization: plan, jwt, trustDomains } = snapshot;
  const context = { plan, trustDomains, layer: 'http' } as const;
  const tokens = jwtFilter(jwt, keySets);
  return [
    ...customFilters(context),
    ...(tokens === null ? [] : [tokens]),
    ...rbacFilters(context),
    ...LAST_HTTP_FILTERS,
  ];
}

function networkFiltersOf(snapshot: Snapshot, { cluster }: PortPlan): EnvoyMessage[] {
  const { accessLog, authorization: plan, trustDomains } = snapshot;
  const context = { plan, trustDomains, layer: 'tcp' } as const;
  const logs = accessLogs(accessLog);
  const type = 'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
  return [
    ...customFilters(context),
    ...rbacFilters(context),
    extension('envoy.filters.network.tcp_proxy', type, {
      statPrefix: cluster,
      cluster,
      ...(logs.length === 0 ? {} : { accessLog: logs }),
    }),
  ];
}

function filterChainMatch({ port }: PortPlan, { alpn, transport }: ChainMatch): EnvoyMessage {
  return {
    ...(port === 0 ? {} : { destinationPort: port }),
    transportProtocol: transport,
    ...(alpn.length === 0 ? {} : { applicationProtocols: alpn }),
  };
}

/** As Istio calls them; nothing refers to it. */
function chainName({ cluster, port }: PortPlan, { layer }: ChainMatch): string {
  if (cluster !== 'InboundPassthroughCluster') return `0.0.0.0_${port}`;
  return layer === 'http' ? 'virtualInbound-catchall-http' : 'virtualInbound';
}
