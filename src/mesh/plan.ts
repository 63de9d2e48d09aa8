/**
 * The snapshot: everything that the data half needs to know of the configuration, for one workload.
 *
 * Plain and structured-cloneable; a reload makes a whole new one and the data half swaps one pointer.
 */
import type { AuthorizationPlan } from '../core/authorization-plan.ts';
import type { JwtPlan } from '../core/jwt-plan.ts';
import type { Limits } from '../core/limits.ts';

export type MtlsMode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** What a Service port says of its traffic; `auto` where no Service names one. */
export type PortProtocol = 'http' | 'http2' | 'tcp' | 'auto';

export type PathNormalization = 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';

/** How inbound connections to one workload port are treated. */
export interface PortPlan {
  /** The workload (target) port; 0 in the plan for ports that nothing names. */
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly mode: MtlsMode;
  /** Why this mode: `PeerAuthentication foo/default` or `default (no PeerAuthentication)`, for logs. */
  readonly modeFrom: string;
  /** `Service foo/httpbin port http`, or an empty string where no Service names the port. */
  readonly protocolFrom: string;
  /** Envoy's cluster name: `inbound|8080||` or `InboundPassthroughCluster`. */
  readonly cluster: string;
  /** The Service that names the port; null: none does, and Envoy calls it passthrough. */
  readonly service: { readonly namespace: string; readonly name: string } | null;
}

export interface AccessLogPlan {
  /** `/dev/stdout`, `/dev/stderr` or a file. */
  readonly path: string;
  readonly encoding: 'TEXT' | 'JSON';
  /** MeshConfig.accessLogFormat: a format string, or a JSON object text for JSON; '' for Istio's default. */
  readonly format: string;
}

export interface WorkloadIdentity {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Snapshot {
  /** 1 for the first; grows with every accepted reload. */
  readonly generation: number;
  readonly workload: WorkloadIdentity;
  /** Own trust domain first, then its aliases: peers of any of them are members of the mesh. */
  readonly trustDomains: readonly string[];
  readonly limits: Limits;
  /** 0: silence is never taken for TCP, `limits.sniffTimeoutMs` closes; else silence becomes TCP after it. */
  readonly protocolDetectionTimeoutMs: number;
  readonly pathNormalization: PathNormalization;
  readonly accessLog: AccessLogPlan | null;
  /** AuthorizationPolicies that apply to this workload, inbound only. */
  readonly authorization: AuthorizationPlan;
  /** RequestAuthentications that apply to this workload, inbound HTTP only. */
  readonly jwt: JwtPlan;
  readonly inbound: {
    /** Plans by workload port, as text keys so that the value can be cloned and printed. */
    readonly ports: Readonly<Record<string, PortPlan>>;
    /** For every other port. */
    readonly passthrough: PortPlan;
    /** Sidecar.ingress: listeners of their own, whose ports have their plans in `ports`. */
    readonly listeners: readonly IngressListenerPlan[];
  };
  readonly outbound: OutboundPlan;
}

/** A listener for connections that nobody redirects to us (Sidecar.ingress). */
export interface IngressListenerPlan {
  /** Names it in the ready line: the port as written; `BIND:PORT` for the second of the same port. */
  readonly key: string;
  readonly bind: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** What policies see as destination port, the key of its plan: `port`, or the app's where that is 0. */
  readonly workloadPort: number;
  readonly appTarget: { readonly host: string; readonly port: number };
}

/** A listener for the app's own connections (Sidecar.egress with captureMode NONE). */
export interface EgressListenerPlan {
  readonly key: string;
  readonly bind: string;
  readonly port: number;
  /** How its connections are treated, whatever address they were made to. */
  readonly routes: OutboundPortPlan;
}

/** What outbound connections may reach, and how. */
export interface OutboundPlan {
  /** Sidecar.outboundTrafficPolicy, else MeshConfig's. */
  readonly unknownDestinations: 'ALLOW_ANY' | 'REGISTRY_ONLY';
  /** By Envoy's cluster name, `outbound|8000||httpbin.foo.svc.cluster.local`. */
  readonly clusters: Readonly<Record<string, ClusterPlan>>;
  /** Redirected connections, by destination port. A port that is not here is unknown. */
  readonly ports: Readonly<Record<string, OutboundPortPlan>>;
  readonly listeners: readonly EgressListenerPlan[];
}

/** One destination port, or one egress listener. Chosen in this order: address, block, SNI, HTTP, any. */
export interface OutboundPortPlan {
  /** Destination IP → the service that has this address. */
  readonly byAddress: Readonly<Record<string, AddressRoute>>;
  /** The same for CIDR blocks, the smallest first. */
  readonly byBlock: readonly AddressBlockRoute[];
  /** TLS services without an address by SNI, lower case; `*.example.com` is a wildcard. null: nothing is told by SNI. */
  readonly bySni: Readonly<Record<string, string>> | null;
  /** HTTP services, and those whose protocol is detected, by Host. null: nothing here speaks HTTP. */
  readonly http: RouteTable | null;
  /** A port that some service declares HTTP: what is not HTTP is refused and not passed on. */
  readonly httpOnly: boolean;
  /** The cluster for whatever matches nothing above; '' for none. */
  readonly any: string;
}

export interface AddressRoute {
  readonly cluster: string;
  /** `auto`: HTTP if the first bytes are, by `routes`. `http`: by the Host table of the port. */
  readonly protocol: 'tcp' | 'auto' | 'http';
  /** `auto` only: whatever Host says, the address has named the service. */
  readonly routes: RouteTable | null;
}

/** First and last address as hexadecimal text, 8 digits for IPv4, 32 for IPv6. */
export interface AddressBlock {
  readonly first: string;
  readonly last: string;
}

export interface AddressBlockRoute extends AddressBlock {
  readonly route: AddressRoute;
}

/** Virtual hosts of one port (Envoy's RouteConfiguration). Read by `clusterOfHost` only. */
export interface RouteTable {
  /** Envoy's name of it: the port. */
  readonly name: string;
  /** Host in lower case, as it may stand in a request, with and without port → cluster. */
  readonly hosts: Readonly<Record<string, string>>;
  /** Longest first. `suffix` begins with the dot: `.example.com`, or `.example.com:80`; '' matches every Host. */
  readonly wildcards: readonly { readonly suffix: string; readonly cluster: string }[];
  /** Any port in Host is as good as none (Envoy's ignore_port_in_host_matching); false in tables of all ports. */
  readonly ignoresPort: boolean;
}

/** One port of one service. */
export interface ClusterPlan {
  readonly name: string;
  /** `httpbin.foo.svc.cluster.local`. */
  readonly host: string;
  /** The service port. */
  readonly port: number;
  readonly protocol: PortProtocol;
  readonly service: { readonly namespace: string; readonly name: string };
  /** `Service foo/httpbin port http`, for people. */
  readonly from: string;
  /**
   * Why `tls` of its endpoints is as it is: `DestinationRule foo/httpbin`, `auto mTLS`, `auto mTLS is off`,
   * `MESH_EXTERNAL`, or the `PeerAuthentication foo/default` that disables mTLS for the namespace.
   */
  readonly tlsFrom: string;
  /**
   * `original-destination`: dialled where the client meant to go, with TLS if `tls` is not null. Where nobody knows
   * that (an egress listener), one of `endpoints`, if there are any.
   */
  readonly discovery: 'endpoints' | 'original-destination';
  readonly endpoints: readonly EndpointPlan[];
  /** How to speak TLS to those endpoints that are marked; null if none is. */
  readonly tls: ClusterTls | null;
}

export interface EndpointPlan {
  /** IP address or DNS name. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** At least 1. */
  readonly weight: number;
}

/** Mesh mTLS with the own SVID: both sides prove a SPIFFE ID. */
export interface IstioClusterTls {
  readonly kind: 'istio';
  /** `outbound_.8000_._.httpbin.foo.svc.cluster.local`, or the rule's own. */
  readonly sni: string;
  /** Any one of them must be the server's, exactly. Empty: nobody is known, any member of the mesh. */
  readonly subjectAltNames: readonly string[];
}

/** SIMPLE and MUTUAL of a DestinationRule: the web's PKI, certificates from files. */
export interface ExternalClusterTls {
  readonly kind: 'external';
  /** '' : the Host of the request, or the cluster's host. */
  readonly sni: string;
  /** Exact URI or DNS SANs. Empty: the name in SNI must be the certificate's, unless `verify` says otherwise. */
  readonly subjectAltNames: readonly string[];
  /** `chain`: no name is compared. `none`: insecureSkipVerify. */
  readonly verify: 'name' | 'chain' | 'none';
  /** Absolute paths; '' : the system's roots, no client certificate. Their text is in `ToData.tls-files`. */
  readonly caCertificates: string;
  readonly clientCertificate: string;
  readonly privateKey: string;
}

export type ClusterTls = IstioClusterTls | ExternalClusterTls;
