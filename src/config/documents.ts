/**
 * Files and folders of Istio documents → validated resources and every problem found on the way.
 *
 * Nothing that decides access is passed over in silence: what cannot be enforced is an error, what has no effect a
 * warning, and only documents of other API groups are skipped, counted in one line.
 */
import { resolve } from 'node:path';
import { atOnce } from '../core/in-slices.ts';
import type { Steps } from '../core/in-slices.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import { recogniseConfigFile } from './config-file-kind.ts';
import { DocumentReader } from './document-reader.ts';
import { listDocumentFiles, readDocumentFile } from './document-files.ts';
import type { ConfigEntry } from './document-files.ts';
import { ProblemList } from './problem.ts';
import type { Problem } from './problem.ts';
import type { Resources } from './resources.ts';
import { fileSource } from './source-text.ts';
import { parseYamlSteps } from './yaml-tree.ts';

export interface LoadedDocuments {
  readonly resources: Resources;
  /** In the order of files, lines and columns. */
  readonly problems: readonly Problem[];
  /** `apps/v1 Deployment` → how many were skipped. */
  readonly skippedKinds: ReadonlyMap<string, number>;
  /** Files that were read, absolute, in order. */
  readonly files: readonly string[];
}

/** Reads all entries; never throws for what a file holds. A step is one document. */
export function* loadDocumentsSteps(entries: readonly ConfigEntry[]): Steps<LoadedDocuments> {
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const absolute = entries.map((entry) => ({ ...entry, path: resolve(entry.path) }));
  const files = listDocumentFiles(absolute, problems);
  const reader = new DocumentReader(problems);
  let bytesLeft = CONFIG_LIMITS.maxTotalBytes;
  for (const file of files) {
    const text = readDocumentFile(file.path, Math.min(CONFIG_LIMITS.maxFileBytes, bytesLeft), problems);
    if (text === null) continue;
    bytesLeft -= text.length;
    yield* readText(reader, text, file.path, file.namespace, problems);
  }
  return finish(
    reader,
    problems,
    files.map((file) => file.path),
  );
}

export function loadDocuments(entries: readonly ConfigEntry[]): LoadedDocuments {
  return atOnce(loadDocumentsSteps(entries));
}

/** The same for one text that is in memory already. */
export function loadDocumentText(text: string, file: string, namespace = 'default'): LoadedDocuments {
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const reader = new DocumentReader(problems);
  atOnce(readText(reader, text, file, namespace, problems));
  return finish(reader, problems, [file]);
}

function* readText(
  reader: DocumentReader,
  text: string,
  file: string,
  namespace: string,
  problems: ProblemList,
): Steps<void> {
  const parsed = yield* parseYamlSteps(text);
  const source = fileSource(file, parsed.lineColumn);
  for (const problem of parsed.problems) {
    problems.add('error', problem.code, source.at(problem.offset), '', problem.message, problem.fix);
  }
  for (const tree of parsed.documents) {
    const kind = recogniseConfigFile(tree);
    if (kind === null) reader.read(tree, { source, text, namespace });
    else reader.skipConfigFile(tree, kind, source);
    yield;
  }
}

function finish(reader: DocumentReader, problems: ProblemList, files: readonly string[]): LoadedDocuments {
  const resources = reader.finish();
  return { resources, problems: problems.sorted(), skippedKinds: reader.skippedKinds, files };
}
