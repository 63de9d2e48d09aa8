/**
 * Calls back at fixed moments, to some tens of microseconds. Node's own timers are whole milliseconds, which is more
 * than the latencies that are to be measured; so a thread sleeps instead and wakes this one by a message.
 */
import { Worker } from 'node:worker_threads';

export interface Pacer {
  stop(): void;
}

export interface PacerData {
  readonly periodMs: number;
  /** By process.hrtime, the one clock that threads share. */
  readonly startHrMs: number;
}

/** Until the thread runs. */
const HEAD_START_MS = 100;

/** `onDue` gets the moment (performance.now()) that was planned; after a stall it is called for each one missed. */
export function startPacer(ratePerSecond: number, onDue: (dueMs: number) => void): Pacer {
  const periodMs = 1000 / ratePerSecond;
  const startMs = performance.now() + HEAD_START_MS;
  const workerData: PacerData = {
    periodMs,
    startHrMs: Number(process.hrtime.bigint()) / 1e6 + HEAD_START_MS,
  };
  const thread = new Worker(new URL('./pacer-thread.ts', import.meta.url), { workerData });
  let next = 0;
  let dueMs = startMs;
  thread.on('message', () => {
    while (dueMs <= performance.now()) {
      onDue(dueMs);
      next += 1;
      dueMs = startMs + next * periodMs;
    }
  });
  return {
    stop: () => {
      dueMs = Number.POSITIVE_INFINITY;
      void thread.terminate();
    },
  };
}
