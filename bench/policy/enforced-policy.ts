/**
 * What a sidecar of a policy scenario is given, what the load sends it, and what it must prove before it is timed.
 */
import type { CertificateFiles, Certificates } from '../certificates.ts';

export interface PolicyCase {
  /** For the one who reads that it failed: `a request without a token`. */
  readonly what: string;
  readonly path: string;
  /** Header lines, each with its line break. */
  readonly fields: string;
  readonly client: CertificateFiles;
  /** Where the client's connection comes from. */
  readonly localAddress: string;
  readonly status: number;
  /** What must be in the answer's body; `/headers` answers what reached the app. */
  readonly body: string;
}

export interface EnforcedPolicy {
  /** Istio's documents besides those of the workload itself. */
  readonly documents: readonly object[];
  /** Header lines of requests that are allowed, in turn over the requests; the first also for the check. */
  readonly requestFields: readonly string[];
  readonly cases: readonly PolicyCase[];
}

/** A client of the mesh at the app's path with nothing special, but for what is given. */
export function policyCase(
  certificates: Certificates,
  given: Pick<PolicyCase, 'what' | 'status'> & Partial<PolicyCase>,
): PolicyCase {
  return {
    path: '/bench',
    fields: '',
    client: certificates.client,
    localAddress: '127.0.0.1',
    body: '',
    ...given,
  };
}
