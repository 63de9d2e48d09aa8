/**
 * What postern.yaml, agent.yaml and ca.yaml have in common: text, environment and flags → checked settings, and from
 * these one configuration, or every reason why there is none.
 */
import { dirname, resolve } from 'node:path';
import { CONFIG_LIMITS } from './config-limits.ts';
import { ConfigSettings } from './config-settings.ts';
import type { SettingTable } from './config-settings.ts';
import { readDocumentFile } from './document-files.ts';
import { describe, FieldReader } from './field-reader.ts';
import { hasErrors, ProblemList } from './problem.ts';
import type { Problem } from './problem.ts';
import { fileSource } from './source-text.ts';
import { parseYaml } from './yaml-tree.ts';

export interface SettingsInput {
  readonly file: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Setting path → text, `{'intercept.port': '0'}`: what flags said. */
  readonly flags?: Readonly<Record<string, string>>;
  /** What paths in flags and environment are relative to. */
  readonly workingDirectory: string;
}

export interface LoadedSettings<Config> {
  /** null when any problem is an error. */
  readonly config: Config | null;
  readonly problems: readonly Problem[];
}

/** What a configuration is built from. */
export interface SettingsSource {
  readonly settings: ConfigSettings;
  /** The file's mapping, for its lists; null when it is empty. */
  readonly root: FieldReader | null;
  /** The file, absolute, and its folder. */
  readonly file: string;
  readonly folder: string;
}

export interface SettingsForm<Config> extends SettingTable {
  /** Null, or anything with a problem noted, where there is none. */
  readonly build: (source: SettingsSource) => Config | null;
}

/** Reads and checks a file. Never throws for what it holds. */
export function loadSettings<Config>(
  form: SettingsForm<Config>,
  input: SettingsInput,
): LoadedSettings<Config> {
  const file = resolve(input.workingDirectory, input.file);
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const text = readDocumentFile(file, CONFIG_LIMITS.maxFileBytes, problems);
  if (text === null) return { config: null, problems: problems.sorted() };
  return readSettings(form, text, { ...input, file }, problems);
}

/** The same for a text that is in memory already; `input.file` says where it would stand. */
export function parseSettings<Config>(
  form: SettingsForm<Config>,
  text: string,
  input: SettingsInput,
): LoadedSettings<Config> {
  return readSettings(form, text, input, new ProblemList(CONFIG_LIMITS.maxProblems));
}

function readSettings<Config>(
  form: SettingsForm<Config>,
  text: string,
  input: SettingsInput,
  problems: ProblemList,
): LoadedSettings<Config> {
  const parsed = parseYaml(text);
  const source = fileSource(input.file, parsed.lineColumn);
  for (const problem of parsed.problems) {
    problems.add('error', problem.code, source.at(problem.offset), '', problem.message, problem.fix);
  }
  const [tree, second] = parsed.documents;
  if (second !== undefined) {
    const position = source.at(second.offset);
    problems.add('error', 'not_a_document', position, '', 'a second document', 'keep one of them');
  }
  if (tree !== undefined && tree.kind !== 'map') {
    const fix = `write keys like ${form.keys[0]?.path.split('.', 1)[0] ?? ''}`;
    const message = `${describe(tree)} is not a mapping`;
    problems.add('error', 'not_a_document', source.at(tree.offset), '', message, fix);
  }
  const root = tree?.kind === 'map' ? new FieldReader(tree, '', source, problems) : null;
  const settings = new ConfigSettings(problems, form, input.file);
  const folder = dirname(input.file);
  if (root !== null) settings.readFile(root, folder);
  settings.readEnvironment(input.environment, input.workingDirectory);
  settings.readFlags(input.flags ?? {}, input.workingDirectory);
  // With YAML that cannot be read everything would also be "missing": one reason is enough.
  const config = parsed.problems.length > 0 ? null : form.build({ settings, root, file: input.file, folder });
  const sorted = problems.sorted();
  return { config: hasErrors(sorted) ? null : config, problems: sorted };
}
