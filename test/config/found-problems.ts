/** Problems as one line each, which tests compare: `severity code line:column path`. */
import type { Problem } from '../../src/config/problem.ts';

export function foundProblems(problems: readonly Problem[]): string[] {
  return problems.map(({ severity, code, line, column, path }) =>
    `${severity} ${code} ${line}:${column} ${path}`.trim(),
  );
}

/** `path: fix` of each: that a problem says what to write instead, and what. */
export function foundFixes(problems: readonly Problem[]): string[] {
  return problems.map(({ path, fix }) => `${path}: ${fix}`);
}
