/**
 * Work that would hold the event loop up, written as a generator that yields between its steps: done at once where
 * nobody waits, or a few milliseconds at a stretch beside connections that are being served.
 */
import { monotonicMs } from './clock.ts';

/** Yields wherever the work may be interrupted. */
export type Steps<T> = Generator<void, T, void>;

/** A request that comes meanwhile waits no longer than this, but for one step that takes more. */
const SLICE_MS = 5;

export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

export async function inSlices<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const endMs = monotonicMs() + SLICE_MS;
    do {
      const step = steps.next();
      if (step.done === true) return step.value;
    } while (monotonicMs() < endMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
