/** What says whose sidecar a command is asked about: documents, `--workload NAMESPACE/NAME` and what goes with it. */
import { CONFIG_KEYS } from '../config/config-keys.ts';
import { parseConfigText } from '../config/config-values.ts';
import type { TargetInput, TargetWorkload } from '../explain/explain-target.ts';
import { listFlag, textFlag, UsageError } from './command.ts';
import type { Flag, ParsedArguments } from './command.ts';
import { readJwksFlags } from './explain-inputs.ts';

export const WORKLOAD_FLAGS: Readonly<Record<'config' | 'workload' | 'labels' | 'service-account', Flag>> = {
  config: {
    type: 'string',
    multiple: true,
    value: 'PATH…',
    meaning: 'Istio documents or folders of them, or a postern.yaml, which gives workload and documents',
  },
  workload: { type: 'string', value: 'NAMESPACE/NAME', meaning: 'whose sidecar it is' },
  labels: { type: 'string', value: 'k=v,k=v', meaning: 'labels of the workload, for selectors' },
  'service-account': { type: 'string', value: 'SA', meaning: 'of the workload; default its name' },
};

/** With the key sets of `--jwks`; documents may also be named without `--config`. `command` is for the misuse. */
export function readTargetFlags(parsed: ParsedArguments, command: string): TargetInput {
  const paths = [...listFlag(parsed, 'config'), ...parsed.positionals];
  if (paths.length === 0) {
    throw new UsageError(`Cannot ${command} without documents: add --config PATH`);
  }
  const workload = readWorkloadFlags(parsed);
  return { paths, text: '', folder: process.cwd(), workload, jwks: readJwksFlags(parsed) };
}

/** null: none is stated. */
function readWorkloadFlags(parsed: ParsedArguments): TargetWorkload | null {
  const workload = textFlag(parsed, 'workload');
  const serviceAccount = textFlag(parsed, 'service-account');
  const labels = textFlag(parsed, 'labels');
  if (workload === undefined) {
    if (labels === undefined && serviceAccount === undefined) return null;
    throw new UsageError('Cannot use --labels or --service-account without --workload NAMESPACE/NAME');
  }
  const [namespace = '', name = '', ...rest] = workload.split('/');
  if (rest.length > 0 || namespace === '' || name === '') {
    throw new UsageError(`Cannot read --workload "${workload}": write NAMESPACE/NAME`);
  }
  return {
    namespace,
    name,
    ...(serviceAccount === undefined ? {} : { serviceAccount }),
    ...(labels === undefined ? {} : { labels: parseLabels(labels) }),
  };
}

function parseLabels(text: string): Readonly<Record<string, string>> {
  const key = CONFIG_KEYS.find(({ path }) => path === 'workload.labels')!;
  const parsed = parseConfigText(key, text, '');
  if ('message' in parsed) throw new UsageError(`Cannot read --labels: ${parsed.message}; ${parsed.fix}`);
  const pairs = typeof parsed.value === 'object' ? Object.entries(parsed.value) : [];
  return Object.fromEntries(pairs.map(([name, value]) => [name, String(value)]));
}
