/**
 * `--inline-secrets FILE`: the identity that is written into a translation, named as `identity.files` names it.
 *
 * The only way in which a command prints a private key; what does not fit together is refused as at the sidecar's start.
 */
import { dirname, resolve } from 'node:path';
import { FieldReader } from '../config/field-reader.ts';
import { formatProblem, ProblemList } from '../config/problem.ts';
import { fileSource } from '../config/source-text.ts';
import { parseYaml } from '../config/yaml-tree.ts';
import { MeshError } from '../core/errors.ts';
import { verifyOwnIdentity } from '../svid/own-identity.ts';
import type { InlineSecrets } from '../translate/downstream-tls.ts';
import { UsageError } from './command.ts';
import { readTextFile } from './explain-inputs.ts';

const NAMES = ['certificateChain', 'privateKey', 'trustBundle'] as const;
const EXAMPLE = '{certificateChain: cert-chain.pem, privateKey: key.pem, trustBundle: root-cert.pem}';

/** Paths are relative to the folder of `file`. Throws `UsageError` for the file, `MeshError` for what it names. */
export function readInlineSecrets(file: string): InlineSecrets {
  const paths = readPaths(file);
  const texts = NAMES.map((name) => readTextFile(resolve(dirname(file), paths[name])));
  const [chain = '', key = '', bundle = ''] = texts;
  const answer = verifyOwnIdentity(chain, key, bundle, Date.now());
  if (!answer.ok) {
    throw new MeshError(
      'identity_invalid',
      `Cannot use --inline-secrets ${file}: ${answer.reasons.join('; ')}`,
    );
  }
  const { bundlePem, chainPem, keyPem } = answer.identity;
  return { certificateChain: chainPem, privateKey: keyPem, trustBundle: bundlePem };
}

function readPaths(file: string): Readonly<Record<(typeof NAMES)[number], string>> {
  const problems = new ProblemList(NAMES.length);
  const parsed = parseYaml(readTextFile(file));
  const source = fileSource(file, parsed.lineColumn);
  for (const { code, fix, message, offset } of parsed.problems) {
    problems.add('error', code, source.at(offset), '', message, fix);
  }
  const [tree] = parsed.documents;
  if (tree?.kind !== 'map') throw new UsageError(`Cannot read --inline-secrets ${file}: write ${EXAMPLE}`);
  const reader = new FieldReader(tree, '', source, problems);
  reader.refuseUnknown(NAMES, 'inline secrets');
  const paths = { certificateChain: '', privateKey: '', trustBundle: '' };
  for (const name of NAMES) {
    paths[name] = reader.text(name) ?? '';
    if (!reader.has(name)) reader.report(name, 'missing_field', `${name} is missing`, `write ${EXAMPLE}`);
  }
  const found = problems.sorted();
  if (found.length > 0) throw new UsageError(found.map(formatProblem).join('\n'));
  return paths;
}
