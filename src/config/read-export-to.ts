/**
 * `exportTo`: the namespaces that may see a resource. `.` is its own, `*` all, `~` none.
 */
import type { FieldReader } from './field-reader.ts';
import { isLabel } from './istio-names.ts';
import type { ResourceOrigin } from './resources.ts';
import { shown } from './yaml-tree.ts';

/** What a Service says in place of a field. */
const ANNOTATION = 'networking.istio.io/exportTo';

/** Which of the values a kind may have besides `.`, `*` and namespaces. */
interface ExportRules {
  /** `~`: no namespace at all. */
  readonly mayHide: boolean;
}

/** Empty: every namespace. As written; what is wrong is noted. */
export function readExportTo(spec: FieldReader, origin: ResourceOrigin, rules: ExportRules): string[] {
  const values = spec.texts('exportTo');
  for (const [index, value] of values.entries()) {
    const wrong = faultOf(value, values, index, origin.namespace, rules);
    const node = spec.list('exportTo')?.[index];
    if (wrong === null || node === undefined) continue;
    spec.reportAt(node, `${spec.pathOf('exportTo')}[${index}]`, wrong.code, wrong.message, wrong.fix);
  }
  return values;
}

/** The same for a Service: values with commas between them. */
export function readExportAnnotation(document: FieldReader, origin: ResourceOrigin): string[] {
  const text = origin.annotations[ANNOTATION]?.trim() ?? '';
  const annotations = document.object('metadata')?.object('annotations') ?? null;
  if (text === '' || annotations === null) return [];
  const values = text.split(',').map((value) => value.trim());
  for (const [index, value] of values.entries()) {
    const wrong = faultOf(value, values, index, origin.namespace, { mayHide: true });
    if (wrong !== null) annotations.reportValue(ANNOTATION, wrong.code, wrong.message, wrong.fix);
  }
  return values;
}

interface Fault {
  readonly code: 'bad_value' | 'conflict';
  readonly message: string;
  readonly fix: string;
}

function faultOf(
  value: string,
  values: readonly string[],
  index: number,
  own: string,
  rules: ExportRules,
): Fault | null {
  if (value !== '.' && value !== '*' && !isLabel(value) && !(value === '~' && rules.mayHide)) {
    const fix = rules.mayHide ? 'write ".", "*", "~" or a namespace' : 'write ".", "*" or a namespace';
    return { code: 'bad_value', message: `"${shown(value)}" is not a namespace`, fix };
  }
  const inFull = values.map((one) => (one === '.' ? own : one));
  if (inFull.indexOf(inFull[index] ?? '') !== index) {
    return { code: 'conflict', message: `"${shown(value)}" is listed twice`, fix: 'keep one of them' };
  }
  if (values.length > 1 && (value === '*' || value === '~')) {
    return {
      code: 'conflict',
      message: `"${value}" stands beside others`,
      fix: `keep "${value}" alone, or the others`,
    };
  }
  return null;
}
