/**
 * What a validated Istio or Kubernetes document is to the rest of the program, and where it stands in its file.
 *
 * Plain values: every field has its default filled in, ports are numbers, modes are checked.
 */

import type { ExtAuthzProvider, PolicyAction, PolicyRule } from '../core/authorization-plan.ts';
import type { JwtRule } from '../core/jwt-plan.ts';

/** A place in a file; lines and columns count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** What every resource has, whatever its kind. */
export interface ResourceOrigin {
  readonly kind: string;
  readonly apiVersion: string;
  readonly name: string;
  readonly namespace: string;
  /** False when the document left it out, so that `namespace` is the entry's default. */
  readonly namespaceGiven: boolean;
  /** metadata.creationTimestamp; null when absent: those come last in "oldest first". */
  readonly createdAtMs: number | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Where the document begins. */
  readonly position: Position;
  /** `spec.mtls.mode` → where it stands; the nearest parent that exists if the path does not. */
  readonly positionOf: (path: string) => Position;
}

export type PeerMtlsMode = 'UNSET' | 'DISABLE' | 'PERMISSIVE' | 'STRICT';

/** security.istio.io PeerAuthentication. */
export interface PeerAuthentication extends ResourceOrigin {
  readonly kind: 'PeerAuthentication';
  /** null: no selector, or one without labels. */
  readonly matchLabels: Readonly<Record<string, string>> | null;
  /** null: `mtls` is absent. */
  readonly mode: PeerMtlsMode | null;
  /** By workload port. */
  readonly portModes: ReadonlyMap<number, PeerMtlsMode>;
}

/** security.istio.io AuthorizationPolicy. */
export interface AuthorizationPolicy extends ResourceOrigin {
  readonly kind: 'AuthorizationPolicy';
  /** null: no selector, or one without labels. */
  readonly matchLabels: Readonly<Record<string, string>> | null;
  /** It is for gateways, waypoints or services: a sidecar ignores it. */
  readonly hasTargetRefs: boolean;
  readonly action: PolicyAction;
  /** CUSTOM only, else ''. */
  readonly provider: string;
  /** Annotation istio.io/dry-run. */
  readonly dryRun: boolean;
  readonly rules: readonly PolicyRule[];
}

/** security.istio.io RequestAuthentication. */
export interface RequestAuthentication extends ResourceOrigin {
  readonly kind: 'RequestAuthentication';
  readonly matchLabels: Readonly<Record<string, string>> | null;
  readonly hasTargetRefs: boolean;
  readonly rules: readonly RequestAuthenticationRule[];
}

/** A JWTRule, and how its keys are fetched: '' where `jwks` is inline or the URI is found by discovery. */
export interface RequestAuthenticationRule extends Omit<JwtRule, 'keySet' | 'from'> {
  readonly jwksUri: string;
  readonly timeoutMs: number;
}

/** MeshConfig.extensionProviders[] of the two ext_authz kinds; `service` as written. */
export interface ExtAuthzExtension extends Omit<ExtAuthzProvider, 'cluster' | 'host'> {
  /** `[namespace/]host`. */
  readonly service: string;
}

export interface ServicePort {
  /** '' when the only port has no name. */
  readonly name: string;
  readonly port: number;
  /** A number, or the name of a container port; `port` when the document has none. */
  readonly targetPort: number | string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly appProtocol: string | null;
  readonly position: Position;
}

/** v1 Service. */
export interface Service extends ResourceOrigin {
  readonly kind: 'Service';
  /** null: no selector (its endpoints are kept by someone else). */
  readonly selector: Readonly<Record<string, string>> | null;
  readonly ports: readonly ServicePort[];
  /** `clusterIPs`, or `clusterIP`; empty where the document names none. */
  readonly clusterIps: readonly string[];
  /** `clusterIP: None`. */
  readonly headless: boolean;
  /** `type: ExternalName`: the name that stands for it; else ''. */
  readonly externalName: string;
  /** Annotation networking.istio.io/exportTo; empty: every namespace. */
  readonly exportTo: readonly string[];
}

/** One instance of a service: a WorkloadEntry's spec, or an entry of ServiceEntry.endpoints. */
export interface WorkloadSpec {
  /** IP address, or a DNS name. */
  readonly address: string;
  /** Service port name → port of the instance. */
  readonly ports: Readonly<Record<string, number>>;
  readonly labels: Readonly<Record<string, string>>;
  /** '' where none is stated. */
  readonly serviceAccount: string;
  /** 0 where none is stated. */
  readonly weight: number;
}

/** networking.istio.io WorkloadEntry. */
export interface WorkloadEntry extends ResourceOrigin {
  readonly kind: 'WorkloadEntry';
  readonly spec: WorkloadSpec;
}

/** As Istio writes them; `HTTPS` and `TLS` are carried by SNI. */
export type IstioProtocol =
  | 'HTTP'
  | 'HTTPS'
  | 'GRPC'
  | 'GRPC-WEB'
  | 'HTTP2'
  | 'MONGO'
  | 'MYSQL'
  | 'REDIS'
  | 'TCP'
  | 'TLS'
  /** Sidecar egress only. */
  | 'HTTP_PROXY';

export interface ServiceEntryPort {
  readonly number: number;
  readonly name: string;
  /** null: not stated or not known to Istio, it is detected. */
  readonly protocol: IstioProtocol | null;
  /** `number` where the document has none. */
  readonly targetPort: number;
  readonly position: Position;
}

/** networking.istio.io ServiceEntry. */
export interface ServiceEntry extends ResourceOrigin {
  readonly kind: 'ServiceEntry';
  /** Lower case; a leading `*.` is a wildcard. */
  readonly hosts: readonly string[];
  /** IP addresses and CIDR blocks. */
  readonly addresses: readonly string[];
  readonly ports: readonly ServiceEntryPort[];
  readonly location: 'MESH_EXTERNAL' | 'MESH_INTERNAL';
  readonly resolution: 'NONE' | 'STATIC' | 'DNS' | 'DNS_ROUND_ROBIN';
  readonly endpoints: readonly WorkloadSpec[];
  /** null: none. */
  readonly workloadSelector: Readonly<Record<string, string>> | null;
  /** Empty: every namespace. */
  readonly exportTo: readonly string[];
  readonly subjectAltNames: readonly string[];
}

/** v1 Endpoints and discovery.k8s.io/v1 EndpointSlice, one shape: addresses of a Service, ready ones only. */
export interface ServiceEndpoints extends ResourceOrigin {
  readonly kind: 'Endpoints' | 'EndpointSlice';
  /** The Service of the same namespace. */
  readonly serviceName: string;
  readonly subsets: readonly {
    readonly addresses: readonly string[];
    readonly ports: readonly { readonly name: string; readonly port: number }[];
  }[];
}

export type ClientTlsMode = 'DISABLE' | 'SIMPLE' | 'MUTUAL' | 'ISTIO_MUTUAL';

/** DestinationRule ClientTLSSettings. */
export interface ClientTls {
  readonly mode: ClientTlsMode;
  /** Absolute paths; '' where not stated. */
  readonly clientCertificate: string;
  readonly privateKey: string;
  readonly caCertificates: string;
  /** null: not stated, which differs from an empty list. */
  readonly subjectAltNames: readonly string[] | null;
  /** '' where not stated. */
  readonly sni: string;
  readonly insecureSkipVerify: boolean;
  readonly position: Position;
}

export interface TrafficPolicy {
  /** null: it says nothing of TLS. */
  readonly tls: ClientTls | null;
  /** By service port. An entry replaces the whole policy for its port. */
  readonly ports: ReadonlyMap<number, { readonly tls: ClientTls | null }>;
}

/** networking.istio.io DestinationRule. */
export interface DestinationRule extends ResourceOrigin {
  readonly kind: 'DestinationRule';
  /** As written, lower case: a short name is of the rule's own namespace. */
  readonly host: string;
  readonly trafficPolicy: TrafficPolicy | null;
  /** Empty: every namespace. */
  readonly exportTo: readonly string[];
  /** Clients that it is for; null: all. */
  readonly workloadSelector: Readonly<Record<string, string>> | null;
}

export interface SidecarPort {
  /** 0 picks a free port. */
  readonly number: number;
  readonly name: string;
  readonly protocol: IstioProtocol | null;
}

export interface SidecarIngress {
  readonly port: SidecarPort;
  /** '' where not stated. */
  readonly bind: string;
  readonly captureMode: 'DEFAULT' | 'IPTABLES' | 'NONE';
  /** `HOST:PORT` of the app; null where not stated: app.host and the port's number. */
  readonly defaultEndpoint: { readonly host: string; readonly port: number } | null;
  readonly position: Position;
}

export interface SidecarEgress {
  /** null: no listener of its own, `hosts` says what captured connections may reach. */
  readonly port: SidecarPort | null;
  readonly bind: string;
  readonly captureMode: 'DEFAULT' | 'IPTABLES' | 'NONE';
  /** `namespace/dnsName`, each part may be `*`, the namespace `.` or `~`. */
  readonly hosts: readonly { readonly namespace: string; readonly host: string }[];
  readonly position: Position;
}

/** networking.istio.io Sidecar. */
export interface Sidecar extends ResourceOrigin {
  readonly kind: 'Sidecar';
  /** null: the whole namespace. */
  readonly workloadSelector: Readonly<Record<string, string>> | null;
  readonly ingress: readonly SidecarIngress[];
  /** null: not stated, everything may be reached. */
  readonly egress: readonly SidecarEgress[] | null;
  /** null: as MeshConfig says. */
  readonly outboundTrafficPolicy: OutboundTrafficMode | null;
}

export type OutboundTrafficMode = 'ALLOW_ANY' | 'REGISTRY_ONLY';

export type PathNormalizationSetting =
  | 'DEFAULT'
  | 'NONE'
  | 'BASE'
  | 'MERGE_SLASHES'
  | 'DECODE_AND_MERGE_SLASHES';

/** The fields of Istio's MeshConfig that this version acts on; absent ones have Istio's default. */
export interface MeshConfig {
  readonly trustDomain: string;
  readonly trustDomainAliases: readonly string[];
  readonly rootNamespace: string;
  /** 0: detection never times out. */
  readonly protocolDetectionTimeoutMs: number;
  readonly pathNormalization: PathNormalizationSetting;
  /** '' : no access log. */
  readonly accessLogFile: string;
  readonly accessLogEncoding: 'TEXT' | 'JSON';
  /** '' : Istio's default. */
  readonly accessLogFormat: string;
  readonly outboundTrafficPolicy: OutboundTrafficMode;
  readonly enableAutoMtls: boolean;
  /** ext_authz providers, in the order of the document. */
  readonly extAuthzProviders: readonly ExtAuthzExtension[];
  /** null when no document holds a MeshConfig: all of the above are defaults. */
  readonly position: Position | null;
  /** `trustDomain` → where it stands; null when no document holds a MeshConfig. */
  readonly positionOf: (path: string) => Position | null;
}

/** Every resource of one load, each list oldest first (creationTimestamp, then path bytes, then position). */
export interface Resources {
  readonly peerAuthentications: readonly PeerAuthentication[];
  readonly authorizationPolicies: readonly AuthorizationPolicy[];
  readonly requestAuthentications: readonly RequestAuthentication[];
  readonly services: readonly Service[];
  readonly serviceEntries: readonly ServiceEntry[];
  readonly workloadEntries: readonly WorkloadEntry[];
  readonly serviceEndpoints: readonly ServiceEndpoints[];
  readonly destinationRules: readonly DestinationRule[];
  readonly sidecars: readonly Sidecar[];
  readonly meshConfig: MeshConfig;
}
