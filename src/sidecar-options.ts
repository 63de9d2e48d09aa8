import type { Filter } from './http/filter.ts';
import type { AppTarget } from './intercept/direction.ts';
import type { FromData } from './messages.ts';
import type { Loggers } from './observe/loggers.ts';

/** What a data half is told once, at its start. */
export interface SidecarOptions {
  readonly bind: string;
  readonly port: number;
  /** null: no inbound-only listener. */
  readonly inboundPort: number | null;
  readonly direct: AppTarget | null;
  readonly appHost: string;
  readonly reusePort: boolean;
  /** The embedding program's own filters, after the built-in ones. */
  readonly filters: readonly Filter[];
  readonly loggers: Loggers;
  readonly send: (message: FromData) => void;
}
