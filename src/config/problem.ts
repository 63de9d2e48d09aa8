/**
 * One thing that is wrong or ignored in a configuration file, with its place and what would be right.
 */
import type { Position } from './resources.ts';

export type Severity = 'error' | 'warning' | 'info';

/** The shape that `validate --output json` prints. */
export interface Problem extends Position {
  /** Of the field: `spec.portLevelMtls.8080.mode`; '' for the document as a whole. */
  readonly path: string;
  readonly severity: Severity;
  /** Stable, from `PROBLEM_CODES`. */
  readonly code: ProblemCode;
  /** What was found. */
  readonly message: string;
  /** What to write instead. */
  readonly fix: string;
}

/** Every code a problem can have; tests and scripts key on these, messages may change. */
export const PROBLEM_CODES = {
  unreadable: 'the file or folder cannot be read',
  too_large: 'a file, or the number of files or documents, exceeds its limit',
  not_utf8: 'the file is not UTF-8 text',
  syntax: 'the text is not valid YAML or JSON',
  duplicate_key: 'a mapping has the same key twice',
  bad_key: 'a key is not text, or is a name that no field can have',
  not_a_document: 'the document is not a mapping with apiVersion and kind',
  missing_field: 'a field that must be there is not',
  unknown_field: 'the API has no such field',
  unknown_kind: 'the API group has no such kind',
  unknown_version: 'the API group has no such version',
  wrong_type: 'the value has another type',
  bad_value: 'the value is not one of those allowed',
  out_of_range: 'the number is outside its range',
  conflict: 'two settings exclude each other',
  duplicate_resource: 'the same resource, or a second MeshConfig, is defined twice',
  not_enforced: 'this version cannot enforce it, and ignoring it could let more through',
  ignored_kind: 'this version does not act on this kind',
  ignored_field: 'this version does not act on this field',
  skipped_kinds: 'documents of other API groups are skipped',
  never_matches: 'a value of a policy can match nothing',
  denies_tcp: 'a DENY rule has HTTP attributes only and denies every connection to TCP ports',
  private_key: 'a key set holds a key that must stay secret',
  not_usable_yet: 'this version cannot use this setting yet',
  empty: 'no document was found where one was expected',
} as const;

export type ProblemCode = keyof typeof PROBLEM_CODES;

/** `FILE:LINE:COL: PATH: message; fix`. */
export function formatProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}: `;
  const path = problem.path === '' ? '' : `${problem.path}: `;
  const fix = problem.fix === '' ? '' : `; ${problem.fix}`;
  return `${place}${path}${problem.message}${fix}`;
}

/** Whether any of them forbids to start or to reload. */
export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === 'error');
}

/** Collects problems up to a bound; those past it are counted. */
export class ProblemList {
  readonly #kept: Problem[] = [];
  readonly #limit: number;
  /** The shape check and the typed reading may both find one fault. */
  readonly #seen = new Set<string>();
  #dropped = 0;
  #errors = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(
    severity: Severity,
    code: ProblemCode,
    position: Position,
    path: string,
    message: string,
    fix: string,
  ): void {
    const { file, line, column } = position;
    const identity = `${file}\n${line}:${column}:${code}:${path}`;
    if (this.#seen.has(identity)) return;
    if (severity === 'error') this.#errors += 1;
    // An error is never lost among warnings: it is what forbids to start.
    if (this.#kept.length >= this.#limit && !(severity === 'error' && this.#errors === 1)) {
      this.#dropped += 1;
      return;
    }
    this.#seen.add(identity);
    this.#kept.push({ file, line, column, path, severity, code, message, fix });
  }

  /** In the order of files, lines and columns; a last one says how many were dropped. */
  sorted(): Problem[] {
    const sorted = this.#kept.toSorted(
      (a, b) => compareBytes(a.file, b.file) || a.line - b.line || a.column - b.column,
    );
    if (this.#dropped > 0) {
      sorted.push({
        file: sorted.at(-1)?.file ?? '',
        line: 1,
        column: 1,
        path: '',
        severity: this.#errors > 0 ? 'error' : 'warning',
        code: 'too_large',
        message: `${this.#dropped} more problems are not shown`,
        fix: 'correct those above first',
      });
    }
    return sorted;
  }
}

/** Order of paths by their UTF-8 bytes. */
export function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
