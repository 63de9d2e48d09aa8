/**
 * The HTTP connection manager of an inbound chain as Istio's control plane sets it for a sidecar: XFCC, normalisation
 * before any filter, and one route to the workload's own port.
 */
import type { PathNormalization, PortPlan } from '../mesh/plan.ts';
import { type EnvoyMessage, extension, typed } from './envoy-message.ts';

const TYPE = 'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager';

const NORMALIZATION: Readonly<Record<PathNormalization, EnvoyMessage>> = {
  NONE: { normalizePath: false, pathWithEscapedSlashesAction: 'KEEP_UNCHANGED' },
  BASE: { normalizePath: true, pathWithEscapedSlashesAction: 'KEEP_UNCHANGED' },
  MERGE_SLASHES: {
    normalizePath: true,
    mergeSlashes: true,
    pathWithEscapedSlashesAction: 'KEEP_UNCHANGED',
  },
  DECODE_AND_MERGE_SLASHES: {
    normalizePath: true,
    mergeSlashes: true,
    pathWithEscapedSlashesAction: 'UNESCAPE_AND_FORWARD',
  },
};

export interface ConnectionManagerInput {
  readonly plan: PortPlan;
  readonly pathNormalization: PathNormalization;
  readonly httpFilters: readonly EnvoyMessage[];
  readonly accessLog: readonly EnvoyMessage[];
}

export function connectionManager(input: ConnectionManagerInput): EnvoyMessage {
  const { accessLog, httpFilters, pathNormalization, plan } = input;
  return extension('envoy.filters.network.http_connection_manager', TYPE, {
    codecType: 'AUTO',
    statPrefix: statPrefix(plan),
    routeConfig: routes(plan),
    httpFilters,
    ...(accessLog.length === 0 ? {} : { accessLog }),
    ...(plan.protocol === 'http2' ? { http2ProtocolOptions: {} } : {}),
    serverName: 'istio-envoy',
    useRemoteAddress: false,
    forwardClientCertDetails: 'APPEND_FORWARD',
    setCurrentClientCertDetails: { subject: true, dns: true, uri: true },
    ...NORMALIZATION[pathNormalization],
    proxy100Continue: true,
    upgradeConfigs: [{ upgradeType: 'websocket' }],
    streamIdleTimeout: '0s',
    requestIdExtension: {
      typedConfig: typed('envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig', {
        useRequestIdForTraceSampling: true,
      }),
    },
  });
}

/** What follows authorization in the chain. */
export const LAST_HTTP_FILTERS: readonly EnvoyMessage[] = [
  extension('envoy.filters.http.grpc_stats', 'envoy.extensions.filters.http.grpc_stats.v3.FilterConfig', {
    emitFilterState: true,
    statsForAllMethods: false,
  }),
  extension('envoy.filters.http.fault', 'envoy.extensions.filters.http.fault.v3.HTTPFault', {}),
  extension('envoy.filters.http.cors', 'envoy.extensions.filters.http.cors.v3.Cors', {}),
  extension('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {}),
];

/** The semicolon ends the name of the port, where that of a statistic begins. */
function statPrefix({ cluster, port }: PortPlan): string {
  return cluster === 'InboundPassthroughCluster' ? `${cluster};` : `inbound_0.0.0.0_${port};`;
}

function routes({ cluster, port }: PortPlan): EnvoyMessage {
  return {
    name: cluster,
    virtualHosts: [
      {
        name: `inbound|http|${port}`,
        domains: ['*'],
        routes: [{ name: 'default', match: { prefix: '/' }, route: routeTo(cluster) }],
      },
    ],
    validateClusters: false,
  };
}

function routeTo(cluster: string): EnvoyMessage {
  return {
    cluster,
    timeout: '0s',
    retryPolicy: { retryOn: 'reset-before-request', numRetries: 2 },
    maxStreamDuration: { maxStreamDuration: '0s', grpcTimeoutHeaderMax: '0s' },
  };
}
