/**
 * One document after another → resources: which kind it is, whether this version acts on it, and its fields.
 */
import { ISTIO_KINDS, ISTIO_VERSIONS, KUBERNETES_KINDS } from './api-kinds.ts';
import type { KindUse } from './api-kinds.ts';
import { checkApiFields } from './check-api-fields.ts';
import type { ConfigFileKind } from './config-file-kind.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import { FieldReader } from './field-reader.ts';
import { MeshConfigDocuments } from './mesh-config-documents.ts';
import { editDistance, nearestName } from './nearest-name.ts';
import { compareBytes } from './problem.ts';
import type { ProblemList } from './problem.ts';
import { DOCUMENT_FIELDS, readOrigin } from './read-metadata.ts';
import { ResourceCollector } from './resource-collector.ts';
import type { Position, ResourceOrigin, Resources } from './resources.ts';
import type { SourceText } from './source-text.ts';
import { warnOfAbsentValues } from './warn-of-absent-values.ts';
import { shown } from './yaml-tree.ts';
import type { TreeNode } from './yaml-tree.ts';

/** What a document inherits from the file that it stands in. */
export interface DocumentContext {
  readonly source: SourceText;
  readonly text: string;
  readonly namespace: string;
}

interface DocumentType {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly apiVersion: string;
}

const LIST_FIELDS = new Set(['apiVersion', 'kind', 'metadata', 'items']);
/** Kinds that decide access: a group that is only misspelled must not hide them. */
const ACCESS_KINDS = new Set(Object.keys(ISTIO_KINDS['security.istio.io'] ?? {}));
/** Of which a part left blank lets more through, or less; `mtls` left blank is UNSET, as in Istio's own examples. */
const POLICY_KINDS = new Set(['AuthorizationPolicy', 'RequestAuthentication']);

export class DocumentReader {
  readonly skippedKinds: Map<string, number> = new Map();
  readonly #problems: ProblemList;
  readonly #resources = new ResourceCollector();
  readonly #mesh: MeshConfigDocuments;
  readonly #named = new Map<string, Position>();
  #documents = 0;
  #firstSkipped: Position | null = null;

  constructor(problems: ProblemList) {
    this.#problems = problems;
    this.#mesh = new MeshConfigDocuments(problems);
  }

  read(tree: TreeNode, context: DocumentContext): void {
    this.#documents += 1;
    if (this.#documents > CONFIG_LIMITS.maxDocuments) {
      // Said once; the rest of the load is refused with it.
      if (this.#documents === CONFIG_LIMITS.maxDocuments + 1) {
        const message = `more than ${CONFIG_LIMITS.maxDocuments} documents are listed`;
        this.#problems.add('error', 'too_large', context.source.at(tree.offset), '', message, 'remove some');
      }
      return;
    }
    if (tree.kind !== 'map') {
      this.#notADocument(tree, context, 'the document is not a mapping');
      return;
    }
    const document = new FieldReader(tree, '', context.source, this.#problems);
    const onlyKey = tree.entries.size === 1 ? document.names()[0] : undefined;
    if (onlyKey === 'meshConfig') {
      this.#mesh.take(document.object('meshConfig'), document);
      return;
    }
    const kind = document.text('kind');
    if (kind === 'MeshConfig') {
      this.#mesh.takeKind(document);
      return;
    }
    const apiVersion = document.text('apiVersion');
    if (kind === null || apiVersion === null) {
      this.#missingKind(document, context, kind === null ? 'kind' : 'apiVersion');
      return;
    }
    if (kind.endsWith('List') && tree.entries.get('items') !== undefined) {
      document.refuseUnknown(LIST_FIELDS, kind);
      for (const item of document.list('items') ?? []) this.read(item, context);
      return;
    }
    if (kind === 'List') {
      // Skipped as another group's kind, whatever is in it would be left out with it.
      document.refuseUnknown(LIST_FIELDS, kind);
      document.report('items', 'missing_field', 'the List has no items', 'add items: []');
      return;
    }
    const slash = apiVersion.lastIndexOf('/');
    const group = slash === -1 ? '' : apiVersion.slice(0, slash);
    this.#readKind(document, context, { group, version: apiVersion.slice(slash + 1), kind, apiVersion });
  }

  /** A postern.yaml that stands in its own `config` folder. */
  skipConfigFile(tree: TreeNode, kind: ConfigFileKind, source: SourceText): void {
    const message = `this looks like ${kind}, not an Istio document; it is skipped here`;
    this.#problems.add('info', 'skipped_kinds', source.at(tree.offset), '', message, '');
  }

  finish(): Resources {
    this.#reportSkipped();
    return this.#resources.finish(this.#mesh.meshConfig);
  }

  #readKind(document: FieldReader, context: DocumentContext, type: DocumentType): void {
    const { group, version, kind, apiVersion } = type;
    const kinds = Object.hasOwn(ISTIO_KINDS, group) ? ISTIO_KINDS[group] : undefined;
    if (kinds !== undefined) {
      const use = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
      if (use === undefined) {
        const message = `${group} has no kind "${shown(kind)}"`;
        document.reportValue('kind', 'unknown_kind', message, didYouMean(kind, Object.keys(kinds)));
      } else if (ISTIO_VERSIONS.includes(version)) this.#readIstio(document, context, kind, use);
      else {
        const message = `${group} has no version "${shown(version)}"`;
        document.reportValue('apiVersion', 'unknown_version', message, `write ${group}/v1`);
      }
    } else if (this.#readKubernetes(document, context, type)) return;
    else if (apiVersion === 'v1' && kind === 'ConfigMap' && this.#mesh.takeConfigMap(document, context.text))
      return;
    else if (group === 'install.istio.io' && kind === 'IstioOperator' && this.#mesh.takeOperator(document))
      return;
    else if (!this.#refuseMisspelledGroup(document, group, kind)) this.#skip(document, apiVersion, kind);
  }

  #readIstio(document: FieldReader, context: DocumentContext, kind: string, use: KindUse): void {
    document.refuseUnknown(DOCUMENT_FIELDS, kind);
    const spec = document.object('spec');
    if (spec !== null) {
      checkApiFields(spec, kind);
      if (POLICY_KINDS.has(kind)) warnOfAbsentValues(spec);
    }
    switch (use.use) {
      case 'acted-on': {
        const origin = this.#originOf(document, context);
        if (origin !== null) this.#resources.take(document, origin);
        break;
      }
      case 'ignored':
        document.report(
          'kind',
          'ignored_kind',
          `${kind} has no effect: ${use.effect}`,
          'remove it, or leave it',
          'warning',
        );
        break;
      default:
        use satisfies never;
    }
  }

  /** Kinds of Kubernetes itself that are read, among the many that are skipped; false: it is none of them. */
  #readKubernetes(document: FieldReader, context: DocumentContext, type: DocumentType): boolean {
    const { group, version, kind } = type;
    const kinds = Object.hasOwn(KUBERNETES_KINDS, group) ? KUBERNETES_KINDS[group] : undefined;
    const known = kinds?.find((name) => name.toLowerCase() === kind.toLowerCase());
    if (known === undefined) return false;
    if (known !== kind) {
      const message = `there is no kind "${shown(kind)}"`;
      document.reportValue('kind', 'unknown_kind', message, `did you mean "${known}"?`);
    } else if (version !== 'v1') {
      const message = `this version does not read ${shown(type.apiVersion)} ${kind}`;
      const fix = `write ${group === '' ? 'v1' : `${group}/v1`}`;
      document.reportValue('apiVersion', 'unknown_version', message, fix);
    } else {
      // Endpoints and EndpointSlice have their fields at the top.
      if (kind === 'Service') document.refuseUnknown(DOCUMENT_FIELDS, kind);
      const origin = this.#originOf(document, context);
      if (origin !== null) this.#resources.take(document, origin);
    }
    return true;
  }

  #originOf(document: FieldReader, context: DocumentContext): ResourceOrigin | null {
    const origin = readOrigin(document, context.namespace);
    if (origin === null) return null;
    const identity = `${origin.kind} ${origin.namespace}/${origin.name}`;
    const first = this.#named.get(identity);
    if (first === undefined) this.#named.set(identity, origin.position);
    else {
      // kubectl would let the later one replace the earlier; which of two modes is in force must not hang on that.
      const message = `${identity} is defined twice; the first is at ${first.file}:${first.line}`;
      document.object('metadata')?.reportValue('name', 'duplicate_resource', message, 'keep one of them');
    }
    return origin;
  }

  /** `securty.istio.io PeerAuthentication` must not be skipped as another group's kind. */
  #refuseMisspelledGroup(document: FieldReader, group: string, kind: string): boolean {
    const near = nearestGroup(group);
    const isIstio = group.endsWith('.istio.io') && group !== 'install.istio.io';
    if (!isIstio && (near === null || !ACCESS_KINDS.has(kind)) && !(group === '' && ACCESS_KINDS.has(kind)))
      return false;
    const fix =
      near === null ? `known are ${Object.keys(ISTIO_KINDS).join(', ')}` : `did you mean "${near}"?`;
    const message = `Istio has no API group "${shown(group)}" with kind "${shown(kind)}"`;
    document.reportValue('apiVersion', 'unknown_kind', message, fix);
    return true;
  }

  #skip(document: FieldReader, apiVersion: string, kind: string): void {
    const type = `${shown(apiVersion)} ${shown(kind)}`;
    this.skippedKinds.set(type, (this.skippedKinds.get(type) ?? 0) + 1);
    this.#firstSkipped ??= document.position;
  }

  #reportSkipped(): void {
    if (this.#firstSkipped === null) return;
    const counts = [...this.skippedKinds].toSorted(([a], [b]) => compareBytes(a, b));
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    const listed = counts.slice(0, 10).map(([type, count]) => `${count} ${type}`);
    const more = counts.length > 10 ? `, and ${counts.length - 10} more kinds` : '';
    const noun = total === 1 ? 'document' : 'documents';
    const message = `${total} ${noun} of other API groups skipped: ${listed.join(', ')}${more}`;
    this.#problems.add('info', 'skipped_kinds', this.#firstSkipped, '', message, '');
  }

  #missingKind(document: FieldReader, context: DocumentContext, missing: string): void {
    if (document.has(missing)) return;
    const nearest = nearestName(missing, document.names());
    const hint = nearest === null ? '' : ` (it has "${shown(nearest)}")`;
    this.#notADocument(document.map, context, `the document has no ${missing}${hint}`);
  }

  #notADocument(tree: TreeNode, context: DocumentContext, message: string): void {
    const fix = 'write a document with apiVersion, kind and metadata';
    this.#problems.add('error', 'not_a_document', context.source.at(tree.offset), '', message, fix);
  }
}

function didYouMean(wrong: string, known: readonly string[]): string {
  const nearest = nearestName(wrong, known);
  return nearest === null ? `known are ${known.join(', ')}` : `did you mean "${nearest}"?`;
}

function nearestGroup(group: string): string | null {
  return Object.keys(ISTIO_KINDS).find((known) => editDistance(group.toLowerCase(), known, 4) < 4) ?? null;
}
