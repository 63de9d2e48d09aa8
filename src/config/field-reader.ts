/**
 * Typed reading of one mapping: each method gives a value or notes a problem with the place of the field.
 *
 * Null means absent everywhere, as in Kubernetes. Types are strict: "8080" is not 8080.
 */
import { nearestName } from './nearest-name.ts';
import type { ProblemCode, ProblemList, Severity } from './problem.ts';
import type { Position } from './resources.ts';
import type { SourceText } from './source-text.ts';
import { shown } from './yaml-tree.ts';
import type { MapNode, ScalarNode, TreeEntry, TreeNode } from './yaml-tree.ts';

/** One text of a list, and where it stands. */
export interface TextItem {
  readonly value: string;
  readonly node: TreeNode;
  readonly path: string;
}

export class FieldReader {
  readonly map: MapNode;
  readonly path: string;
  readonly source: SourceText;
  readonly problems: ProblemList;
  /** Where the field that holds this mapping stands. */
  readonly offset: number;

  constructor(
    map: MapNode,
    path: string,
    source: SourceText,
    problems: ProblemList,
    offset: number = map.offset,
  ) {
    this.map = map;
    this.path = path;
    this.source = source;
    this.problems = problems;
    this.offset = offset;
  }

  get position(): Position {
    return this.source.at(this.offset);
  }

  pathOf(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }

  has(name: string): boolean {
    return this.#entry(name) !== null;
  }

  names(): string[] {
    return [...this.map.entries.keys()];
  }

  /** The value as it stands; null when absent. */
  node(name: string): TreeNode | null {
    return this.#entry(name)?.node ?? null;
  }

  /** Notes a problem at the field's key, or at this mapping when the field is absent. */
  report(name: string, code: ProblemCode, message: string, fix: string, severity: Severity = 'error'): void {
    const entry = this.map.entries.get(name);
    const offset = entry === undefined ? this.offset : entry.keyOffset;
    this.problems.add(severity, code, this.source.at(offset), this.pathOf(name), message, fix);
  }

  /** Notes a problem at the field's value. */
  reportValue(
    name: string,
    code: ProblemCode,
    message: string,
    fix: string,
    severity: Severity = 'error',
  ): void {
    const entry = this.map.entries.get(name);
    const offset = entry === undefined ? this.offset : entry.node.offset;
    this.problems.add(severity, code, this.source.at(offset), this.pathOf(name), message, fix);
  }

  /** Every field that is not one of `known` is an error with the nearest name. */
  refuseUnknown(known: Iterable<string>, of: string): void {
    const names = known instanceof Set ? (known as ReadonlySet<string>) : new Set(known);
    for (const name of this.map.entries.keys()) {
      if (!names.has(name)) this.unknown(name, names, of);
    }
  }

  unknown(name: string, known: Iterable<string>, of: string): void {
    const names = [...known];
    const nearest = nearestName(name, names);
    const fix = nearest === null ? `remove it; known are ${listed(names)}` : `did you mean "${nearest}"?`;
    this.report(name, 'unknown_field', `${of} has no field "${shown(name)}"`, fix);
  }

  text(name: string): string | null {
    const scalar = this.#scalar(name, 'text');
    if (scalar === null) return null;
    if (typeof scalar.value === 'string') return scalar.value;
    this.reportValue(
      name,
      'wrong_type',
      `${describe(scalar)} is not text`,
      `write "${shown(scalar.source)}" in quotes`,
    );
    return null;
  }

  boolean(name: string): boolean | null {
    const scalar = this.#scalar(name, 'true or false');
    if (scalar === null) return null;
    if (typeof scalar.value === 'boolean') return scalar.value;
    this.reportValue(name, 'wrong_type', `${describe(scalar)} is not true or false`, 'write true or false');
    return null;
  }

  /** A whole number written in digits, within the range. */
  integer(name: string, min: number, max: number): number | null {
    const scalar = this.#scalar(name, 'a number');
    if (scalar === null) return null;
    if (typeof scalar.value !== 'number' || !/^-?(?:0|[1-9]\d*)$/.test(scalar.source)) {
      this.reportValue(
        name,
        'wrong_type',
        `${describe(scalar)} is not a whole number`,
        `write a number from ${min} to ${max}`,
      );
      return null;
    }
    if (scalar.value < min || scalar.value > max) {
      this.reportValue(
        name,
        'out_of_range',
        `${scalar.source} is outside ${min} to ${max}`,
        `write a number from ${min} to ${max}`,
      );
      return null;
    }
    return scalar.value;
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[]): T | null {
    const value = this.text(name);
    if (value === null) return null;
    const found = allowed.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    const nearest = nearestName(value, allowed);
    const fix = nearest === null ? `write one of ${allowed.join(', ')}` : `did you mean "${nearest}"?`;
    this.reportValue(name, 'bad_value', `"${shown(value)}" is not one of ${allowed.join(', ')}`, fix);
    return null;
  }

  /** A nested mapping. */
  object(name: string): FieldReader | null {
    const entry = this.#entry(name);
    if (entry === null) return null;
    if (entry.node.kind === 'map') {
      return new FieldReader(entry.node, this.pathOf(name), this.source, this.problems, entry.keyOffset);
    }
    this.reportValue(name, 'wrong_type', `${describe(entry.node)} is not a mapping`, 'write fields below it');
    return null;
  }

  list(name: string): readonly TreeNode[] | null {
    const entry = this.#entry(name);
    if (entry === null) return null;
    if (entry.node.kind === 'list') return entry.node.items;
    this.reportValue(name, 'wrong_type', `${describe(entry.node)} is not a list`, 'write a list of values');
    return null;
  }

  /** Absent, or an empty list; a value of another type is an error that `list` notes. */
  hasNoItems(name: string): boolean {
    const node = this.node(name);
    return node === null || (node.kind === 'list' && node.items.length === 0);
  }

  /** A list of mappings, each with its own reader: `ports[0]`. */
  objects(name: string): FieldReader[] {
    const readers: FieldReader[] = [];
    for (const [index, item] of (this.list(name) ?? []).entries()) {
      const path = `${this.pathOf(name)}[${index}]`;
      if (item.kind === 'map') readers.push(new FieldReader(item, path, this.source, this.problems));
      else
        this.reportAt(
          item,
          path,
          'wrong_type',
          `${describe(item)} is not a mapping`,
          'write fields below it',
        );
    }
    return readers;
  }

  /** A list of texts. */
  texts(name: string): string[] {
    return this.textItems(name).map(({ value }) => value);
  }

  /** The same, each with its place. */
  textItems(name: string): TextItem[] {
    const items: TextItem[] = [];
    for (const [index, item] of (this.list(name) ?? []).entries()) {
      const path = `${this.pathOf(name)}[${index}]`;
      if (item.kind === 'scalar' && typeof item.value === 'string') {
        items.push({ value: item.value, node: item, path });
      } else {
        this.reportAt(
          item,
          path,
          'wrong_type',
          `${describe(item)} is not text`,
          'write text, in quotes if needed',
        );
      }
    }
    return items;
  }

  /** A mapping of text to text, as labels are. Null when absent or not one. */
  textMap(name: string): Record<string, string> | null {
    const reader = this.object(name);
    if (reader === null) return null;
    const pairs: [string, string][] = [];
    for (const key of reader.names()) {
      const value = reader.map.entries.get(key)?.node;
      if (value?.kind === 'scalar' && value.value === null) {
        reader.reportValue(key, 'wrong_type', 'a value is missing', 'write text, "" for an empty one');
        continue;
      }
      const text = reader.text(key);
      if (text !== null) pairs.push([key, text]);
    }
    return Object.fromEntries(pairs);
  }

  reportAt(
    node: TreeNode,
    path: string,
    code: ProblemCode,
    message: string,
    fix: string,
    severity: Severity = 'error',
  ): void {
    this.problems.add(severity, code, this.source.at(node.offset), path, message, fix);
  }

  /** Notes a problem of this mapping as a whole. */
  reportSelf(code: ProblemCode, message: string, fix: string, severity: Severity = 'error'): void {
    this.problems.add(severity, code, this.position, this.path, message, fix);
  }

  #entry(name: string): TreeEntry | null {
    const entry = this.map.entries.get(name);
    if (entry === undefined || (entry.node.kind === 'scalar' && entry.node.value === null)) return null;
    return entry;
  }

  #scalar(name: string, wanted: string): ScalarNode | null {
    const entry = this.#entry(name);
    if (entry === null) return null;
    if (entry.node.kind === 'scalar') return entry.node;
    this.reportValue(name, 'wrong_type', `${describe(entry.node)} is not ${wanted}`, `write ${wanted}`);
    return null;
  }
}

/** A value as a message names it. */
export function describe(node: TreeNode): string {
  switch (node.kind) {
    case 'map':
      return 'a mapping';
    case 'list':
      return 'a list';
    case 'scalar':
      if (node.value === null) return 'an empty value';
      return typeof node.value === 'string' ? `"${shown(node.value)}"` : shown(node.source);
    default:
      return node satisfies never;
  }
}

/** The value at `spec.ports[1].name`, or its nearest parent that exists. */
export function offsetOfPath(root: MapNode, path: string): number {
  let node: TreeNode = root;
  let { offset } = root;
  let rest = path === '' ? [] : path.replaceAll(/\[(\d+)\]/g, '.$1').split('.');
  while (rest.length > 0) {
    if (node.kind === 'map') {
      // Label keys have dots themselves: the longest name that the mapping has is meant.
      let length = rest.length;
      while (length > 1 && !node.entries.has(rest.slice(0, length).join('.'))) length -= 1;
      const entry: TreeEntry | undefined = node.entries.get(rest.slice(0, length).join('.'));
      if (entry === undefined) return offset;
      ({ node } = entry);
      // A mapping or list is said to stand at its key: that is where a reader looks for the field.
      offset = node.kind === 'scalar' && node.value !== null ? node.offset : entry.keyOffset;
      rest = rest.slice(length);
    } else {
      const item: TreeNode | undefined = node.kind === 'list' ? node.items[Number(rest[0])] : undefined;
      if (item === undefined) return offset;
      node = item;
      ({ offset } = item);
      rest = rest.slice(1);
    }
  }
  return offset;
}

function listed(names: readonly string[]): string {
  return names.length <= 12
    ? names.join(', ')
    : `${names.slice(0, 12).join(', ')} and ${names.length - 12} more`;
}
