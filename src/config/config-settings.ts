/**
 * Where the settings of one postern.yaml come from: file, environment, flags; the last wins. Every value is checked
 * where it stands, also one that another source overrides.
 */
import { CONFIG_KEYS, environmentName } from './config-keys.ts';
import type { ConfigKey } from './config-keys.ts';
import { isLabelKey, parseConfigText } from './config-values.ts';
import type { ConfigValue } from './config-values.ts';
import { describe, FieldReader } from './field-reader.ts';
import { editDistance, nearestName } from './nearest-name.ts';
import type { ProblemCode, ProblemList } from './problem.ts';
import type { Position } from './resources.ts';
import { shown } from './yaml-tree.ts';
import type { TreeNode } from './yaml-tree.ts';

/** Environment variables of this prefix that are not keys of postern.yaml. */
const OTHER_VARIABLES = new Set(['POSTERN_ADMIN', 'POSTERN_CONFIG']);

const KEYS_BY_PATH: ReadonlyMap<string, ConfigKey> = new Map(CONFIG_KEYS.map((key) => [key.path, key]));

export interface Setting {
  readonly value: ConfigValue;
  readonly position: Position;
}

export class ConfigSettings {
  readonly #settings = new Map<string, Setting>();
  /** Keys and sections that were written, with good values or bad ones. */
  readonly #written = new Set<string>();
  readonly #problems: ProblemList;
  /** Where something that is missing should stand. */
  readonly filePosition: Position;

  constructor(problems: ProblemList, file: string) {
    this.#problems = problems;
    this.filePosition = { file, line: 1, column: 1 };
  }

  /** Reads the file's mapping, unknown keys included; `config` is left to the caller. */
  readFile(reader: FieldReader, folder: string): void {
    const prefix = reader.path === '' ? '' : `${reader.path}.`;
    const below = [...KEYS_BY_PATH.keys()].filter((path) => path.startsWith(prefix));
    const known = new Set(below.map((path) => path.slice(prefix.length).split('.', 1)[0] ?? ''));
    const place = reader.path === '' ? 'postern.yaml' : `"${reader.path}"`;
    for (const [name, entry] of reader.map.entries) {
      if (!known.has(name)) {
        reader.unknown(name, known, place);
        continue;
      }
      if (!reader.has(name)) continue;
      const key = KEYS_BY_PATH.get(reader.pathOf(name));
      if (key === undefined) {
        const section = reader.object(name);
        if (section === null) continue;
        this.#written.add(section.path);
        this.readFile(section, folder);
      } else if (key.type !== 'entries') this.#takeNode(key, entry.node, reader, name, folder);
    }
  }
  readEnvironment(environment: Readonly<Record<string, string | undefined>>, folder: string): void {
    const known = new Map<string, ConfigKey>();
    for (const key of CONFIG_KEYS) {
      const name = environmentName(key);
      if (name !== null) known.set(name, key);
    }
    for (const [name, text] of Object.entries(environment)) {
      if (text === undefined || !name.startsWith('POSTERN_')) continue;
      const position = { file: `$${name}`, line: 1, column: 1 };
      const key = known.get(name);
      if (key !== undefined) this.#takeText(key, text, folder, position);
      else if (!OTHER_VARIABLES.has(name)) this.#warnOfVariable(name, [...known.keys()], position);
    }
  }

  /** Paths of keys to texts, as flags give them. */
  readFlags(flags: Readonly<Record<string, string>>, folder: string): void {
    for (const [path, text] of Object.entries(flags)) {
      const position = { file: `--${path}`, line: 1, column: 1 };
      const key = KEYS_BY_PATH.get(path);
      if (key !== undefined) this.#takeText(key, text, folder, position);
      else {
        const nearest = nearestName(path, KEYS_BY_PATH.keys());
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
    return [...this.#written].some((written) => written === path || written.startsWith(`${path}.`));
  }

  text(path: string): string | null {
    const value = this.#valueOrDefault(path);
    return typeof value === 'string' ? value : null;
  }

  number(path: string): number | null {
    const value = this.#valueOrDefault(path);
    return typeof value === 'number' ? value : null;
  }

  report(path: string, code: ProblemCode, message: string, fix: string): void {
    const position = this.get(path)?.position ?? this.filePosition;
    this.#problems.add('error', code, position, path, message, fix);
  }

  #valueOrDefault(path: string): ConfigValue | null {
    const given = this.#settings.get(path);
    if (given !== undefined) return given.value;
    const key = KEYS_BY_PATH.get(path);
    if (key === undefined || key.default === null) return null;
    const parsed = parseConfigText(key, key.default, '/');
    return 'value' in parsed ? parsed.value : null;
  }

  #takeNode(key: ConfigKey, node: TreeNode, reader: FieldReader, name: string, folder: string): void {
    const position = reader.source.at(node.offset);
    this.#written.add(key.path);
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
    const isNumber = key.type === 'port' || key.type === 'integer';
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
    this.#written.add(key.path);
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
  return key.type === 'duration' ? 'write it as 24h, 90s or 250ms' : 'write text, in quotes if needed';
}
