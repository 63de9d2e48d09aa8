/**
 * Whom a policy is for: `selector`, `targetRef` or `targetRefs`, at most one of them.
 */
import type { FieldReader } from './field-reader.ts';
import { readSelector } from './read-selector.ts';

export interface PolicyTarget {
  readonly matchLabels: Readonly<Record<string, string>> | null;
  readonly hasTargetRefs: boolean;
}

const MAX_TARGET_REFS = 16;

export function readPolicyTarget(spec: FieldReader): PolicyTarget {
  const written = ['selector', 'targetRef', 'targetRefs'].filter(
    (name) => spec.has(name) && !(name === 'targetRefs' && spec.hasNoItems(name)),
  );
  if (written.length > 1) {
    const message = `the policy has ${written.join(' and ')}`;
    spec.report(written[1]!, 'conflict', message, 'keep at most one of them');
  }
  const matchLabels = readSelector(spec);
  if (matchLabels === null && spec.object('selector') !== null) {
    const message = 'selector has no labels: the policy is for every workload of its scope';
    spec.report('selector', 'empty', message, 'add matchLabels, or remove it', 'warning');
  }
  const references = spec.objects('targetRefs');
  if (references.length > MAX_TARGET_REFS) {
    const message = `targetRefs has ${references.length} entries, more than ${MAX_TARGET_REFS}`;
    spec.report('targetRefs', 'out_of_range', message, 'split the policy');
  }
  const single = spec.object('targetRef');
  if (single !== null) references.push(single);
  for (const reference of references) checkReference(reference);
  return { matchLabels, hasTargetRefs: references.length > 0 };
}

function checkReference(reference: FieldReader): void {
  for (const name of ['kind', 'name']) {
    const text = reference.text(name);
    if (text === '' || !reference.has(name)) {
      reference.report(name, 'missing_field', `the target has no ${name}`, `add ${name}`);
    }
  }
}
