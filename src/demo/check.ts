/**
 * A claim of the demo: what is expected is written down before, what was got is made from an answer alone,
 * and the two are compared. A claim that cannot be tried does not hold.
 */
import { whyOf } from '../core/errors.ts';
import type { DemoMesh } from './demo-mesh.ts';

export interface Observation {
  /** In the words of `expected`, from what really came back. */
  readonly got: string;
  /** What else was seen: the log's hint, how many requests. */
  readonly notes: readonly string[];
}

export interface PlannedCheck {
  readonly name: string;
  readonly expected: string;
  /** Does it for real. Whatever it throws fails the check. */
  observe(mesh: DemoMesh): Promise<Observation>;
}

/** Checks that belong together, in the order in which they run. */
export interface Scenario {
  readonly title: string;
  readonly checks: readonly PlannedCheck[];
}

export interface CheckResult extends Observation {
  readonly name: string;
  readonly expected: string;
  readonly ok: boolean;
  readonly durationMs: number;
}

/** Runs one check, no longer than until `signal` aborts. Never rejects. */
export async function runCheck(
  check: PlannedCheck,
  mesh: DemoMesh,
  signal: AbortSignal,
): Promise<CheckResult> {
  const startedMs = performance.now();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  try {
    signal.throwIfAborted();
    signal.addEventListener('abort', onAbort);
    const { got, notes } = await Promise.race([check.observe(mesh), aborted.promise]);
    const durationMs = performance.now() - startedMs;
    return { name: check.name, expected: check.expected, got, ok: got === check.expected, notes, durationMs };
  } catch (thrown) {
    return { ...failedCheck(check, whyOf(thrown)), durationMs: performance.now() - startedMs };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** The result of a check that could not be tried. */
export function failedCheck(check: PlannedCheck, why: string): CheckResult {
  const { name, expected } = check;
  return { name, expected, got: `no answer to compare: ${why}`, ok: false, notes: [], durationMs: 0 };
}
