/** Runs the demo in this process, quietly, on scenarios of a test's choice. */
import assert from 'node:assert/strict';
import type { CheckResult, Scenario } from '../../src/demo/check.ts';
import type { DemoMesh } from '../../src/demo/demo-mesh.ts';
import { type DemoReporter, type DemoResult, runDemo } from '../../src/demo/run-demo.ts';

const SILENT: DemoReporter = {
  started() {},
  notStarted() {},
  scenario() {},
  checked() {},
  finished() {},
  serving() {},
};

interface Run {
  readonly scenarios: readonly Scenario[];
  readonly onStarted?: (mesh: DemoMesh) => Promise<void>;
  readonly stop?: AbortSignal;
  readonly deadlineMs?: number;
}

export function runOnce({ stop, ...rest }: Run): Promise<DemoResult> {
  return runDemo({ once: true, stop: stop ?? new AbortController().signal, reporter: SILENT, ...rest });
}

export function checkNamed({ checks }: DemoResult, name: string): CheckResult {
  const found = checks.find((check) => check.name === name);
  assert.ok(found, `no check "${name}"`);
  return found;
}
