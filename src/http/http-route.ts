import type { ErrorCodeName } from '../core/errors.ts';
import type { ExchangeOpener } from './exchange.ts';
import type { FilterChain } from './filter-chain.ts';
import type { ReservedNames } from './reserved-names.ts';

/** Where requests go and what they meet on the way: one object a snapshot and destination. */
export interface HttpRoute {
  readonly filters: FilterChain;
  readonly opener: ExchangeOpener;
  /** What Host says to the upstream when an HTTP/1.0 client sent none. */
  readonly defaultAuthority: string;
  /** Envoy's cluster name, `inbound|8080||`. */
  readonly cluster: string;
  /** Envoy's route name, `default`. */
  readonly routeName: string;
  /** Answered here and not forwarded: why, or null. */
  readonly refuse: ErrorCodeName | null;
  /** More attempts after one that could not connect (Istio: 2 outbound, 0 inbound). */
  readonly connectRetries: number;
  /** Tells the upstream which attempt it is: x-envoy-attempt-count. */
  readonly sendsAttemptCount: boolean;
  /** What `server` says in answers: `istio-envoy` inbound, `envoy` outbound. */
  readonly serverName: string;
  /** Fields that only the filters give: none of these passes in the trailers, which no filter sees. */
  readonly reservedNames: ReservedNames;
  /** Counts a retry, and that one was answered. */
  onRetry(): void;
  onRetryAnswered(): void;
}
