/**
 * Documents on disk → the snapshot of one workload, or every reason why there is none. Used at start, at each
 * reload, and by `validate`, so that all three say the same.
 */
import { loadDocumentsSteps } from './config/documents.ts';
import type { MeshConfig } from './config/resources.ts';
import type { PosternConfig } from './config/postern-config.ts';
import { hasErrors } from './config/problem.ts';
import type { Problem } from './config/problem.ts';
import { atOnce } from './core/in-slices.ts';
import type { Steps } from './core/in-slices.ts';
import { buildSnapshot } from './mesh/build-snapshot.ts';
import type { PlanWarning } from './mesh/plan-warning.ts';
import type { AccessLogPlan, Snapshot } from './mesh/plan.ts';
import { compileAccessLogFormat } from './observe/access-log-format.ts';

/** A problem of a document, or an oddity of the plan made from it. */
export type Finding = Problem | PlanWarning;

export interface LoadedMesh {
  /** null: some finding is an error. */
  readonly snapshot: Snapshot | null;
  readonly findings: readonly Finding[];
  /** Files that were read. */
  readonly files: readonly string[];
  /** `apps/v1 Deployment` → how many documents were skipped. */
  readonly skippedKinds: ReadonlyMap<string, number>;
}

export function loadMesh(config: PosternConfig, generation: number): LoadedMesh {
  return atOnce(loadMeshSteps(config, generation));
}

/** The same, to be done beside connections that are being served. */
export function* loadMeshSteps(config: PosternConfig, generation: number): Steps<LoadedMesh> {
  const { files, problems, resources, skippedKinds } = yield* loadDocumentsSteps(config.config);
  if (hasErrors(problems)) return { snapshot: null, findings: problems, files, skippedKinds };
  const { snapshot, warnings } = buildSnapshot({
    resources,
    workload: config.workload,
    limits: config.limits,
    generation,
    appHost: config.app.host,
    accessLog: accessLogPlan(config),
  });
  const findings: Finding[] = [...problems, ...warnings, ...accessLogFindings(resources.meshConfig)];
  return {
    snapshot: findings.some(({ severity }) => severity === 'error') ? null : snapshot,
    findings,
    files,
    skippedKinds,
  };
}

/** A format that cannot be used is found before a log is opened with it. */
export function accessLogFindings(meshConfig: MeshConfig): Finding[] {
  const format = compileAccessLogFormat(meshConfig.accessLogEncoding, meshConfig.accessLogFormat);
  const position = meshConfig.positionOf('accessLogFormat');
  if (position === null) return [];
  const { file, line, column } = position;
  const place = { file, line, column, path: 'accessLogFormat' };
  const fix = "use Envoy's command operators as the README lists them";
  if (!format.ok) return [{ ...place, severity: 'error', code: 'bad_value', message: format.error, fix }];
  return format.neverFilled.map((operator): Finding => {
    const message = `"${operator}" has no value here and is always "-"`;
    return {
      file,
      line,
      column,
      path: 'accessLogFormat',
      severity: 'warning',
      code: 'ignored_field',
      message,
      fix: 'leave it out',
    };
  });
}

function accessLogPlan({ accessLog }: PosternConfig): AccessLogPlan | null {
  if (accessLog === null) return null;
  return { path: accessLog.path, encoding: accessLog.format === 'json' ? 'JSON' : 'TEXT', format: '' };
}

/** `FILE:LINE:COL: PATH: message; fix`, whatever it is about. */
export function formatFinding(finding: Finding): string {
  const place = `${finding.file}:${finding.line}:${finding.column}: `;
  const path = finding.path === '' ? '' : `${finding.path}: `;
  const fix = finding.fix === '' ? '' : `; ${finding.fix}`;
  return `${place}${path}${finding.message}${fix}`;
}
