/**
 * A process of its own: judges the cases of a record by the engine in each of some folders, and says on which each
 * differs from what Envoy did: the first one, or with `--all` every one. Arguments: the record, `src` folders.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { answerOfProvider } from './policy-explain.ts';
import type { PolicyRecord } from './policy-record.ts';

const {
  positionals: [file = '', ...folders],
  values: { all },
} = parseArgs({ allowPositionals: true, options: { all: { type: 'boolean', default: false } } });
const { sets } = JSON.parse(readFileSync(file, 'utf8')) as PolicyRecord;

const answers: string[][] = [];
for (const folder of folders) answers.push(await judge(folder));
process.stdout.write(`${JSON.stringify(answers)}\n`);

async function judge(folder: string): Promise<string[]> {
  const load = (name: string): Promise<unknown> => import(pathToFileURL(path.join(folder, name)).href);
  const { explainExchange } = (await load(
    'explain/explain-exchange.ts',
  )) as typeof import('../../src/explain/explain-exchange.ts');
  const { loadExplainTarget } = (await load(
    'explain/explain-target.ts',
  )) as typeof import('../../src/explain/explain-target.ts');
  const differing: string[] = [];
  for (const { cases, documents, workload } of sets) {
    const { target } = loadExplainTarget({
      paths: [],
      text: documents,
      folder: '/',
      workload,
      jwks: new Map(),
    });
    if (target === null) throw new Error('a set of the record cannot be loaded');
    for (const { carried, details, id, question } of cases) {
      const got = await explainExchange(target, { ...question, extAuthz: answerOfProvider });
      const isSame =
        (got.verdict === 'allow') === carried && (carried || details === '' || details === got.details);
      if (isSame) continue;
      differing.push(id);
      if (!all) return differing;
    }
  }
  return differing;
}
