/** What a server connection is told, whatever the protocol version that it speaks. */
import type { Limits } from '../core/limits.ts';

export interface ServerConnectionOptions {
  readonly limits: Limits;
  /** Lower-case names, besides the built-in ones, that `_` for `-` must not alias. */
  readonly protectedNames: ReadonlySet<string>;
  /** An exception in a handler: the connection is destroyed; this counts and logs it. */
  readonly onBug: (thrown: unknown) => void;
}
