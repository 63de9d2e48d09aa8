/**
 * One document after another → resources: which kind it is, whether this version acts on it, and its fields.
 */
import { ISTIO_KINDS, ISTIO_VERSIONS } from './api-kinds.ts';
import type { KindUse } from './api-kinds.ts';
import { checkApiFields } from './check-api-fields.ts';
import type { ConfigFileKind } from './config-file-kind.ts';
import { CONFIG_LIMITS } from './config-limits.ts';
import { FieldReader } from './field-reader.ts';
import { editDistance, nearestName } from './nearest-name.ts';
import { compareBytes } from './problem.ts';
import type { ProblemList } from './problem.ts';
import { DEFAULT_MESH_CONFIG, readMeshConfig } from './read-mesh-config.ts';
import { readOrigin } from './read-metadata.ts';
import { readPeerAuthentication } from './read-peer-authentication.ts';
import { readService } from './read-service.ts';
import type {
  MeshConfig,
  PeerAuthentication,
  Position,
  ResourceOrigin,
  Resources,
  Service,
} from './resources.ts';
import { embeddedSource } from './source-text.ts';
import type { SourceText } from './source-text.ts';
import { parseYaml, shown } from './yaml-tree.ts';
import type { TreeNode } from './yaml-tree.ts';

/** What a document inherits from the file that it stands in. */
export interface DocumentContext {
  readonly source: SourceText;
  readonly text: string;
  readonly namespace: string;
}

const TOP_FIELDS = new Set(['apiVersion', 'kind', 'metadata', 'spec', 'status']);
const LIST_FIELDS = new Set(['apiVersion', 'kind', 'metadata', 'items']);
/** Kinds that decide access: a group that is only misspelled must not hide them. */
const ACCESS_KINDS = new Set(Object.keys(ISTIO_KINDS['security.istio.io'] ?? {}));

export class DocumentReader {
  readonly skippedKinds: Map<string, number> = new Map();
  readonly #problems: ProblemList;
  readonly #peerAuthentications: PeerAuthentication[] = [];
  readonly #services: Service[] = [];
  readonly #named = new Map<string, Position>();
  #meshConfig: MeshConfig | null = null;
  #documents = 0;
  #firstSkipped: Position | null = null;

  constructor(problems: ProblemList) {
    this.#problems = problems;
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
      this.#takeMeshConfig(document.object('meshConfig'), document);
      return;
    }
    const kind = document.text('kind');
    if (kind === 'MeshConfig') {
      this.#readMeshConfigKind(document);
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
    return {
      peerAuthentications: this.#peerAuthentications.toSorted(oldestFirst),
      services: this.#services.toSorted(oldestFirst),
      serviceEntries: [],
      workloadEntries: [],
      serviceEndpoints: [],
      destinationRules: [],
      sidecars: [],
      meshConfig: this.#meshConfig ?? DEFAULT_MESH_CONFIG,
    };
  }

  #readKind(
    document: FieldReader,
    context: DocumentContext,
    type: { group: string; version: string; kind: string; apiVersion: string },
  ): void {
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
    } else if (group === 'install.istio.io' && kind === 'IstioOperator')
      this.#readOperator(document, apiVersion);
    else if (apiVersion === 'v1' && kind.toLowerCase() === 'service')
      this.#readCoreService(document, context, kind);
    else if (apiVersion === 'v1' && kind === 'ConfigMap') this.#readConfigMap(document, context);
    else if (!this.#refuseMisspelledGroup(document, group, kind)) this.#skip(document, apiVersion, kind);
  }

  #readIstio(document: FieldReader, context: DocumentContext, kind: string, use: KindUse): void {
    document.refuseUnknown(TOP_FIELDS, kind);
    const spec = document.object('spec');
    if (spec !== null) checkApiFields(spec, kind);
    switch (use.use) {
      case 'acted-on': {
        const origin = this.#originOf(document, context);
        if (origin !== null) this.#peerAuthentications.push(readPeerAuthentication(document, origin));
        break;
      }
      case 'refused':
        document.report(
          'kind',
          'not_enforced',
          `this version cannot enforce ${kind}`,
          'remove it, or use a version that can',
        );
        break;
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

  #readCoreService(document: FieldReader, context: DocumentContext, kind: string): void {
    if (kind !== 'Service') {
      document.reportValue(
        'kind',
        'unknown_kind',
        `there is no kind "${shown(kind)}"`,
        'did you mean "Service"?',
      );
      return;
    }
    document.refuseUnknown(TOP_FIELDS, kind);
    const origin = this.#originOf(document, context);
    if (origin !== null) this.#services.push(readService(document, origin));
  }

  /** Istio keeps its MeshConfig as YAML text in `data.mesh`. */
  #readConfigMap(document: FieldReader, context: DocumentContext): void {
    const data = document.object('data');
    const node = data?.node('mesh') ?? null;
    if (data === null || node === null) {
      this.#skip(document, 'v1', 'ConfigMap');
      return;
    }
    const text = data.text('mesh');
    if (text === null || node.kind !== 'scalar') return;
    const parsed = parseYaml(text);
    const source = embeddedSource(context.source, context.text, node, parsed.lineColumn);
    for (const problem of parsed.problems) {
      this.#problems.add(
        'error',
        problem.code,
        source.at(problem.offset),
        'data.mesh',
        problem.message,
        problem.fix,
      );
    }
    const [tree, second] = parsed.documents;
    if (tree === undefined) {
      if (parsed.problems.length === 0) this.#takeMeshConfig(emptyReader(data, source, this.#problems), data);
      return;
    }
    if (tree.kind !== 'map' || second !== undefined) {
      data.reportValue(
        'mesh',
        'wrong_type',
        'data.mesh is not one MeshConfig',
        'write the fields of one MeshConfig',
      );
      return;
    }
    this.#takeMeshConfig(new FieldReader(tree, '', source, this.#problems), data);
  }

  #readOperator(document: FieldReader, apiVersion: string): void {
    const spec = document.object('spec');
    if (spec?.object('values')?.has('meshConfig') === true) {
      const fix = 'write it as spec.meshConfig';
      spec.object('values')?.report('meshConfig', 'not_enforced', 'spec.values.meshConfig is not read', fix);
    }
    if (spec === null || !spec.has('meshConfig')) this.#skip(document, apiVersion, 'IstioOperator');
    else this.#takeMeshConfig(spec.object('meshConfig'), spec);
  }

  #readMeshConfigKind(document: FieldReader): void {
    if (document.has('spec')) {
      document.refuseUnknown(TOP_FIELDS, 'MeshConfig');
      this.#takeMeshConfig(document.object('spec'), document);
      return;
    }
    const entries = new Map(document.map.entries);
    for (const name of ['apiVersion', 'kind', 'metadata', 'status', 'spec']) entries.delete(name);
    const fields = { ...document.map, entries };
    this.#takeMeshConfig(new FieldReader(fields, '', document.source, this.#problems), document);
  }

  #takeMeshConfig(mesh: FieldReader | null, holder: FieldReader): void {
    if (mesh === null) {
      if (!holder.has('meshConfig')) {
        holder.report(
          'meshConfig',
          'empty',
          'meshConfig has no fields',
          'write its fields below it',
          'warning',
        );
      }
      return;
    }
    const read = readMeshConfig(mesh);
    const first = this.#meshConfig?.position;
    if (first === undefined || first === null) {
      this.#meshConfig = read;
      return;
    }
    const message = `a second MeshConfig; the first is at ${first.file}:${first.line}`;
    this.#problems.add('error', 'duplicate_resource', mesh.position, mesh.path, message, 'keep one of them');
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

function emptyReader(data: FieldReader, source: SourceText, problems: ProblemList): FieldReader {
  return new FieldReader({ kind: 'map', offset: 0, entries: new Map() }, '', source, problems, data.offset);
}

function didYouMean(wrong: string, known: readonly string[]): string {
  const nearest = nearestName(wrong, known);
  return nearest === null ? `known are ${known.join(', ')}` : `did you mean "${nearest}"?`;
}

function nearestGroup(group: string): string | null {
  return Object.keys(ISTIO_KINDS).find((known) => editDistance(group.toLowerCase(), known, 4) < 4) ?? null;
}

/** Of two documents, the one that Istio would take as older. */
export function oldestFirst(a: ResourceOrigin, b: ResourceOrigin): number {
  const byTime = (a.createdAtMs ?? Number.POSITIVE_INFINITY) - (b.createdAtMs ?? Number.POSITIVE_INFINITY);
  if (byTime !== 0 && !Number.isNaN(byTime)) return byTime;
  const byFile = compareBytes(a.position.file, b.position.file);
  return byFile || a.position.line - b.position.line || a.position.column - b.position.column;
}
