/**
 * Envoy's settings as Istio writes them for a CUSTOM policy that matches everything: ext_authz over gRPC and HTTP, on
 * HTTP and TCP chains.
 */
import type { ExtAuthzProvider } from '../../src/core/authorization-plan.ts';
import type { Identity } from './envoy-as-istio.ts';

const TYPE = 'type.googleapis.com/envoy.extensions';

export interface EnvoyChain {
  readonly name: string;
  readonly provider: ExtAuthzProvider;
  /** Present: mTLS. */
  readonly identity?: Identity;
  readonly tcp?: boolean;
}

/** Each chain is a listener on a free port; the provider of each listens on its own port. */
export function extAuthzBootstrap(chains: readonly EnvoyChain[], appPort: number): object {
  return {
    node: { id: 'sidecar~127.0.0.1~envoy.foo~foo.svc.cluster.local', cluster: 'envoy.foo' },
    admin: { address: address(0) },
    layeredRuntime: {
      layers: [{ name: 'istio', staticLayer: { 're2.max_program_size.error_level': 32_768 } }],
    },
    staticResources: {
      listeners: chains.map(listener),
      clusters: [
        cluster('app', appPort, false),
        ...chains.map(({ name, provider }) =>
          cluster(`provider-${name}`, provider.port, provider.kind === 'grpc'),
        ),
      ],
    },
  };
}

function listener(chain: EnvoyChain): object {
  const { identity, name, tcp } = chain;
  return {
    name,
    address: address(0),
    filterChains: [
      {
        ...(identity === undefined ? {} : { transportSocket: downstreamTls(identity) }),
        filters:
          tcp === true
            ? [
                filter('filters.network.ext_authz.v3.ExtAuthz', {
                  statPrefix: 'tcp.',
                  failureModeAllow: chain.provider.failOpen,
                  transportApiVersion: 'V3',
                  grpcService: grpcService(chain),
                }),
                filter('filters.network.tcp_proxy.v3.TcpProxy', {
                  statPrefix: name,
                  cluster: 'app',
                  accessLog: [accessLog()],
                }),
              ]
            : [connectionManager(chain)],
      },
    ],
  };
}

function connectionManager(chain: EnvoyChain): object {
  return filter('filters.network.http_connection_manager.v3.HttpConnectionManager', {
    statPrefix: chain.name,
    serverName: 'istio-envoy',
    normalizePath: true,
    forwardClientCertDetails: 'APPEND_FORWARD',
    setCurrentClientCertDetails: { subject: true, uri: true, dns: true },
    accessLog: [accessLog()],
    httpFilters: [
      filter('filters.http.ext_authz.v3.ExtAuthz', extAuthz(chain)),
      filter('filters.http.router.v3.Router', {}),
    ],
    routeConfig: {
      name: 'inbound|8080||',
      virtualHosts: [
        {
          name: 'app',
          domains: ['*'],
          routes: [{ name: 'default', match: { prefix: '/' }, route: { cluster: 'app', timeout: '0s' } }],
        },
      ],
    },
  });
}

function extAuthz(chain: EnvoyChain): object {
  const { provider } = chain;
  const { body } = provider;
  return {
    failureModeAllow: provider.failOpen,
    failureModeAllowHeaderAdd: provider.failOpen,
    statusOnError: { code: provider.statusOnError },
    transportApiVersion: 'V3',
    ...(body === null ? {} : { withRequestBody: body }),
    ...(provider.kind === 'grpc' ? { grpcService: grpcService(chain) } : { httpService: httpService(chain) }),
  };
}

function grpcService({ name, provider }: EnvoyChain): object {
  return {
    timeout: seconds(provider),
    envoyGrpc: { clusterName: `provider-${name}`, authority: provider.host },
  };
}

function httpService({ name, provider }: EnvoyChain): object {
  const more = provider.includeAdditionalHeadersInCheck;
  const headersToAdd: object[] = [];
  for (let i = 0; i < more.length; i += 2) headersToAdd.push({ key: more[i], value: more[i + 1] });
  return {
    pathPrefix: provider.pathPrefix,
    serverUri: { uri: `http://${provider.host}`, cluster: `provider-${name}`, timeout: seconds(provider) },
    authorizationRequest: {
      ...names('allowedHeaders', provider.includeRequestHeadersInCheck),
      headersToAdd,
    },
    authorizationResponse: {
      ...names('allowedUpstreamHeaders', provider.headersToUpstreamOnAllow),
      ...names('allowedClientHeaders', provider.headersToDownstreamOnDeny),
      ...names('allowedClientHeadersOnSuccess', provider.headersToDownstreamOnAllow),
    },
  };
}

function names(field: string, list: readonly string[]): object {
  if (list.length === 0) return {};
  const patterns = list.map((name) => {
    if (name.endsWith('*')) return { prefix: name.slice(0, -1), ignoreCase: true };
    if (name.startsWith('*')) return { suffix: name.slice(1), ignoreCase: true };
    return { exact: name, ignoreCase: true };
  });
  return { [field]: { patterns } };
}

function seconds({ timeoutMs }: ExtAuthzProvider): string {
  return `${timeoutMs / 1_000}s`;
}

function downstreamTls({ own, rootPem }: Identity): object {
  return {
    name: 'tls',
    typedConfig: {
      '@type': `${TYPE}.transport_sockets.tls.v3.DownstreamTlsContext`,
      requireClientCertificate: true,
      commonTlsContext: {
        tlsCertificates: [
          { certificateChain: { inlineString: own.chainPem }, privateKey: { inlineString: own.keyPem } },
        ],
        validationContext: { trustedCa: { inlineString: rootPem } },
      },
    },
  };
}

function filter(type: string, settings: object): object {
  return { name: type, typedConfig: { '@type': `${TYPE}.${type}`, ...settings } };
}

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
        },
      },
    },
  };
}

function cluster(name: string, port: number, http2: boolean): object {
  return {
    name,
    connectTimeout: '5s',
    ...(http2
      ? {
          typedExtensionProtocolOptions: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicitHttpConfig: { http2ProtocolOptions: {} },
            },
          },
        }
      : {}),
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: address(port) } }] }],
    },
  };
}

function address(port: number): object {
  return { socketAddress: { address: '127.0.0.1', portValue: port } };
}
