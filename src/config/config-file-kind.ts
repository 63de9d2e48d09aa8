/**
 * Tells postern.yaml, agent.yaml and ca.yaml from Istio documents, by content.
 */
import { AGENT_KEYS } from './agent-keys.ts';
import { CA_KEYS } from './ca-keys.ts';
import type { ConfigKey } from './config-key.ts';
import { CONFIG_KEYS } from './config-keys.ts';
import type { TreeNode } from './yaml-tree.ts';

export type ConfigFileKind = 'postern.yaml' | 'agent.yaml' | 'ca.yaml';

const TOP_LEVEL_KEYS: Readonly<Record<ConfigFileKind, ReadonlySet<string>>> = {
  'postern.yaml': topLevel(CONFIG_KEYS),
  'agent.yaml': topLevel(AGENT_KEYS),
  'ca.yaml': topLevel(CA_KEYS),
};

/** The kind whose keys it has most of; null for an Istio document and for what is neither. */
export function recogniseConfigFile(tree: TreeNode): ConfigFileKind | null {
  if (tree.kind !== 'map' || tree.entries.has('apiVersion') || tree.entries.has('kind')) return null;
  let best: ConfigFileKind | null = null;
  let bestCount = 0;
  for (const kind of ['postern.yaml', 'agent.yaml', 'ca.yaml'] as const) {
    const keys = TOP_LEVEL_KEYS[kind];
    const count = [...tree.entries.keys()].filter((key) => keys.has(key)).length;
    if (count > bestCount) {
      best = kind;
      bestCount = count;
    }
  }
  return best;
}

function topLevel(keys: readonly ConfigKey[]): Set<string> {
  return new Set(keys.map(({ path }) => path.split('.', 1)[0] ?? ''));
}
