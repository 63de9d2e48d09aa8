/**
 * What `explain`, `test` and `translate` are given besides flags of their own: key sets by issuer, texts of files and
 * of standard input, all bounded; and how they say what is wrong with documents.
 */
import { CONFIG_LIMITS } from '../config/config-limits.ts';
import { readDocumentFile } from '../config/document-files.ts';
import { formatProblem, ProblemList } from '../config/problem.ts';
import { formatFinding } from '../load-mesh.ts';
import type { Finding } from '../load-mesh.ts';
import { listFlag, UsageError } from './command.ts';
import type { Flag, ParsedArguments } from './command.ts';

export const JWKS_FLAG: Flag = {
  type: 'string',
  multiple: true,
  value: 'ISSUER=FILE',
  meaning: 'the key set of an issuer whose keys a sidecar would fetch; may be given more than once',
};

/** `--jwks ISSUER=FILE`, once for each issuer. */
export function readJwksFlags(parsed: ParsedArguments): ReadonlyMap<string, string> {
  const sets = new Map<string, string>();
  for (const text of listFlag(parsed, 'jwks')) {
    // An issuer is a URI and may have `=` in its query.
    const equals = text.lastIndexOf('=');
    if (equals < 1 || equals === text.length - 1) {
      throw new UsageError(`Cannot read --jwks "${text}": write ISSUER=FILE`);
    }
    const jwks = readTextFile(text.slice(equals + 1));
    sets.set(text.slice(0, equals), checkedKeySet(jwks, text));
  }
  return sets;
}

function checkedKeySet(jwks: string, flag: string): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(jwks);
  } catch {
    parsed = null;
  }
  if (typeof parsed === 'object' && parsed !== null && 'keys' in parsed && Array.isArray(parsed.keys))
    return jwks;
  throw new UsageError(`Cannot use --jwks "${flag}": the file is no JSON key set; write {"keys": […]}`);
}

/** The text of a file; throws what is to be said of one that cannot be read. */
export function readTextFile(path: string): string {
  const problems = new ProblemList(1);
  const text = readDocumentFile(path, CONFIG_LIMITS.maxFileBytes, problems);
  if (text !== null) return text;
  throw new UsageError(problems.sorted().map(formatProblem).join('\n'));
}

/** All of standard input. */
export async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > CONFIG_LIMITS.maxFileBytes) {
      throw new UsageError(
        `Cannot read standard input: it has more than ${CONFIG_LIMITS.maxFileBytes} bytes`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** On stderr; true if one of them is an error. Each is said once, whatever it is found with. */
export function reportFindings(findings: readonly Finding[]): boolean {
  const lines = new Set(
    findings
      .filter(({ severity }) => severity !== 'info')
      .map((finding) => `${finding.severity === 'warning' ? 'warning: ' : ''}${formatFinding(finding)}\n`),
  );
  for (const line of lines) process.stderr.write(line);
  return findings.some(({ severity }) => severity === 'error');
}
