/**
 * Which filter chains an inbound port has, by the mode and the protocol of the port (Istio's filterchain_options).
 *
 * Envoy takes the chain by what it sees first: TLS or not, then the first entry of the client's ALPN that any chain
 * names. The chain without ALPN is for what is left.
 */
import type { MtlsMode, PortProtocol } from '../mesh/plan.ts';

export interface ChainMatch {
  readonly layer: 'http' | 'tcp';
  readonly transport: 'tls' | 'raw_buffer';
  /** Empty: any. */
  readonly alpn: readonly string[];
  /** TLS that is not terminated reaches the app as it is. */
  readonly terminates: boolean;
}

const MTLS_HTTP = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const MTLS_TCP = ['istio-peer-exchange', 'istio'];
const MTLS = ['istio', 'istio-peer-exchange', ...MTLS_HTTP];
/** What Envoy's HTTP inspector calls plaintext HTTP. */
export const PLAIN_HTTP: readonly string[] = ['http/1.1', 'h2c'];

type Kind = 'http' | 'auto' | 'tcp';

const MATCHES: Readonly<Record<MtlsMode, Readonly<Record<Kind, readonly ChainMatch[]>>>> = {
  STRICT: {
    http: [tls('http')],
    auto: [tls('http', MTLS_HTTP), tls('tcp')],
    tcp: [tls('tcp')],
  },
  PERMISSIVE: {
    http: [tls('http', MTLS), raw('http')],
    auto: [tls('http', MTLS_HTTP), raw('http', PLAIN_HTTP), tls('tcp', MTLS_TCP), raw('tcp'), passedOnTls()],
    tcp: [tls('tcp', MTLS), passedOnTls(), raw('tcp')],
  },
  DISABLE: {
    http: [raw('http')],
    auto: [raw('http', PLAIN_HTTP), raw('tcp')],
    tcp: [raw('tcp')],
  },
};

export function chainMatches(mode: MtlsMode, protocol: PortProtocol): readonly ChainMatch[] {
  return MATCHES[mode][protocol === 'http2' ? 'http' : protocol];
}

function tls(layer: ChainMatch['layer'], alpn: readonly string[] = []): ChainMatch {
  return { layer, transport: 'tls', alpn, terminates: true };
}

function raw(layer: ChainMatch['layer'], alpn: readonly string[] = []): ChainMatch {
  return { layer, transport: 'raw_buffer', alpn, terminates: false };
}

function passedOnTls(): ChainMatch {
  return { layer: 'tcp', transport: 'tls', alpn: [], terminates: false };
}
