/**
 * Collects what is odd while a plan is made, up to a bound: nothing is said twice of one place, and warnings past the
 * bound are counted. Errors are all kept, for they forbid the load.
 */
import { CONFIG_LIMITS } from '../config/config-limits.ts';
import type { ResourceOrigin } from '../config/resources.ts';
import { nameOf, type PlanWarning, type PlanWarningCode, planWarning } from './plan-warning.ts';

export class WarningList {
  readonly #warnings: PlanWarning[] = [];
  readonly #said = new Set<string>();
  #dropped = 0;

  /** About `path` of a document. */
  add(
    code: PlanWarningCode,
    resource: ResourceOrigin,
    path: string,
    message: string,
    fix: string,
    severity: PlanWarning['severity'] = 'warning',
  ): void {
    if (severity === 'warning' && this.#warnings.length >= CONFIG_LIMITS.maxProblems) {
      this.#dropped += 1;
      return;
    }
    const { file, line, column } = resource.position;
    const what = `${code}\n${path}\n${nameOf(resource)}\n${file}:${line}:${column}`;
    if (this.#said.has(what)) return;
    this.#said.add(what);
    this.#warnings.push(planWarning(code, resource, path, message, fix, severity));
  }

  /** The last one says how many were dropped. */
  get all(): readonly PlanWarning[] {
    const last = this.#warnings.at(-1);
    if (this.#dropped === 0 || last === undefined) return this.#warnings;
    const { column, file, line } = last;
    const message = `${this.#dropped} more warnings are not shown`;
    const fix = 'act on those above first';
    return [
      ...this.#warnings,
      { file, line, column, path: '', severity: 'warning', code: 'too_many', message, fix },
    ];
  }
}
