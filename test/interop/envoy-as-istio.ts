/**
 * Envoy's settings as Istio writes them for a sidecar: the chains of a PERMISSIVE port inbound, and outbound a cluster
 * with the mesh's SNI and ALPN that compares the server's SPIFFE ID.
 */
import type { Issued } from '../support/test-ca.ts';

const TYPE = 'type.googleapis.com/envoy.extensions';
/** What the clients of Istio's sidecars offer first, by which a PERMISSIVE port knows them. */
const ISTIO_ALPN = ['istio', 'istio-peer-exchange', 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];

export type Protocol = 'http' | 'tcp';

export interface Identity {
  readonly own: Issued;
  readonly rootPem: string;
}

export interface Outbound {
  readonly protocol: Protocol;
  readonly identity: Identity;
  readonly upstreamPort: number;
  /** The only SPIFFE ID that the server may have. */
  readonly serverId: string;
  readonly cluster: string;
  readonly sni: string;
}

export function bootstrap(listeners: readonly object[], clusters: readonly object[]): object {
  return {
    node: { id: 'sidecar~127.0.0.1~envoy.foo~foo.svc.cluster.local', cluster: 'envoy.foo' },
    admin: { address: address(0) },
    staticResources: { listeners, clusters },
  };
}

/** The listener of a PERMISSIVE port: mTLS by Istio's ALPN, and plaintext. */
export function inboundListener(name: string, protocol: Protocol, identity: Identity, app = 'app'): object {
  const filter = protocol === 'http' ? inboundHttp(name, app) : tcpProxy(name, app);
  return {
    name,
    address: address(0),
    listenerFilters: [
      {
        name: 'tls',
        typedConfig: { '@type': `${TYPE}.filters.listener.tls_inspector.v3.TlsInspector` },
      },
    ],
    filterChains: [
      {
        filterChainMatch: { transportProtocol: 'tls', applicationProtocols: ISTIO_ALPN },
        transportSocket: {
          name: 'envoy.transport_sockets.tls',
          typedConfig: {
            '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
            requireClientCertificate: true,
            commonTlsContext: {
              ...certificates(identity, { prefix: 'spiffe://cluster.local/' }),
              alpnProtocols:
                protocol === 'http' ? ['h2', 'http/1.1'] : ['istio-peer-exchange', 'h2', 'http/1.1'],
            },
          },
        },
        filters: [filter],
      },
      { filterChainMatch: { transportProtocol: 'raw_buffer' }, filters: [filter] },
    ],
  };
}

/** The app behind an inbound listener. */
export function appCluster(port: number, name = 'app'): object {
  return cluster(name, port);
}

export function outboundListener(name: string, outbound: Outbound): object {
  const filter =
    outbound.protocol === 'http' ? outboundHttp(name, outbound) : tcpProxy(name, outbound.cluster);
  return { name, address: address(0), filterChains: [{ filters: [filter] }] };
}

export function outboundCluster({
  cluster: name,
  identity,
  protocol,
  serverId,
  sni,
  upstreamPort,
}: Outbound): object {
  return {
    ...cluster(name, upstreamPort),
    transportSocket: {
      name: 'envoy.transport_sockets.tls',
      typedConfig: {
        '@type': `${TYPE}.transport_sockets.tls.v3.UpstreamTlsContext`,
        sni,
        commonTlsContext: {
          ...certificates(identity, { exact: serverId }),
          alpnProtocols:
            protocol === 'http' ? ['istio-http/1.1', 'istio', 'http/1.1'] : ['istio-peer-exchange', 'istio'],
        },
      },
    },
  };
}

function certificates({ own, rootPem }: Identity, uri: object): object {
  return {
    tlsParams: { tlsMinimumProtocolVersion: 'TLSv1_2', tlsMaximumProtocolVersion: 'TLSv1_3' },
    tlsCertificates: [
      { certificateChain: { inlineString: own.chainPem }, privateKey: { inlineString: own.keyPem } },
    ],
    validationContext: {
      trustedCa: { inlineString: rootPem },
      matchTypedSubjectAltNames: [{ sanType: 'URI', matcher: uri }],
    },
  };
}

function inboundHttp(name: string, app: string): object {
  return httpFilter({
    statPrefix: name,
    serverName: 'istio-envoy',
    forwardClientCertDetails: 'APPEND_FORWARD',
    setCurrentClientCertDetails: { subject: true, uri: true, dns: true },
    routeConfig: {
      name: 'inbound|8000||',
      virtualHosts: [
        {
          name: 'app',
          domains: ['*'],
          routes: [{ name: 'default', match: { prefix: '/' }, route: { cluster: app } }],
        },
      ],
    },
  });
}

function outboundHttp(name: string, outbound: Outbound): object {
  return httpFilter({
    statPrefix: name,
    serverName: 'envoy',
    routeConfig: {
      name: '8000',
      virtualHosts: [
        {
          name: 'httpbin.foo.svc.cluster.local:8000',
          domains: ['*'],
          includeRequestAttemptCount: true,
          routes: [
            {
              name: 'default',
              match: { prefix: '/' },
              route: {
                cluster: outbound.cluster,
                timeout: '0s',
                retryPolicy: {
                  retryOn: 'connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes',
                  numRetries: 2,
                  retryHostPredicate: [
                    {
                      name: 'envoy.retry_host_predicates.previous_hosts',
                      typedConfig: {
                        '@type': `${TYPE}.retry.host.previous_hosts.v3.PreviousHostsPredicate`,
                      },
                    },
                  ],
                  hostSelectionRetryMaxAttempts: '5',
                  retriableStatusCodes: [503],
                },
              },
            },
          ],
        },
      ],
    },
  });
}

function httpFilter(settings: object): object {
  return {
    name: 'http',
    typedConfig: {
      '@type': `${TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
      normalizePath: true,
      accessLog: [accessLog()],
      httpFilters: [{ name: 'router', typedConfig: { '@type': `${TYPE}.filters.http.router.v3.Router` } }],
      ...settings,
    },
  };
}

function tcpProxy(name: string, to: string): object {
  return {
    name: 'tcp',
    typedConfig: {
      '@type': `${TYPE}.filters.network.tcp_proxy.v3.TcpProxy`,
      statPrefix: name,
      cluster: to,
      accessLog: [accessLog()],
    },
  };
}

/** Names as in Istio's JSON access log, and what else the tests compare. */
function accessLog(): object {
  return {
    name: 'stdout',
    typedConfig: {
      '@type': `${TYPE}.access_loggers.stream.v3.StdoutAccessLog`,
      logFormat: {
        jsonFormat: {
          response_code: '%RESPONSE_CODE%',
          response_flags: '%RESPONSE_FLAGS%',
          response_code_details: '%RESPONSE_CODE_DETAILS%',
          connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
          upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
          upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
          upstream_host: '%UPSTREAM_HOST%',
          route_name: '%ROUTE_NAME%',
          requested_server_name: '%REQUESTED_SERVER_NAME%',
          peer: '%DOWNSTREAM_PEER_URI_SAN%',
          tls_version: '%DOWNSTREAM_TLS_VERSION%',
        },
      },
    },
  };
}

function cluster(name: string, port: number): object {
  return {
    name,
    connectTimeout: '5s',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: address(port) } }] }],
    },
  };
}

function address(port: number): object {
  return { socketAddress: { address: '127.0.0.1', portValue: port } };
}
