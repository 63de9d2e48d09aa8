/**
 * All that passes between the control half and the data half: plain, structured-cloneable values, the same
 * whether both run in one thread or the data half runs in workers.
 */
import type { Address } from './core/address.ts';
import type { FetchedKeySet } from './core/jwt-plan.ts';
import type { SecretMaterial } from './core/secret.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { CounterValues } from './observe/counters.ts';
import type { LoggerName } from './observe/log.ts';
import type { LogLevel } from './observe/loggers.ts';

export type ToData =
  /** `secret`: taken together with the snapshot, when its trust domains change; null: the one in force stays. */
  | {
      readonly kind: 'snapshot';
      readonly snapshot: Snapshot;
      readonly secret: SecretMaterial | null;
      /** Ports that another worker has bound already; null: this one binds first. */
      readonly bound: BoundPorts | null;
    }
  | { readonly kind: 'secret'; readonly secret: SecretMaterial }
  /** Opens the listeners. `reservedPorts`: what this process listens on besides; never proxied to. */
  | { readonly kind: 'listen'; readonly reservedPorts: readonly number[]; readonly bound: BoundPorts | null }
  /** Text of certificate and key files that DestinationRules name, by absolute path; replaces what came before. */
  | { readonly kind: 'tls-files'; readonly files: Readonly<Record<string, string>> }
  /** Key sets that were fetched, by name: each replaces what was known under it, others stay. */
  | { readonly kind: 'key-sets'; readonly keySets: readonly FetchedKeySet[] }
  | { readonly kind: 'levels'; readonly levels: Readonly<Record<LoggerName, LogLevel>> }
  /** Asks for a report with the same id. */
  | { readonly kind: 'report'; readonly id: number }
  /** Log files were moved away. */
  | { readonly kind: 'reopen-logs' }
  /** Stops accepting and ends what is idle; tunnels are cut after `tunnelMs`, all that is left after `maxMs`. */
  | { readonly kind: 'drain'; readonly tunnelMs: number; readonly maxMs: number }
  | { readonly kind: 'stop' };

export type FromData =
  | { readonly kind: 'listening'; readonly ports: BoundPorts }
  | { readonly kind: 'listen-failed'; readonly message: string }
  /** `ports`: what it listens on now; null before `listen`. */
  | { readonly kind: 'snapshot-applied'; readonly generation: number; readonly ports: BoundPorts | null }
  /** Nothing of it is in force. */
  | { readonly kind: 'snapshot-refused'; readonly generation: number; readonly message: string }
  | { readonly kind: 'secret-installed'; readonly version: number }
  | { readonly kind: 'secret-refused'; readonly version: number; readonly message: string }
  | { readonly kind: 'report'; readonly id: number; readonly report: DataReport }
  | { readonly kind: 'drained' };

/** Ports as bound: 0 has become a number. */
export interface BoundPorts {
  readonly intercept: number;
  readonly inbound: number | null;
  /** By the listener's key. */
  readonly ingress: Readonly<Record<string, number>>;
  readonly egress: Readonly<Record<string, number>>;
}

/** What the admin server shows of a data half. */
export interface DataReport {
  readonly counters: CounterValues;
  readonly connections: readonly ConnectionReport[];
  /** Live connections in all; `connections` is cut. */
  readonly connectionCount: number;
}

export interface ConnectionReport {
  readonly id: number;
  readonly direction: 'inbound' | 'outbound';
  readonly phase: string;
  readonly chain: string;
  readonly destination: Address;
  readonly remote: Address;
  readonly peer: string;
  readonly peerSerials: readonly string[];
  readonly policyGeneration: number;
  readonly ageMs: number;
  readonly requests: number;
}
