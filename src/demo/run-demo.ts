/**
 * Runs the demo: starts what the checks need, runs them in order, reports each, and, unless it is to run once,
 * serves until it is told to stop. It ends what it opened, and no check can make it hang.
 */
import { whyOf } from '../core/errors.ts';
import { StartError } from '../index.ts';
import { type CheckResult, failedCheck, runCheck, type Scenario } from './check.ts';
import { DemoMesh, type DemoMeshOptions } from './demo-mesh.ts';
import { SCENARIOS } from './scenarios.ts';

/** All checks together take no longer. */
const CHECKS_DEADLINE_MS = 30_000;

/** Hears what happens while it happens. */
export interface DemoReporter {
  started(mesh: DemoMesh): void;
  /** Instead of `started`; then no check is tried or reported one by one. */
  notStarted(why: string): void;
  scenario(title: string): void;
  checked(result: CheckResult): void;
  finished(result: DemoResult): void;
  /** Not with `once`, and only if there is something that serves. */
  serving(mesh: DemoMesh): void;
}

export interface DemoOptions {
  /** End after the checks. */
  readonly once: boolean;
  /** Ends the demo at any point. */
  readonly stop: AbortSignal;
  readonly reporter: DemoReporter;
  readonly scenarios?: readonly Scenario[];
  /** Of all checks together. */
  readonly deadlineMs?: number;
  /** How tests break the mesh from the start. */
  readonly mesh?: DemoMeshOptions;
  /** Called before the first check: how tests break what the checks look at. */
  readonly onStarted?: (mesh: DemoMesh) => Promise<void>;
}

export interface DemoResult {
  readonly ok: boolean;
  /** Whether there was anything to try the checks on. */
  readonly started: boolean;
  readonly checks: readonly CheckResult[];
  readonly durationMs: number;
}

export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const { once, stop, reporter, deadlineMs = CHECKS_DEADLINE_MS } = options;
  const startedMs = performance.now();
  const ending = new AbortController();
  const onStop = (): void => ending.abort(new Error('the demo was stopped'));
  const timer = setTimeout(() => {
    ending.abort(new Error(`the checks took more than ${deadlineMs} ms`));
  }, deadlineMs);
  stop.addEventListener('abort', onStop);
  if (stop.aborted) onStop();
  let mesh: DemoMesh | null = null;
  try {
    let whyNot = '';
    try {
      mesh = await DemoMesh.start(ending.signal, options.mesh);
      await options.onStarted?.(mesh);
      reporter.started(mesh);
    } catch (thrown) {
      whyNot = thrown instanceof StartError ? thrown.lines.join('; ') : whyOf(thrown);
      reporter.notStarted(whyNot);
    }
    const checks: CheckResult[] = [];
    for (const { title, checks: planned } of options.scenarios ?? SCENARIOS) {
      // What is not tried any more is in the result, and makes no lines.
      const isTold = mesh !== null && !stop.aborted;
      if (isTold) reporter.scenario(title);
      for (const check of planned) {
        const result =
          mesh === null ? failedCheck(check, whyNot) : await runCheck(check, mesh, ending.signal);
        checks.push(result);
        if (isTold) reporter.checked(result);
      }
    }
    clearTimeout(timer);
    const ok = checks.every((check) => check.ok);
    const result = { ok, started: mesh !== null, checks, durationMs: performance.now() - startedMs };
    reporter.finished(result);
    if (!once && mesh !== null && !stop.aborted) {
      reporter.serving(mesh);
      await aborted(stop);
    }
    return result;
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', onStop);
    // Ends what a check that was given up has left open.
    ending.abort(new Error('the demo is over'));
    await mesh?.close();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (signal.aborted) resolve();
  return promise;
}
