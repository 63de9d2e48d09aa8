import type { ExchangeOpener } from './exchange.ts';
import type { FilterChain } from './filter-chain.ts';

/** Where the requests of a chain go and what they meet on the way: one object a snapshot and port. */
export interface HttpRoute {
  readonly filters: FilterChain;
  readonly opener: ExchangeOpener;
  /** What Host says to the upstream when an HTTP/1.0 client sent none. */
  readonly defaultAuthority: string;
  /** Envoy's cluster name, `inbound|8080||`. */
  readonly cluster: string;
  /** Envoy's route name, `default`. */
  readonly routeName: string;
  /** Counts a retry, and that one was answered. */
  onRetry(): void;
  onRetryAnswered(): void;
}
