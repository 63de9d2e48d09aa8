/** What `postern test` prints: for people, as TAP 14, as JSON. */
import type { CaseResult, CoveredRule, Outcome, PolicyTestResult } from '../explain/run-policy-test.ts';

export interface TestedFile {
  readonly file: string;
  readonly result: PolicyTestResult;
}

export function formatTestsAsText(tested: readonly TestedFile[], requireCoverage: boolean): string {
  const lines: string[] = [];
  for (const { file, result } of tested) {
    lines.push(file);
    for (const one of result.cases) lines.push(...caseLines(one));
    lines.push(...coverageLines(result, requireCoverage), '');
  }
  const cases = tested.flatMap(({ result }) => result.cases);
  const failed = cases.filter(({ ok }) => !ok).length;
  lines.push(`${cases.length} cases, ${cases.length - failed} ok, ${failed} failed`);
  return `${lines.join('\n')}\n`;
}

function caseLines(one: CaseResult): string[] {
  if (one.ok) return [`  ok      ${one.name}`];
  const { expected, got, name, position, reason } = one;
  return [
    `  FAILED  ${name} (${position.file}:${position.line}:${position.column})`,
    `          expected ${outcomeText(expected)}`,
    `          got      ${outcomeText(got)}`,
    `          ${reason}`,
  ];
}

function coverageLines(result: PolicyTestResult, requireCoverage: boolean): string[] {
  const mark = requireCoverage && result.uncovered.length > 0 ? '  FAILED  ' : '  ';
  const lines = [`${mark}coverage: ${coverageText(result)}`];
  for (const rule of result.uncovered) lines.push(`          no case is decided by ${ruleText(rule)}`);
  return lines;
}

/** TAP 14 (testanything.org): one test point a case, and one a file for coverage where it is required. */
export function formatTestsAsTap(tested: readonly TestedFile[], requireCoverage: boolean): string {
  const points: string[] = [];
  const add = (ok: boolean, name: string, block: readonly string[]): void => {
    points.push(`${ok ? 'ok' : 'not ok'} ${points.length + 1} - ${tapText(name)}\n${block.join('')}`);
  };
  const notes: string[] = [];
  for (const { file, result } of tested) {
    const prefix = tested.length === 1 ? '' : `${file}: `;
    for (const one of result.cases) add(one.ok, `${prefix}${one.name}`, one.ok ? [] : failureBlock(one));
    if (requireCoverage) add(result.uncovered.length === 0, `${prefix}every rule decides a case`, []);
    notes.push(`# ${file}: coverage: ${coverageText(result)}\n`);
    for (const rule of result.uncovered) notes.push(`# ${file}: no case is decided by ${ruleText(rule)}\n`);
  }
  return `TAP version 14\n1..${points.length}\n${points.join('')}${notes.join('')}`;
}

/** A YAML block; JSON texts are YAML. */
function failureBlock({ expected, got, position, reason }: CaseResult): string[] {
  const { column, file, line } = position;
  return [
    '  ---\n',
    `  message: ${JSON.stringify(reason)}\n`,
    `  expected: ${JSON.stringify(expected)}\n`,
    `  got: ${JSON.stringify(got)}\n`,
    `  at: ${JSON.stringify({ file, line, column })}\n`,
    '  ...\n',
  ];
}

/** `#` would begin a directive. */
function tapText(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ').replaceAll(/[\\#]/g, String.raw`\$&`);
}

export function formatTestsAsJson(tested: readonly TestedFile[], requireCoverage: boolean): string {
  const files = tested.map(({ file, result }) => ({
    file,
    cases: result.cases.map(({ expected, got, name, ok, position, reason }) => ({
      name,
      ok,
      expected,
      got,
      reason,
      line: position.line,
      column: position.column,
    })),
    coverage: {
      rules: result.rules,
      decided: result.rules - result.uncovered.length,
      missing: result.uncovered,
    },
  }));
  const ok = files.every(
    ({ cases, coverage }) =>
      cases.every((one) => one.ok) && !(requireCoverage && coverage.missing.length > 0),
  );
  return `${JSON.stringify({ ok, files }, null, 2)}\n`;
}

function coverageText({ rules, uncovered }: PolicyTestResult): string {
  return `${rules - uncovered.length} of ${rules} rules decided a case`;
}

function ruleText({ policy, rule }: CoveredRule): string {
  return `${policy} rule ${rule}`;
}

/** `deny 403 by foo/deny-admin rule 1`. */
function outcomeText({ policy, rule, status, verdict }: Partial<Outcome>): string {
  const parts = [verdict, status ?? undefined].filter((part) => part !== undefined).map(String);
  const by = [policy ?? undefined, typeof rule === 'number' ? `rule ${rule}` : undefined].filter(
    (part) => part !== undefined,
  );
  return [...parts, ...(by.length === 0 ? [] : ['by', ...by])].join(' ');
}
