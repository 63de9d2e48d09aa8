/** `postern validate`: every problem of the given files, with its place. */
import { validatePaths } from '../config/validate-paths.ts';
import { DEFAULT_LIMITS, LIMIT_MEANINGS } from '../core/limits.ts';
import { accessLogFindings, formatFinding, loadMesh } from '../load-mesh.ts';
import type { Finding } from '../load-mesh.ts';
import { policyWarnings } from '../mesh/policy-warnings.ts';
import { serviceWarnings } from '../mesh/services.ts';
import type { Command } from './command.ts';
import { EXIT_NEGATIVE, EXIT_OK, UsageError, wantsJson } from './command.ts';

export const validateCommand: Command = {
  name: 'validate',
  summary: 'Check Istio documents, postern.yaml, agent.yaml and ca.yaml without starting anything',
  usage: 'FILE|FOLDER… [--strict] [--output json]',
  example: 'postern validate ./mesh postern.yaml',
  takesPositionals: true,
  flags: {
    strict: { type: 'boolean', meaning: 'warnings are errors' },
    limits: { type: 'boolean', meaning: 'print the limits, their defaults and what they bound' },
    output: {
      type: 'string',
      value: 'json',
      meaning: 'print a JSON array of {file,line,column,path,severity,code,message,fix}',
    },
  },
  // oxlint-disable-next-line require-await -- commands are asynchronous
  async run(parsed) {
    const json = wantsJson(parsed);
    if (parsed.values['limits'] === true) {
      process.stdout.write(json ? `${JSON.stringify(DEFAULT_LIMITS, null, 2)}\n` : limitsTable());
      if (parsed.positionals.length === 0) return EXIT_OK;
    }
    if (parsed.positionals.length === 0)
      throw new UsageError('Cannot validate nothing: name files or folders');
    const { documents, problems, sidecars } = validatePaths(parsed.positionals, process.cwd());
    const findings = withoutRepeats([
      ...problems,
      ...documents.resources.services.flatMap((service) => serviceWarnings(service)),
      ...accessLogFindings(documents.resources.meshConfig),
      ...policyWarnings(documents.resources),
      // What a postern.yaml names is planned as its sidecar would.
      ...sidecars.flatMap((config) => loadMesh(config, 1).findings),
    ]);
    if (json) process.stdout.write(`${JSON.stringify(findings.map(plain), null, 2)}\n`);
    else for (const finding of findings) process.stderr.write(`${labelled(finding)}\n`);
    const worst = findings.some(({ severity }) => severity === 'error');
    const warned = findings.some(({ severity }) => severity === 'warning');
    const bad = worst || (warned && parsed.values['strict'] === true);
    const files = documents.files.length;
    if (!json && !bad) process.stdout.write(`ok: ${files} ${files === 1 ? 'file' : 'files'}\n`);
    return bad ? EXIT_NEGATIVE : EXIT_OK;
  },
};

/** Documents may be named beside the postern.yaml that names them. */
function withoutRepeats(findings: readonly Finding[]): Finding[] {
  const byText = new Map(findings.map((finding) => [JSON.stringify(plain(finding)), finding]));
  return [...byText.values()];
}

/** Exactly the keys that scripts read, in their order. */
function plain(finding: Finding): Record<string, unknown> {
  const { file, line, column, path, severity, code, message, fix } = finding;
  return { file, line, column, path, severity, code, message, fix };
}

function labelled(finding: Finding): string {
  return finding.severity === 'error'
    ? formatFinding(finding)
    : `${finding.severity}: ${formatFinding(finding)}`;
}

function limitsTable(): string {
  const defaults: Readonly<Record<string, number | null>> = { ...DEFAULT_LIMITS };
  const rows = Object.entries(LIMIT_MEANINGS).map(([name, meaning]): [string, string, string] => [
    name,
    String(defaults[name] ?? 'unset'),
    meaning,
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      ([name, value, meaning]) => `${name.padEnd(widths[0]!)}  ${value.padStart(widths[1]!)}  ${meaning}\n`,
    )
    .join('');
}
