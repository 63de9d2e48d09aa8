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
