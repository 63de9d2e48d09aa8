/**
 * Which workloads a resource is for: `selector.matchLabels`, or `workloadSelector.labels` of older kinds.
 */
import type { FieldReader } from './field-reader.ts';
import { shown } from './yaml-tree.ts';

/** `selector.matchLabels`; null when there is no label to match. */
export function readSelector(
  spec: FieldReader,
  field: 'selector' | 'workloadSelector' = 'selector',
): Readonly<Record<string, string>> | null {
  return readLabels(spec.object(field), 'matchLabels');
}

/** `workloadSelector.labels`; without labels it is as if it were not there, of which `effect` is said. */
export function readLabelSelector(
  spec: FieldReader,
  effect: string,
): Readonly<Record<string, string>> | null {
  const labels = readLabels(spec.object('workloadSelector'), 'labels');
  if (labels === null && spec.has('workloadSelector')) {
    const message = `workloadSelector has no labels: ${effect}`;
    spec.report('workloadSelector', 'empty', message, 'add labels, or remove it', 'warning');
  }
  return labels;
}

function readLabels(
  selector: FieldReader | null,
  field: 'matchLabels' | 'labels',
): Readonly<Record<string, string>> | null {
  const labels = selector?.textMap(field) ?? null;
  const reader = selector?.object(field) ?? null;
  if (labels === null || reader === null) return null;
  for (const [key, value] of Object.entries(labels)) {
    if (key === '') reader.report(key, 'bad_value', 'a label has no name', 'write the label to match');
    else if (key.includes('*') || value.includes('*')) {
      const message = `the selector matches labels literally and "${shown(key)}: ${shown(value)}" has a "*"`;
      reader.report(key, 'bad_value', message, 'write the label in full');
    }
  }
  return Object.keys(labels).length === 0 ? null : labels;
}
