/**
 * Finds sockets, servers, timers, watchers and child processes that a test left behind.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach } from 'node:test';

/** Standard streams and one-turn work come and go with the runner itself. */
const NOT_OURS = new Set(['TTYWrap', 'PipeWrap', 'Immediate', 'FSReqPromise', 'FSReqCallback', 'CloseReq']);

export type Resources = ReadonlyMap<string, number>;

/** What keeps the event loop alive now, counted by kind. */
export function activeResources(): Resources {
  const counts = new Map<string, number>();
  for (const kind of process.getActiveResourcesInfo()) {
    if (!NOT_OURS.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Kinds of which there are now more than before, as `TCPSocketWrap +2`; '' when none. */
export function leaked(before: Resources, now: Resources = activeResources()): string {
  const more: string[] = [];
  for (const [kind, count] of now) {
    const was = before.get(kind) ?? 0;
    if (count > was) more.push(`${kind} +${count - was}`);
  }
  return more.toSorted().join(', ');
}

/** Waits until nothing is left over against `before`; fails with what is. Handles close a few turns after `close()`. */
export async function assertNoLeak(before: Resources, withinMs = 2_000): Promise<void> {
  const until = performance.now() + withinMs;
  let left = leaked(before);
  while (left !== '' && performance.now() < until) {
    await new Promise<void>((resume) => {
      setImmediate(resume);
    });
    left = leaked(before);
  }
  assert.equal(left, '', `left behind after the test: ${left}`);
}

/** In a `describe` or at the top of a file: every test must end with no more resources than it began with. */
export function checkLeaks(withinMs = 2_000): void {
  let before: Resources = new Map();
  beforeEach(() => {
    before = activeResources();
  });
  afterEach(async () => {
    await assertNoLeak(before, withinMs);
  });
}
