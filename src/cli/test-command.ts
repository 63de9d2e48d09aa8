/** `postern test`: tables of requests and what policies have to answer, run offline. */
import { dirname } from 'node:path';
import { loadExplainTarget } from '../explain/explain-target.ts';
import { readPolicyTest } from '../explain/read-policy-test.ts';
import { runPolicyTest } from '../explain/run-policy-test.ts';
import { EXIT_MISUSE, EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';
import type { Command, ParsedArguments } from './command.ts';
import { JWKS_FLAG, readJwksFlags, readTextFile, reportFindings } from './explain-inputs.ts';
import { formatTestsAsJson, formatTestsAsTap, formatTestsAsText } from './format-policy-tests.ts';
import type { TestedFile } from './format-policy-tests.ts';

const FORMATS = { text: formatTestsAsText, tap: formatTestsAsTap, json: formatTestsAsJson } as const;

export const testCommand: Command = {
  name: 'test',
  summary: 'Run tables of requests against policies and compare the verdicts with what is expected',
  usage: 'FILE… [--require-coverage] [--output text|tap|json] [--jwks ISSUER=FILE]',
  example: 'postern test policies/*.test.yaml --require-coverage',
  takesPositionals: true,
  flags: {
    'require-coverage': {
      type: 'boolean',
      meaning: 'fail if a rule of a policy that applies decided no case',
    },
    output: { type: 'string', value: 'FORMAT', meaning: 'text, tap (TAP 14) or json; default text' },
    jwks: JWKS_FLAG,
  },
  more: () =>
    'A file: config: [PATH…] (relative to it), workload: {namespace, name, serviceAccount, labels}, cases: a list of\n' +
    'requests as postern explain reads them, each with a name and expect: allow | deny | {verdict, status, policy, rule}.\n' +
    'Exit 1 if a case is answered otherwise or is undecided.',
  async run(parsed) {
    const format = formatOf(parsed);
    const requireCoverage = parsed.values['require-coverage'] === true;
    if (parsed.positionals.length === 0) throw new UsageError('Cannot test nothing: name files');
    const jwks = readJwksFlags(parsed);
    const tested: TestedFile[] = [];
    let unusable = false;
    for (const file of parsed.positionals) {
      const { problems, test } = readPolicyTest(readTextFile(file), file);
      const findings: Parameters<typeof reportFindings>[0] = problems;
      if (reportFindings(findings) || test === null) {
        unusable = true;
        continue;
      }
      const { config, workload } = test;
      const loaded = loadExplainTarget({ paths: config, text: '', folder: dirname(file), workload, jwks });
      const broken = reportFindings(loaded.problems);
      if (!loaded.hasWorkload && !broken) {
        throw new UsageError(
          `Cannot test "${file}" without a workload: add workload: {namespace: foo, name: httpbin}`,
        );
      }
      if (loaded.target === null) unusable = true;
      else tested.push({ file, result: await runPolicyTest(loaded.target, test.cases) });
    }
    if (unusable) return EXIT_MISUSE;
    process.stdout.write(FORMATS[format](tested, requireCoverage));
    const failed = tested.some(
      ({ result }) => result.cases.some(({ ok }) => !ok) || (requireCoverage && result.uncovered.length > 0),
    );
    return failed ? EXIT_NEGATIVE : EXIT_OK;
  },
};

function formatOf(parsed: ParsedArguments): keyof typeof FORMATS {
  const output = textFlag(parsed, 'output') ?? 'text';
  if (output === 'text' || output === 'pretty') return 'text';
  if (output === 'tap' || output === 'json') return output;
  throw new UsageError(`Cannot print as "${output}": give --output text, tap or json`);
}
