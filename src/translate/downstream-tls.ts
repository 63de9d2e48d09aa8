/**
 * How an inbound chain terminates mTLS (Istio's authn utils): the workload's certificate, the mesh's roots, and a
 * SPIFFE ID of a trust domain of the mesh as the client's.
 *
 * Certificates come by SDS under Istio's names, from a cluster `sds-grpc`, unless they are inlined.
 */
import { type EnvoyMessage, typed } from './envoy-message.ts';

/** PEM texts. The private key is printed with the rest: only on demand. */
export interface InlineSecrets {
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustBundle: string;
}

const ALPN = { http: ['h2', 'http/1.1'], tcp: ['istio-peer-exchange', 'h2', 'http/1.1'] } as const;

/** Of TLS 1.2; those of 1.3 cannot be chosen. */
const CIPHER_SUITES = [
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-GCM-SHA256',
];

export function downstreamTls(
  layer: 'http' | 'tcp',
  trustDomains: readonly string[],
  secrets: InlineSecrets | null,
): EnvoyMessage {
  return {
    name: 'envoy.transport_sockets.tls',
    typedConfig: typed('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
      commonTlsContext: {
        tlsParams: {
          tlsMinimumProtocolVersion: 'TLSv1_2',
          tlsMaximumProtocolVersion: 'TLSv1_3',
          cipherSuites: CIPHER_SUITES,
        },
        ...certificates(trustDomains, secrets),
        alpnProtocols: ALPN[layer],
      },
      requireClientCertificate: true,
    }),
  };
}

function certificates(trustDomains: readonly string[], secrets: InlineSecrets | null): EnvoyMessage {
  const matchTypedSubjectAltNames = trustDomains.map((trustDomain) => ({
    sanType: 'URI',
    matcher: { prefix: `spiffe://${trustDomain}/` },
  }));
  if (secrets === null) {
    return {
      tlsCertificateSdsSecretConfigs: [fromSds('default')],
      combinedValidationContext: {
        defaultValidationContext: { matchTypedSubjectAltNames },
        validationContextSdsSecretConfig: fromSds('ROOTCA'),
      },
    };
  }
  const { certificateChain, privateKey, trustBundle } = secrets;
  return {
    tlsCertificates: [
      { certificateChain: { inlineString: certificateChain }, privateKey: { inlineString: privateKey } },
    ],
    validationContext: { trustedCa: { inlineString: trustBundle }, matchTypedSubjectAltNames },
  };
}

function fromSds(name: string): EnvoyMessage {
  return {
    name,
    sdsConfig: {
      apiConfigSource: {
        apiType: 'GRPC',
        transportApiVersion: 'V3',
        grpcServices: [{ envoyGrpc: { clusterName: 'sds-grpc' } }],
        setNodeOnFirstMessageOnly: true,
      },
      initialFetchTimeout: '0s',
      resourceApiVersion: 'V3',
    },
  };
}
