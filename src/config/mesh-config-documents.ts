/**
 * MeshConfig in all the documents that it may stand in: of its own kind, in Istio's ConfigMap, in an IstioOperator,
 * or below the single key `meshConfig`. A second one is an error.
 */
import { FieldReader } from './field-reader.ts';
import type { ProblemList } from './problem.ts';
import { DEFAULT_MESH_CONFIG, readMeshConfig } from './read-mesh-config.ts';
import { DOCUMENT_FIELDS } from './read-metadata.ts';
import type { MeshConfig } from './resources.ts';
import { embeddedSource } from './source-text.ts';
import type { SourceText } from './source-text.ts';
import { parseYaml } from './yaml-tree.ts';
import type { ScalarNode } from './yaml-tree.ts';

export class MeshConfigDocuments {
  readonly #problems: ProblemList;
  #read: MeshConfig | null = null;

  constructor(problems: ProblemList) {
    this.#problems = problems;
  }

  /** The one that was taken; Istio's defaults when none was. */
  get meshConfig(): MeshConfig {
    return this.#read ?? DEFAULT_MESH_CONFIG;
  }

  /** Istio keeps it as YAML text in `data.mesh`. False: it holds none. */
  takeConfigMap(document: FieldReader, outerText: string): boolean {
    const data = document.object('data');
    const node = data?.node('mesh') ?? null;
    if (data === null || node === null) return false;
    const text = data.text('mesh');
    if (text !== null && node.kind === 'scalar') this.#takeText(text, node, data, outerText);
    return true;
  }

  #takeText(text: string, node: ScalarNode, data: FieldReader, outerText: string): void {
    const parsed = parseYaml(text);
    const source = embeddedSource(data.source, outerText, node, parsed.lineColumn);
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
      if (parsed.problems.length === 0) this.take(emptyReader(data, source, this.#problems), data);
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
    this.take(new FieldReader(tree, '', source, this.#problems), data);
  }

  /** False: it holds none. */
  takeOperator(document: FieldReader): boolean {
    const spec = document.object('spec');
    if (spec?.object('values')?.has('meshConfig') === true) {
      const fix = 'write it as spec.meshConfig';
      spec.object('values')?.report('meshConfig', 'not_enforced', 'spec.values.meshConfig is not read', fix);
    }
    if (spec === null || !spec.has('meshConfig')) return false;
    this.take(spec.object('meshConfig'), spec);
    return true;
  }

  /** `kind: MeshConfig`, its fields in `spec` or at the top. */
  takeKind(document: FieldReader): void {
    if (document.has('spec')) {
      document.refuseUnknown(DOCUMENT_FIELDS, 'MeshConfig');
      this.take(document.object('spec'), document);
      return;
    }
    const entries = new Map(document.map.entries);
    for (const name of ['apiVersion', 'kind', 'metadata', 'status', 'spec']) entries.delete(name);
    const fields = { ...document.map, entries };
    this.take(new FieldReader(fields, '', document.source, this.#problems), document);
  }

  /** `mesh` is null where `holder` has the field and it is no mapping, or is empty. */
  take(mesh: FieldReader | null, holder: FieldReader): void {
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
    const first = this.#read?.position;
    if (first === undefined || first === null) {
      this.#read = read;
      return;
    }
    const message = `a second MeshConfig; the first is at ${first.file}:${first.line}`;
    this.#problems.add('error', 'duplicate_resource', mesh.position, mesh.path, message, 'keep one of them');
  }
}

function emptyReader(data: FieldReader, source: SourceText, problems: ProblemList): FieldReader {
  return new FieldReader({ kind: 'map', offset: 0, entries: new Map() }, '', source, problems, data.offset);
}
