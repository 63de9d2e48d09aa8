/**
 * Where the settings of one postern.yaml, agent.yaml or ca.yaml come from: file, environment, flags; the last wins.
 * Every value is checked where it stands, also one that another source overrides.
 */
import { AGENT_KEYS } from './agent-keys.ts';
import { CA_KEYS } from './ca-keys.ts';
import { environmentName } from './config-key.ts';
import type { ConfigKey } from './config-key.ts';
import { CONFIG_KEYS } from './config-keys.ts';
import { isLabelKey, parseConfigText } from './config-values.ts';
import type { ConfigValue } from './config-values.ts';
import { describe, FieldReader } from './field-reader.ts';
import { editDistance, nearestName } from './nearest-name.ts';
import type { ProblemCode, ProblemList, Severity } from './problem.ts';
import type { Position } from './resources.ts';
import { shown } from './yaml-tree.ts';
import type { TreeNode } from './yaml-tree.ts';

/** Of this prefix and known, whichever command reads them: one environment may serve several. */
const KNOWN_VARIABLES: ReadonlySet<string | null> = new Set([
  'POSTERN_ADMIN',
  'POSTERN_CONFIG',
  ...[...CONFIG_KEYS, ...AGENT_KEYS, ...CA_KEYS].map(environmentName),
]);

/** One file with settings: its name, as messages say it, and its keys. */
export interface SettingTable {
  readonly fileName: 'postern.yaml' | 'agent.yaml' | 'ca.yaml';
  readonly keys: readonly ConfigKey[];
}

export interface Setting {
  readonly value: ConfigValue;
  readonly position: Position;
}

export class ConfigSettings {
  readonly #settings = new Map<string, Setting>();
  /** Keys and sections that were written, with good values or bad ones, and where. */
  readonly #written = new Map<string, Position>();
  readonly #problems: ProblemList;
  readonly #table: SettingTable;
  readonly #keysByPath: ReadonlyMap<string, ConfigKey>;
  /** Where something that is missing should stand. */
  readonly filePosition: Position;

  constructor(problems: ProblemList, table: SettingTable, file: string) {
    this.#problems = problems;
    this.#table = table;
    this.#keysByPath = new Map(table.keys.map((key) => [key.path, key]));
    this.filePosition = { file, line: 1, column: 1 };
  }

  /** Reads the file's mapping, unknown keys included; lists are left to the caller. */
  readFile(reader: FieldReader, folder: string): void {
    const prefix = reader.path === '' ? '' : `${reader.path}.`;
    const below = [...this.#keysByPath.keys()].filter((path) => path.startsWith(prefix));
    const known = new Set(below.map((path) => path.slice(prefix.length).split('.', 1)[0] ?? ''));
    const place = reader.path === '' ? this.#table.fileName : `"${reader.path}"`;
    for (const [name, entry] of reader.map.entries) {
      if (!known.has(name)) {
        reader.unknown(name, known, place);
        continue;
      }
      if (!reader.has(name)) continue;
      const key = this.#keysByPath.get(reader.pathOf(name));
      if (key === undefined) {
        const section = reader.object(name);
        if (section === null) continue;
        this.#written.set(section.path, section.position);
        this.readFile(section, folder);
      } else if (key.type === 'entries') this.#written.set(key.path, reader.source.at(entry.keyOffset));
      else this.#takeNode(key, entry.node, reader, name, folder);
    }
  }

  readEnvironment(environment: Readonly<Record<string, string | undefined>>, folder: string): void {
    const known = new Map<string, ConfigKey>();
    for (const key of this.#table.keys) {
      const name = environmentName(key);
      if (name !== null) known.set(name, key);
    }
    for (const [name, text] of Object.entries(environment)) {
      if (text === undefined || !name.startsWith('POSTERN_')) continue;
      const position = { file: `$${name}`, line: 1, column: 1 };
      const key = known.get(name);
      if (key !== undefined) this.#takeText(key, text, folder, position);
      else if (!KNOWN_VARIABLES.has(name)) this.#warnOfVariable(name, [...known.keys()], position);
    }
  }

  /** Paths of keys to texts, as flags give them. */
  readFlags(flags: Readonly<Record<string, string>>, folder: string): void {
    for (const [path, text] of Object.entries(flags)) {
      const position = { file: `--${path}`, line: 1, column: 1 };
      const key = this.#keysByPath.get(path);
      if (key !== undefined) this.#takeText(key, text, folder, position);
      else {
        const nearest = nearestName(path, this.#keysByPath.keys());
        const fix = nearest === null ? 'remove it' : `did you mean "${nearest}"?`;
        this.#problems.add(
          'error',
          'unknown_field',
          position,
          path,
          `there is no setting "${shown(path)}"`,
          fix,
        );
      }
    }
  }

  get(path: string): Setting | null {
    return this.#settings.get(path) ?? null;
  }

  /** Whether the key, or the section, or anything in it was written, even if wrong. */
  isWritten(path: string): boolean {
    return [...this.#written.keys()].some((written) => written === path || written.startsWith(`${path}.`));
  }

  text(path: string): string | null {
    const value = this.#valueOrDefault(path);
    return typeof value === 'string' ? value : null;
  }

  number(path: string): number | null {
    const value = this.#valueOrDefault(path);
    return typeof value === 'number' ? value : null;
  }

  report(path: string, code: ProblemCode, message: string, fix: string, severity: Severity = 'error'): void {
    const position = this.get(path)?.position ?? this.#nearestPosition(path);
    this.#problems.add(severity, code, position, path, message, fix);
  }

  /** The text of a setting that must be given; '' with a problem when it is not. */
  required(path: string): string {
    const value = this.text(path);
    if (value === null && !this.isWritten(path))
      this.report(path, 'missing_field', `${path} is missing`, 'add it');
    return value ?? '';
  }

  /** Every setting that was given and cannot be used yet is an error; a section of such settings too, if empty. */
  refuseUnusable(): void {
    for (const path of this.#written.keys()) {
      const key = this.#keysByPath.get(path);
      const below = this.#table.keys.filter((one) => one.path.startsWith(`${path}.`));
      const isEmptySection =
        below.every(({ notUsableYet }) => notUsableYet) && below.every((one) => !this.isWritten(one.path));
      const unusable = key ?? (isEmptySection ? below[0] : undefined);
      if (unusable?.notUsableYet !== true || (key !== undefined && this.get(path) === null)) continue;
      const message = `this version cannot use ${path} yet`;
      this.report(path, 'not_usable_yet', message, unusable.instead ?? 'remove it');
    }
  }

  /** Where it was written, or the nearest section that was: there it should stand. */
  #nearestPosition(path: string): Position {
    for (let near = path; near !== ''; near = near.slice(0, Math.max(0, near.lastIndexOf('.')))) {
      const position = this.#written.get(near);
      if (position !== undefined) return position;
    }
    return this.filePosition;
  }

  #valueOrDefault(path: string): ConfigValue | null {
    const given = this.#settings.get(path);
    if (given !== undefined) return given.value;
    const key = this.#keysByPath.get(path);
    if (key === undefined || key.default === null) return null;
    const parsed = parseConfigText(key, key.default, '/');
    return 'value' in parsed ? parsed.value : null;
  }

  #takeNode(key: ConfigKey, node: TreeNode, reader: FieldReader, name: string, folder: string): void {
    const position = reader.source.at(node.offset);
    this.#written.set(key.path, position);
    if (key.type === 'labels' && node.kind === 'map') {
      const labels = reader.textMap(name) ?? {};
      const section = reader.object(name);
      for (const label of Object.keys(labels)) {
        if (!isLabelKey(label))
          section?.report(label, 'bad_value', `"${shown(label)}" is not a label`, 'correct it');
      }
      this.#settings.set(key.path, { value: labels, position });
      return;
    }
    const isNumber = key.type === 'port' || key.type === 'integer' || key.type === 'fraction';
    if (
      node.kind !== 'scalar' ||
      (isNumber ? typeof node.value !== 'number' : typeof node.value !== 'string')
    ) {
      const wanted = isNumber ? 'a number' : 'text';
      const fix = isNumber ? 'write digits without quotes' : howToWrite(key);
      reader.reportValue(name, 'wrong_type', `${describe(node)} is not ${wanted}`, fix);
      return;
    }
    this.#takeText(key, isNumber ? node.source : String(node.value), folder, position);
  }

  #takeText(key: ConfigKey, text: string, folder: string, position: Position): void {
    this.#written.set(key.path, position);
    const parsed = parseConfigText(key, text, folder);
    if ('value' in parsed) this.#settings.set(key.path, { value: parsed.value, position });
    else this.#problems.add('error', parsed.code, position, key.path, parsed.message, parsed.fix);
  }

  /** Only what looks like a typing mistake: Kubernetes makes variables of its own for a Service named postern. */
  #warnOfVariable(name: string, known: readonly string[], position: Position): void {
    const nearest = known.find((candidate) => editDistance(name, candidate, 3) < 3);
    if (nearest === undefined) return;
    const message = `the environment variable "${shown(name)}" has no effect`;
    this.#problems.add('warning', 'unknown_field', position, '', message, `did you mean "${nearest}"?`);
  }
}

function howToWrite(key: ConfigKey): string {
  if (key.type === 'duration' || key.type === 'lifetime') return 'write it as 24h, 90s or 250ms';
  // YAML 1.2 reads 0600 as six hundred.
  return key.type === 'fileMode' ? 'write it in quotes, like "0600"' : 'write text, in quotes if needed';
}
