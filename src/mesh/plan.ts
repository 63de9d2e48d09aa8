/**
 * The snapshot: everything that the data half needs to know of the configuration, for one workload.
 *
 * Plain and structured-cloneable; a reload makes a whole new one and the data half swaps one pointer.
 */
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
  readonly inbound: {
    /** Plans by workload port, as text keys so that the value can be cloned and printed. */
    readonly ports: Readonly<Record<string, PortPlan>>;
    /** For every other port. */
    readonly passthrough: PortPlan;
  };
}
