/**
 * A filter of one's own: at most so many requests a second for each principal.
 *
 * It runs behind Postern's own filters, so whom a policy denies takes nothing from anybody's bucket, and the principal
 * is one that the handshake proved. Every worker has its own filters; they need `concurrency: 1`.
 */
import { CONTINUE, type ConnectionFacts, type Filter, type Verdict } from '../../src/index.ts';

export interface RateLimitOptions {
  readonly requestsPerSecond: number;
  /** How many may come at once after a pause. */
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  filledAtMs: number;
}

/** Who comes may be chosen by attackers: beyond this many the one that was quiet longest starts anew. */
const MAX_PRINCIPALS = 10_000;

export function rateLimit({ requestsPerSecond, burst }: RateLimitOptions): Filter {
  const buckets = new Map<string, Bucket>();

  const take = (principal: string): boolean => {
    const nowMs = performance.now();
    const bucket = buckets.get(principal) ?? { tokens: burst, filledAtMs: nowMs };
    const earned = ((nowMs - bucket.filledAtMs) / 1000) * requestsPerSecond;
    bucket.tokens = Math.min(burst, bucket.tokens + earned);
    bucket.filledAtMs = nowMs;
    // A Map keeps the order of insertion: the first key is the one that was quiet longest.
    buckets.delete(principal);
    buckets.set(principal, bucket);
    if (buckets.size > MAX_PRINCIPALS) buckets.delete(buckets.keys().next().value!);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  };

  const judge = ({ peer, remote }: ConnectionFacts): Verdict => {
    const principal = peer?.spiffeId ?? `plaintext ${remote.ip}`;
    if (take(principal)) return CONTINUE;
    return {
      kind: 'deny',
      code: 'filter_denied',
      status: 429,
      body: 'too many requests\n',
      headers: ['retry-after', String(Math.ceil(1 / requestsPerSecond))],
      // What the access log shows, and what only the log shows.
      details: 'rate_limited',
      why: `${principal} has more than ${requestsPerSecond} requests a second`,
    };
  };

  return {
    name: 'rate-limit',
    onRequest: ({ connection }) => judge(connection),
    // TCP chains: each connection counts once.
    onConnection: judge,
  };
}
