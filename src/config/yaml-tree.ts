/**
 * YAML or JSON text → plain trees whose every value knows where it stands.
 *
 * Anchors and merge keys are expanded within a budget; what YAML allows and no configuration needs
 * (keys that are not text, tags of other languages, `__proto__`) is refused with its place.
 */
import { Composer, isAlias, isMap, isPair, isScalar, isSeq, LineCounter, Parser, Scalar } from 'yaml';
import type { Document, Node, YAMLMap, YAMLSeq } from 'yaml';
import { atOnce } from '../core/in-slices.ts';
import type { Steps } from '../core/in-slices.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import type { ProblemCode } from './problem.ts';

export type TreeNode = MapNode | ListNode | ScalarNode;

export interface MapNode {
  readonly kind: 'map';
  readonly offset: number;
  readonly entries: ReadonlyMap<string, TreeEntry>;
}

export interface TreeEntry {
  readonly keyOffset: number;
  readonly node: TreeNode;
}

export interface ListNode {
  readonly kind: 'list';
  readonly offset: number;
  readonly items: readonly TreeNode[];
}

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly offset: number;
  readonly value: string | number | boolean | null;
  /** As written, without quotes. */
  readonly source: string;
  /** A `|` block: each line of the value is a line of the file. */
  readonly literalBlock: boolean;
}

/** A place in a text; lines and columns count from 1. */
export interface LineColumn {
  readonly line: number;
  readonly column: number;
}

export interface TreeProblem {
  readonly offset: number;
  readonly code: ProblemCode;
  readonly message: string;
  readonly fix: string;
}

export interface ParsedText {
  /** Documents that are not empty, in order; none of those that have a problem. */
  readonly documents: readonly TreeNode[];
  readonly problems: readonly TreeProblem[];
  readonly lineColumn: (offset: number) => LineColumn;
}

/** At most this many syntax errors of one text: the rest usually follow from the first. */
const MAX_SYNTAX_PROBLEMS = 10;

const CORE_TAGS = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => `tag:yaml.org,2002:${tag}`),
);

/** Parses all documents of a text. Never throws: what is wrong is in `problems`. */
export function parseYaml(text: string): ParsedText {
  return atOnce(parseYamlSteps(text));
}

/** The same; a step is one document. */
export function* parseYamlSteps(text: string): Steps<ParsedText> {
  const lineCounter = new LineCounter();
  const problems: TreeProblem[] = [];
  const documents: TreeNode[] = [];
  const lineColumn = (offset: number): LineColumn => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  // A raw tab is white space wherever JSON allows it; the YAML parser is stricter about some of them.
  const source = looksLikeJson(text) ? text.replaceAll('\t', ' ') : text;
  const budget = { nodes: CONFIG_LIMITS.maxNodesPerFile };
  try {
    const composer = new Composer({
      prettyErrors: false,
      // Checked here instead: theirs compares every key with every other.
      uniqueKeys: false,
      logLevel: 'silent',
    });
    for (const document of composer.compose(new Parser(lineCounter.addNewLine).parse(source))) {
      takeDocument(document, budget, documents, problems);
      if (budget.nodes < 0) break;
      yield;
    }
  } catch (thrown) {
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return {
      documents: [],
      problems: [
        {
          offset: 0,
          code: 'syntax',
          message: `cannot be parsed: ${oneLine(message)}`,
          fix: 'write valid YAML',
        },
      ],
      lineColumn,
    };
  }
  return { documents, problems, lineColumn };
}

function takeDocument(
  document: Document,
  budget: { nodes: number },
  documents: TreeNode[],
  problems: TreeProblem[],
): void {
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    if (problems.length < MAX_SYNTAX_PROBLEMS) {
      problems.push({
        offset: fault.pos[0],
        code: 'syntax',
        message: oneLine(fault.message),
        fix: syntaxFix(fault.code),
      });
    }
  }
  if (faults.length > 0 || document.contents === null) return;
  const converter = new TreeConverter(document, budget);
  const tree = converter.convert();
  problems.push(...converter.problems);
  if (tree !== null && !isEmpty(tree)) documents.push(tree);
}

function syntaxFix(code: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'indent with spaces';
    case 'RESOURCE_EXHAUSTION':
      return `nest less than ${CONFIG_LIMITS.maxDepth} levels`;
    case 'TAG_RESOLVE_FAILED':
      return 'remove the tag';
    default:
      return 'correct the YAML here';
  }
}

function oneLine(message: string): string {
  return message.split('\n', 1)[0]?.replace(/[.:]$/, '').slice(0, 200) ?? '';
}

function looksLikeJson(text: string): boolean {
  return /^\uFEFF?\s*[[{]/.test(text.slice(0, 1_000));
}

function isEmpty(tree: TreeNode): boolean {
  return tree.kind === 'scalar' && tree.value === null;
}

/** Stops the conversion of one document; its problem is already noted. */
class Refused extends Error {}

/** An anchored value, converted once however many aliases name it. */
interface Anchored {
  /** null while it is being converted: an alias found then contains itself. */
  tree: TreeNode | null;
  /** Values in it, anchors expanded: each alias costs that much of the budget. */
  size: number;
  height: number;
}

class TreeConverter {
  readonly problems: TreeProblem[] = [];
  readonly #document: Document;
  readonly #budget: { nodes: number };
  /** The latest value of each anchor so far: an alias means the one before it. */
  readonly #anchors = new Map<string, Anchored>();
  #deepest = 0;

  constructor(document: Document, budget: { nodes: number }) {
    this.#document = document;
    this.#budget = budget;
  }

  convert(): TreeNode | null {
    try {
      const tree = this.#node(this.#document.contents, 0, 0);
      return this.problems.length === 0 ? tree : null;
    } catch (thrown) {
      if (!(thrown instanceof Refused)) throw thrown;
      return null;
    }
  }

  #node(node: unknown, offset: number, depth: number): TreeNode {
    this.#spend(offset, 1, depth);
    if (isAlias(node)) return this.#alias(node.source, node.range?.[0] ?? offset, depth);
    if (isScalar(node) || isMap(node) || isSeq(node)) {
      const start = node.range?.[0] ?? offset;
      return node.anchor === undefined
        ? this.#value(node, start, depth)
        : this.#anchored(node, node.anchor, start, depth);
    }
    return { kind: 'scalar', offset, value: null, source: '', literalBlock: false };
  }

  #value(node: Scalar | YAMLMap | YAMLSeq, start: number, depth: number): TreeNode {
    this.#checkTag(node);
    if (isMap(node)) return this.#map(node.items, start, depth);
    if (isScalar(node)) return this.#scalar(node, start);
    return {
      kind: 'list',
      offset: start,
      items: node.items.map((item) => this.#node(item, start, depth + 1)),
    };
  }

  #anchored(node: Scalar | YAMLMap | YAMLSeq, anchor: string, start: number, depth: number): TreeNode {
    const entry: Anchored = { tree: null, size: 0, height: 0 };
    this.#anchors.set(anchor, entry);
    const nodesBefore = this.#budget.nodes;
    const deepestBefore = this.#deepest;
    this.#deepest = depth;
    const tree = this.#value(node, start, depth);
    entry.tree = tree;
    entry.size = nodesBefore - this.#budget.nodes;
    entry.height = this.#deepest - depth;
    this.#deepest = Math.max(this.#deepest, deepestBefore);
    return tree;
  }

  #alias(name: string, offset: number, depth: number): TreeNode {
    const anchored = this.#anchors.get(name);
    if (anchored === undefined) {
      this.#refuse(
        offset,
        'syntax',
        `the alias "*${shown(name)}" has no anchor before it`,
        'define the anchor first',
      );
    }
    if (anchored.tree === null) {
      this.#refuse(offset, 'syntax', `the alias "*${shown(name)}" contains itself`, 'write the value out');
    }
    this.#spend(offset, anchored.size, depth + anchored.height);
    return anchored.tree;
  }

  #spend(offset: number, nodes: number, depth: number): void {
    this.#budget.nodes -= nodes;
    this.#deepest = Math.max(this.#deepest, depth);
    if (this.#budget.nodes < 0) {
      const message = `the file has more than ${CONFIG_LIMITS.maxNodesPerFile} values, anchors expanded`;
      this.#refuse(offset, 'too_large', message);
    }
    if (depth > CONFIG_LIMITS.maxDepth) {
      this.#refuse(offset, 'too_large', `the document is nested more than ${CONFIG_LIMITS.maxDepth} levels`);
    }
  }

  #scalar(node: Scalar, offset: number): ScalarNode {
    const literalBlock = node.type === Scalar.BLOCK_LITERAL;
    const { value } = node;
    const source = node.source ?? (typeof value === 'string' ? value : '');
    if (
      value === null ||
      typeof value === 'string' ||
      typeof value === 'number' ||
      typeof value === 'boolean'
    ) {
      return { kind: 'scalar', offset, value, source, literalBlock };
    }
    // Dates, bigints and binaries come only from tags and directives of YAML 1.1: their text is meant.
    return { kind: 'scalar', offset, value: source, source, literalBlock };
  }

  #map(items: readonly unknown[], start: number, depth: number): MapNode {
    const entries = new Map<string, TreeEntry>();
    const merged: TreeNode[] = [];
    for (const item of items) {
      if (!isPair(item)) continue;
      const key = this.#key(item.key, start);
      const node = this.#node(item.value, key.offset, depth + 1);
      if (key.isMerge) {
        merged.push(node);
        continue;
      }
      if (entries.has(key.name)) {
        this.problems.push({
          offset: key.offset,
          code: 'duplicate_key',
          message: `the key "${shown(key.name)}" stands twice in one mapping`,
          fix: 'keep one of them',
        });
      }
      entries.set(key.name, { keyOffset: key.offset, node });
    }
    for (const node of merged) this.#merge(entries, node);
    return { kind: 'map', offset: start, entries };
  }

  /** `<<: *defaults`: what the mapping has itself wins over what is merged, earlier over later. */
  #merge(entries: Map<string, TreeEntry>, node: TreeNode): void {
    const sources = node.kind === 'list' ? node.items : [node];
    for (const source of sources) {
      if (source.kind !== 'map') {
        this.#refuse(
          source.offset,
          'syntax',
          'the merge key "<<" takes mappings only',
          'write the fields out',
        );
      }
      for (const [name, entry] of source.entries) {
        this.#spend(source.offset, 1, 0);
        if (!entries.has(name)) entries.set(name, entry);
      }
    }
  }

  #key(key: unknown, fallbackOffset: number): { name: string; offset: number; isMerge: boolean } {
    const offset =
      (isScalar(key) || isAlias(key) || isMap(key) || isSeq(key) ? key.range?.[0] : undefined) ??
      fallbackOffset;
    const value = isScalar(key) ? key.value : null;
    if (
      !isScalar(key) ||
      (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    ) {
      this.#refuse(offset, 'bad_key', 'a key must be text', 'write a name before the colon');
    }
    const plain = key.type === Scalar.PLAIN;
    // 8080 and "8080" are one key, as in Kubernetes, where every document becomes JSON.
    const name = plain ? (key.source ?? '') : String(value);
    if (name === '__proto__') {
      this.#refuse(offset, 'bad_key', 'the key "__proto__" is not a field of anything', 'remove it');
    }
    return { name, offset, isMerge: plain && name === '<<' };
  }

  #checkTag(node: Node & { tag?: string | undefined }): void {
    if (node.tag === undefined || CORE_TAGS.has(node.tag)) return;
    this.#refuse(
      node.range?.[0] ?? 0,
      'syntax',
      `the tag "${shown(node.tag)}" is not supported`,
      'remove the tag',
    );
  }

  #refuse(offset: number, code: ProblemCode, message: string, fix = 'make it smaller'): never {
    this.problems.push({ offset, code, message, fix });
    throw new Refused(message);
  }
}

/** Text of a file as it may stand in one line of a message. */
export function shown(text: string): string {
  const line = JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text).slice(1, -1);
  return line.replaceAll('\\"', '"');
}
