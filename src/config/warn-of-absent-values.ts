/**
 * Fields of policies that have a name but no value: to the API they are absent, which for `from` or `action` is far
 * from what somebody meant who left them blank, or whose template did.
 */
import type { FieldReader } from './field-reader.ts';
import { shown } from './yaml-tree.ts';
import type { TreeNode } from './yaml-tree.ts';

/** Whose absence is an error, as that of a label's value and of a list's item is: it is said where they are read. */
const REQUIRED = new Set(['source', 'operation']);

export function warnOfAbsentValues(spec: FieldReader): void {
  visit(spec, spec.map, spec.path);
}

function visit(spec: FieldReader, node: TreeNode, path: string): void {
  if (node.kind === 'list') {
    for (const [index, item] of node.items.entries()) visit(spec, item, `${path}[${index}]`);
  } else if (node.kind === 'map') {
    for (const [name, entry] of node.entries) {
      const at = `${path}.${name}`;
      if (!isNull(entry.node)) {
        if (name !== 'matchLabels') visit(spec, entry.node, at);
      } else if (!REQUIRED.has(name)) warnOfField(spec, name, entry.node, at);
    }
  }
}

function warnOfField(spec: FieldReader, name: string, node: TreeNode, path: string): void {
  const message = `${shown(name)} has no value and counts as not written`;
  spec.reportAt(node, path, 'empty', message, 'write its value, or remove it', 'warning');
}

function isNull(node: TreeNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}
