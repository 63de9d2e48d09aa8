/**
 * What a validated Istio or Kubernetes document is to the rest of the program, and where it stands in its file.
 *
 * Plain values: every field has its default filled in, ports are numbers, modes are checked.
 */

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

/** security.istio.io PeerAuthentication (semantics 3.1). */
export interface PeerAuthentication extends ResourceOrigin {
  readonly kind: 'PeerAuthentication';
  /** null: no selector, or one without labels. */
  readonly matchLabels: Readonly<Record<string, string>> | null;
  /** null: `mtls` is absent. */
  readonly mode: PeerMtlsMode | null;
  /** By workload port. */
  readonly portModes: ReadonlyMap<number, PeerMtlsMode>;
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
}

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
  /** null when no document holds a MeshConfig: all of the above are defaults. */
  readonly position: Position | null;
  /** `trustDomain` → where it stands; null when no document holds a MeshConfig. */
  readonly positionOf: (path: string) => Position | null;
}

/** Every resource of one load, each list oldest first (creationTimestamp, then path bytes, then position). */
export interface Resources {
  readonly peerAuthentications: readonly PeerAuthentication[];
  readonly services: readonly Service[];
  readonly meshConfig: MeshConfig;
}
