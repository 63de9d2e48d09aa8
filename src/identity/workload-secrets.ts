/**
 * What the agent's two halves say to each other: the one that keeps a workload's certificate in force, and the SDS
 * server that gives it out. Values of these types hold a private key: they are never logged, dumped or written.
 */

/** One certificate, its key and the roots that came with it. */
export interface WorkloadSecret {
  /** Leaf, intermediates, root last: as Istio's CA answers. */
  readonly chainPem: string;
  readonly keyPem: string;
  /** Every root that is trusted, each once, sorted. */
  readonly rootsPem: string;
  /** Of the leaf, lower-case hex. */
  readonly serial: string;
  readonly notAfterMs: number;
}

export interface SecretProvider {
  /**
   * The secret in force, or asks for one. `token`: what the SDS stream gave as bearer, '' for none.
   * Rejects with MeshError; concurrent calls make one CSR.
   */
  get(token: string): Promise<WorkloadSecret>;
  /** Told of each new version until the returned function is called. */
  subscribe(onChange: () => void): () => void;
}
