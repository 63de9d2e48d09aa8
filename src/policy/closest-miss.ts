/**
 * Which rule came closest, for the sentence that tells a refused caller's owner what to change.
 */
import type { FieldTrace, PolicyTrace, RuleTrace } from './decision.ts';

export interface ClosestMiss {
  readonly policy: PolicyTrace;
  readonly rule: RuleTrace;
  /** Of alternative sources or operations only those of the one that misses fewest. */
  readonly missed: readonly FieldTrace[];
}

/** The rule with the fewest fields missed, the first among equals; null: there is no rule that was missed. */
export function closestMiss(traces: readonly PolicyTrace[]): ClosestMiss | null {
  let closest: ClosestMiss | null = null;
  for (const policy of traces) {
    for (const rule of policy.rules) {
      if (rule.matched) continue;
      const missed = missedFields(rule);
      if (closest === null || missed.length < closest.missed.length) closest = { policy, rule, missed };
    }
  }
  return closest;
}

/** `foo/allow-get rule 0, missed on paths: wanted /info*, got /admin` */
export function describeMiss(miss: ClosestMiss): string {
  const { policy, rule, missed } = miss;
  const fields = missed.map(
    ({ field, wanted, got }) => `${shortName(field)}: wanted ${listOf(wanted)}, got ${listOf(got)}`,
  );
  return `${policy.namespace}/${policy.name} rule ${rule.index}, missed on ${fields.join('; ')}`;
}

function missedFields(rule: RuleTrace): readonly FieldTrace[] {
  const missed: FieldTrace[] = [];
  for (const part of ['from', 'to']) {
    const ofPart = rule.fields.filter(({ field }) => field.startsWith(`${part}[`));
    const alternatives = [...Map.groupBy(ofPart, ({ field }) => alternativeOf(field)).values()];
    missed.push(...fewestMissed(alternatives));
  }
  missed.push(...missedOf(rule.fields.filter(({ field }) => field.startsWith('when['))));
  return missed;
}

function fewestMissed(alternatives: readonly (readonly FieldTrace[])[]): readonly FieldTrace[] {
  let fewest: readonly FieldTrace[] | null = null;
  for (const fields of alternatives) {
    const missed = missedOf(fields);
    if (fewest === null || missed.length < fewest.length) fewest = missed;
  }
  return fewest ?? [];
}

function missedOf(fields: readonly FieldTrace[]): FieldTrace[] {
  return fields.filter((field) => !field.matched);
}

/** `from[0]` */
function alternativeOf(field: string): string {
  return field.slice(0, field.indexOf(']') + 1);
}

/** Without the place: `paths`, `request.headers[x-role]`. */
function shortName(field: string): string {
  const rest = field.slice(field.indexOf('].') + 2);
  return rest.startsWith('source.') && !field.startsWith('when')
    ? rest.slice('source.'.length)
    : rest.startsWith('operation.')
      ? rest.slice('operation.'.length)
      : rest;
}

const MAX_LISTED = 5;
const MAX_LENGTH = 200;

function listOf(values: readonly string[]): string {
  if (values.length === 0) return 'nothing';
  const listed = values.slice(0, MAX_LISTED).map(textOf).join(' or ');
  return values.length > MAX_LISTED ? `${listed} or ${values.length - MAX_LISTED} more` : listed;
}

/** In quotes where it could be misread: empty, with blanks or characters that are not printed. */
function textOf(value: string): string {
  const text = value.length > MAX_LENGTH ? `${value.slice(0, MAX_LENGTH)}…` : value;
  return /^[!-~]+$/.test(value) ? text : JSON.stringify(text);
}
