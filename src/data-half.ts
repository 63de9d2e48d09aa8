/**
 * A data half as the control half has it: something that takes `ToData`, gives `FromData`, and may die.
 *
 * It runs in this thread (`data-in-thread.ts`) or in a worker (`data-thread.ts`); nobody but those two files knows.
 */
import type { FromData, ToData } from './messages.ts';
import type { SidecarOptions } from './sidecar-options.ts';

export interface DataHalf {
  send(message: ToData): void;
  /** Ends it, whatever it is doing. Settles when it is gone. */
  end(): Promise<void>;
}

export interface DataHalfEvents {
  readonly onMessage: (message: FromData) => void;
  /** It ended without having been told to; nothing comes from it any more. */
  readonly onDied: (why: string) => void;
}

/** Starts the data half of this number; the first is 1. */
export type StartDataHalf = (worker: number, events: DataHalfEvents) => DataHalf;

/** What a data half is told at its start whatever thread it runs in: plain values. */
export type DataSettings = Omit<SidecarOptions, 'filters' | 'loggers' | 'send'>;

/** What a worker is told at its start. */
export interface WorkerStart {
  /** From 1; its log lines say it. */
  readonly worker: number;
  readonly settings: DataSettings;
  /** Where its log lines go: to stderr, or to whoever started it. */
  readonly logTo: 'stderr' | 'parent';
}

/** What a worker's port carries; log lines only where `logTo` says so. */
export type FromWorker = FromData | { readonly kind: 'log-line'; readonly line: string };
