/** Collects what is odd while a plan is made; nothing is said twice of one place. */
import type { ResourceOrigin } from '../config/resources.ts';
import { nameOf, type PlanWarning, type PlanWarningCode, planWarning } from './plan-warning.ts';

export class WarningList {
  readonly #warnings: PlanWarning[] = [];
  readonly #said = new Set<string>();

  /** About `path` of a document. */
  add(
    code: PlanWarningCode,
    resource: ResourceOrigin,
    path: string,
    message: string,
    fix: string,
    severity: PlanWarning['severity'] = 'warning',
  ): void {
    const { file, line, column } = resource.position;
    const what = `${code}\n${path}\n${nameOf(resource)}\n${file}:${line}:${column}`;
    if (this.#said.has(what)) return;
    this.#said.add(what);
    this.#warnings.push(planWarning(code, resource, path, message, fix, severity));
  }

  get all(): readonly PlanWarning[] {
    return this.#warnings;
  }
}
