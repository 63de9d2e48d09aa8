/**
 * What the load generator is told on its command line and what it prints when it has finished.
 */

export type LoadMode = 'closed' | 'rate' | 'full' | 'resumed' | 'short' | 'idle' | 'download' | 'upload';

/** The client's certificate, and what the server's must be. */
export interface LoadTls {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly rootsFile: string;
  /** The URI SAN that the server's certificate must have. */
  readonly serverUri: string;
}

export interface LoadJob {
  /**
   * `closed`: each connection sends its next request when it has the answer. `rate`: a fixed number a second.
   * `full`, `resumed`: a connection, and so a handshake, for each request. `idle`: opens connections and holds them.
   * `short`: `total` connections with one request each, half of them closed by either side, however long it takes.
   * `download`, `upload`: endless bytes on each connection, which the result counts as its requests.
   */
  readonly mode: LoadMode;
  readonly port: number;
  /** The Host that requests name. */
  readonly host: string;
  /** Header lines that requests have besides the usual ones, in turn over all requests; none: []. */
  readonly requestFields: readonly string[];
  readonly connections: number;
  readonly ratePerSecond: number;
  /** Of `short`. */
  readonly total: number;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** null: plain, as an app speaks to its sidecar. */
  readonly tls: LoadTls | null;
  /** Processes of each proxy, whose CPU time is read at both edges of the measured time. */
  readonly proxies: readonly (readonly number[])[];
  /** The CPU that they are pinned to, to see whether others used it too; null: not pinned. */
  readonly proxyCpu: number | null;
}

export interface LoadResult {
  /** Answers, each checked, within the measured time. */
  readonly requests: number;
  readonly seconds: number;
  /** CPU seconds of all of the job's processes in that time. */
  readonly cpuSeconds: number;
  /** The same of each proxy, in the job's order. */
  readonly cpuSecondsEach: readonly number[];
  /** CPU seconds that others used on the pinned CPU; 0 if not pinned. */
  readonly foreignCpuSeconds: number;
  /** CPU seconds of the load generator itself. */
  readonly loadCpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** `rate`: how late the load itself was with 99 of 100 requests, which their latencies contain. */
  readonly lagP99Us: number;
  /** Handshakes that resumed a session. */
  readonly resumed: number;
}
