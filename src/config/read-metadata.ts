/**
 * `apiVersion`, `kind` and `metadata` of a document: who it is and where it belongs.
 */
import { offsetOfPath } from './field-reader.ts';
import type { FieldReader } from './field-reader.ts';
import { isLabel, isSubdomain } from './istio-names.ts';
import type { ResourceOrigin } from './resources.ts';
import { shown } from './yaml-tree.ts';

/** What a document may have at its top. */
export const DOCUMENT_FIELDS: ReadonlySet<string> = new Set([
  'apiVersion',
  'kind',
  'metadata',
  'spec',
  'status',
]);
const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Null when the document cannot be named; what is wrong is noted. */
export function readOrigin(document: FieldReader, defaultNamespace: string): ResourceOrigin | null {
  const metadata = document.object('metadata');
  if (metadata === null) {
    if (!document.has('metadata'))
      document.report('metadata', 'missing_field', 'metadata is missing', 'add metadata.name');
    return null;
  }
  const name = metadata.text('name');
  if (name === null || name === '') {
    if (!metadata.has('name') || name === '') {
      metadata.report('name', 'missing_field', 'the document has no name', 'add metadata.name');
    }
    return null;
  }
  if (!isSubdomain(name)) {
    metadata.reportValue('name', 'bad_value', `"${shown(name)}" is not a name`, 'use a-z, 0-9, "-" and "."');
    return null;
  }
  const namespace = metadata.text('namespace') ?? '';
  if (namespace !== '' && !isLabel(namespace)) {
    metadata.reportValue(
      'namespace',
      'bad_value',
      `"${shown(namespace)}" is not a namespace`,
      'use a-z, 0-9 and "-"',
    );
    return null;
  }
  const root = document.map;
  const { source } = document;
  return {
    kind: document.text('kind') ?? '',
    apiVersion: document.text('apiVersion') ?? '',
    name,
    namespace: namespace === '' ? defaultNamespace : namespace,
    namespaceGiven: namespace !== '',
    createdAtMs: readCreationTimestamp(metadata),
    labels: metadata.textMap('labels') ?? {},
    annotations: metadata.textMap('annotations') ?? {},
    position: source.at(root.offset),
    positionOf: (path) => source.at(offsetOfPath(root, path)),
  };
}

function readCreationTimestamp(metadata: FieldReader): number | null {
  const text = metadata.text('creationTimestamp');
  if (text === null) return null;
  const atMs = TIMESTAMP.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(atMs)) {
    const message = `"${shown(text)}" is not a time`;
    metadata.reportValue('creationTimestamp', 'bad_value', message, 'write it as 2026-01-31T12:00:00Z');
    return null;
  }
  return atMs;
}
