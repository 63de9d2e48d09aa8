/**
 * Every bound on what a peer can make this proxy hold or wait for.
 *
 * Sizes are bytes, times milliseconds. `postern.yaml` overrides them under `limits`.
 */

export interface Limits {
  readonly maxConnections: number;
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  readonly maxChunkExtensionBytes: number;
  readonly maxPipelined: number;
  readonly sniffTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  readonly headTimeoutMs: number;
  readonly bodyStallTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly maxIdlePerEndpoint: number;
  readonly maxExtAuthzPending: number;
  /** null: as MeshConfig's extension provider says. */
  readonly maxExtAuthzBodyBytes: number | null;
  readonly maxJwksBytes: number;
  readonly maxJwksKeys: number;
  readonly jwtCacheEntries: number;
  /** 0: off. */
  readonly maxConnectionAgeMs: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxConnections: 10_000,
  maxHeadBytes: 61_440,
  maxHeaders: 100,
  maxChunkExtensionBytes: 1_024,
  maxPipelined: 16,
  sniffTimeoutMs: 15_000,
  handshakeTimeoutMs: 10_000,
  headTimeoutMs: 60_000,
  bodyStallTimeoutMs: 300_000,
  idleTimeoutMs: 3_600_000,
  connectTimeoutMs: 10_000,
  maxIdlePerEndpoint: 128,
  maxExtAuthzPending: 1_024,
  maxExtAuthzBodyBytes: null,
  maxJwksBytes: 1_048_576,
  maxJwksKeys: 512,
  jwtCacheEntries: 10_000,
  maxConnectionAgeMs: 0,
};

/** What each limit bounds and what a peer sees at it; `validate --limits` and the README print these. */
export const LIMIT_MEANINGS: Readonly<Record<keyof Limits, string>> = {
  maxConnections: 'open downstream connections, shared evenly by workers; one more is closed at once',
  maxHeadBytes: 'bytes of a request or response head; more is 431',
  maxHeaders: 'header fields of a head; more is 431',
  maxChunkExtensionBytes: 'bytes of chunk extensions of one body; more is 400',
  maxPipelined: 'requests read ahead on one connection; then reading stops',
  sniffTimeoutMs: 'to send enough bytes to tell the protocol; then the connection is closed',
  handshakeTimeoutMs: 'to finish a TLS handshake; then the connection is closed',
  headTimeoutMs: 'from the first byte of a request head to its last; then 408',
  bodyStallTimeoutMs:
    'without a byte of a body, an answer or a tunnel that is owed; then 408, 504 or a close',
  idleTimeoutMs: 'without any byte on a keep-alive connection or a tunnel; then a close',
  connectTimeoutMs: 'to connect to an upstream; then 503',
  maxIdlePerEndpoint: 'idle connections kept to one upstream endpoint; the oldest goes',
  maxExtAuthzPending: 'ext_authz checks in flight',
  maxExtAuthzBodyBytes: 'bytes of a body held for an ext_authz check; unset: as the provider says',
  maxJwksBytes: 'bytes of a key set',
  maxJwksKeys: 'keys of a key set',
  jwtCacheEntries: 'verified tokens remembered',
  maxConnectionAgeMs: 'age at which a connection is asked to close; 0: never',
};
