/**
 * Refuses fields that Istio's API does not have, and values of another shape, at any depth.
 */
import { describe, FieldReader } from './field-reader.ts';
import { apiFields } from './istio-api-fields.ts';
import type { ApiField } from './istio-api-fields.ts';
import type { TreeNode } from './yaml-tree.ts';

/** Checks one message and what is inside it. */
export function checkApiFields(reader: FieldReader, message: string): void {
  const fields = apiFields(message);
  if (fields === null) return;
  for (const [name, entry] of reader.map.entries) {
    const field = fields.get(name);
    if (field === undefined) {
      reader.unknown(name, fields.keys(), message);
      continue;
    }
    if (field.inside === '*' || isNull(entry.node)) continue;
    checkShape(reader, name, entry.node, field);
  }
}

function checkShape(reader: FieldReader, name: string, node: TreeNode, field: ApiField): void {
  switch (field.shape) {
    case 'one':
      checkInside(reader, reader.pathOf(name), node, field.inside);
      break;
    case 'list':
      for (const [index, item] of (reader.list(name) ?? []).entries()) {
        checkInside(reader, `${reader.pathOf(name)}[${index}]`, item, field.inside);
      }
      break;
    case 'map': {
      const map = reader.object(name);
      for (const [key, entry] of map?.map.entries ?? []) {
        if (!isNull(entry.node))
          checkInside(reader, `${reader.pathOf(name)}.${key}`, entry.node, field.inside);
      }
      break;
    }
    default:
      field.shape satisfies never;
  }
}

function checkInside(reader: FieldReader, path: string, node: TreeNode, inside: string): void {
  if (inside === '*') return;
  if (inside === '') {
    if (node.kind !== 'scalar') {
      reader.reportAt(node, path, 'wrong_type', `${describe(node)} is not a single value`, 'write one value');
    }
  } else if (node.kind === 'map') {
    checkApiFields(new FieldReader(node, path, reader.source, reader.problems), inside);
  } else {
    reader.reportAt(node, path, 'wrong_type', `${describe(node)} is not a mapping`, 'write fields below it');
  }
}

function isNull(node: TreeNode): boolean {
  return node.kind === 'scalar' && node.value === null;
}
