/**
 * What `postern validate` says of files and folders: Istio documents as the sidecar would load them, and each
 * postern.yaml, agent.yaml and ca.yaml as its command would, told apart by content.
 */
import { resolve } from 'node:path';
import { loadAgentConfig } from './agent-config.ts';
import { loadCaConfig } from './ca-config.ts';
import { recogniseConfigFile } from './config-file-kind.ts';
import type { ConfigFileKind } from './config-file-kind.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import { listDocumentFiles, readDocumentFile } from './document-files.ts';
import { loadDocuments } from './documents.ts';
import type { LoadedDocuments } from './documents.ts';
import type { LoadedSettings, SettingsInput } from './load-settings.ts';
import { loadPosternConfig } from './postern-config.ts';
import type { PosternConfig } from './postern-config.ts';
import { ProblemList } from './problem.ts';
import type { Problem } from './problem.ts';
import { parseYaml } from './yaml-tree.ts';

const LOADERS: Readonly<
  Record<Exclude<ConfigFileKind, 'postern.yaml'>, (input: SettingsInput) => LoadedSettings<unknown>>
> = {
  'agent.yaml': loadAgentConfig,
  'ca.yaml': loadCaConfig,
};

export interface ValidatedPaths {
  readonly problems: readonly Problem[];
  /** The Istio documents among them, for checks that need a mesh. */
  readonly documents: LoadedDocuments;
  /** Each postern.yaml without errors: a sidecar that can be planned. */
  readonly sidecars: readonly PosternConfig[];
}

/** Environment variables play no part: a file is judged as it is written. */
export function validatePaths(paths: readonly string[], workingDirectory: string): ValidatedPaths {
  const problems: Problem[] = [];
  const unread = new ProblemList(CONFIG_LIMITS.maxProblems);
  const entries = paths.map((path) => ({ path: resolve(workingDirectory, path), namespace: 'default' }));
  const configFiles = new Set<string>();
  const sidecars: PosternConfig[] = [];
  for (const { path } of listDocumentFiles(entries, unread)) {
    const kind = kindOf(path);
    if (kind === null) continue;
    configFiles.add(path);
    const input = { file: path, environment: {}, workingDirectory };
    if (kind === 'postern.yaml') {
      const loaded = loadPosternConfig(input);
      problems.push(...loaded.problems);
      if (loaded.config !== null) sidecars.push(loaded.config);
    } else problems.push(...LOADERS[kind](input).problems);
  }
  const documents = loadDocuments(entries);
  // That a postern.yaml is no Istio document is not worth saying when it was checked as what it is.
  problems.push(
    ...documents.problems.filter(({ file, code }) => !(configFiles.has(file) && code === 'skipped_kinds')),
  );
  return { problems, documents, sidecars };
}

function kindOf(path: string): ConfigFileKind | null {
  const text = readDocumentFile(path, CONFIG_LIMITS.maxFileBytes, new ProblemList(1));
  const [tree] = text === null ? [] : parseYaml(text).documents;
  return tree === undefined ? null : recogniseConfigFile(tree);
}
