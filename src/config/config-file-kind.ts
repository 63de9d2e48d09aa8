/**
 * Tells postern.yaml, agent.yaml and ca.yaml from Istio documents, by content.
 */
import type { TreeNode } from './yaml-tree.ts';

export type ConfigFileKind = 'postern.yaml' | 'agent.yaml' | 'ca.yaml';

const TOP_LEVEL_KEYS: Readonly<Record<ConfigFileKind, ReadonlySet<string>>> = {
  'postern.yaml': new Set(
    (
      'workload identity config intercept app admin readiness metrics concurrency ' +
      'accessLog limits drain drainMax'
    ).split(' '),
  ),
  'agent.yaml': new Set(['workload', 'socket', 'ca', 'token', 'certificate', 'trustBundle', 'readiness']),
  'ca.yaml': new Set(['listen', 'trustDomain', 'root', 'key', 'ttl', 'tokens', 'admin']),
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
