/**
 * An explanation for people: the way of the request as a tree, the verdict last. Of thousands of policies only those
 * that matched and the closest few are shown; JSON has all.
 */
import { closestRule } from '../filters/rbac-reason.ts';
import type { FieldTrace, PolicyTrace, RuleTrace } from '../policy/decision.ts';
import type { Explanation, ExplanationStep } from './explanation.ts';

/** Policies of one step that are shown though they did not match. */
const SHOWN_MISSES = 5;
/** Of one policy; the rest is counted. */
const SHOWN_RULES = 8;
const SHOWN_VALUES = 8;
const ADDRESS_FIELD = /(?:[iI]pBlocks|\.(?:source|remote|destination)\.ip)$/;

/** Ends with a newline. */
export function printExplanation(explanation: Explanation): string {
  const { arrival, path, steps } = explanation;
  const lines = [`arrival  ${arrival.chain ?? 'refused'} under ${arrival.mode} by ${arrival.modeFrom}`];
  if (path.received !== null) lines.push(`path     ${pathLine(path)}`);
  for (const step of steps) lines.push(...stepLines(step));
  const unstated = unstatedAddress(steps);
  if (unstated !== null) lines.push(`note     ${unstated}`);
  lines.push(explanation.reason);
  if (explanation.verdict === 'deny') lines.push(`the client gets ${seenAs(explanation)}`);
  return `${lines.join('\n')}\n`;
}

/** Rules on addresses have been asked about nothing: live, there always is one. */
function unstatedAddress(steps: readonly ExplanationStep[]): string | null {
  for (const { policies } of steps) {
    for (const { name, namespace, rules } of policies) {
      for (const { fields, index } of rules) {
        const field = fields.find((one) => one.got.length === 0 && ADDRESS_FIELD.test(one.field));
        if (field === undefined) continue;
        const where = field.field.endsWith('.destination.ip') ? 'to.ip' : 'from.ip';
        return `${namespace}/${name} rule ${index} looks at an address that the request does not state: add ${where}`;
      }
    }
  }
  return null;
}

function seenAs({ details, status }: Explanation): string {
  return status === null ? `a closed connection (${details})` : `${status} (${details})`;
}

function pathLine({ normalised, received }: Explanation['path']): string {
  const shown = JSON.stringify(received);
  if (normalised === null) return `${shown}, not looked at`;
  return normalised === withoutQuery(received ?? '') ? shown : `${shown} → ${JSON.stringify(normalised)}`;
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query === -1 ? path : path.slice(0, query);
}

function stepLines({ outcome, policies, step }: ExplanationStep): string[] {
  const lines = [
    `${step.replace('_DRY_RUN', ' (dry run)').replace('DRY_RUN', 'dry run').padEnd(8)} ${outcome}`,
  ];
  const shown = shownPolicies(policies);
  for (const policy of shown) lines.push(...policyLines(policy));
  const more = policies.length - shown.length;
  if (more > 0) lines.push(`  … ${more} more that did not match; --output json has all`);
  return lines;
}

/** Those that matched, then the closest few, each in the order of evaluation. */
function shownPolicies(policies: readonly PolicyTrace[]): readonly PolicyTrace[] {
  const missed = policies.filter(({ rules }) => !rules.some(({ matched }) => matched));
  if (missed.length <= SHOWN_MISSES) return policies;
  const closest = missed
    .map((policy) => ({ policy, distance: distanceOf(policy) }))
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, SHOWN_MISSES)
    .map(({ policy }) => policy);
  const left = new Set(missed);
  for (const policy of closest) left.delete(policy);
  return policies.filter((policy) => !left.has(policy));
}

/** Fields that kept its nearest rule from matching. */
function distanceOf(policy: PolicyTrace): number {
  return closestRule([policy])?.missed.length ?? Number.POSITIVE_INFINITY;
}

function policyLines({ name, namespace, rules, scope }: PolicyTrace): string[] {
  const lines = [
    `  ${namespace}/${name} (${scope})${rules.length === 0 ? ': no rules, matches nothing' : ''}`,
  ];
  const shown = rules.length <= SHOWN_RULES ? rules : shownRules(rules);
  for (const rule of shown) lines.push(...ruleLines(rule));
  if (rules.length > shown.length)
    lines.push(`    … ${rules.length - shown.length} more rules that did not match`);
  return lines;
}

function shownRules(rules: readonly RuleTrace[]): readonly RuleTrace[] {
  const matched = rules.filter((rule) => rule.matched);
  return matched.length > 0 ? matched.slice(0, SHOWN_RULES) : rules.slice(0, SHOWN_RULES);
}

function ruleLines({ fields, index, matched }: RuleTrace): string[] {
  const all = fields.length === 0 && matched ? ': matches everything' : '';
  return [`    ${mark(matched)} rule ${index}${all}`, ...fields.map(fieldLine)];
}

function fieldLine({ field, got, matched, wanted }: FieldTrace): string {
  return `      ${mark(matched)} ${field}: wanted ${valueList(wanted)}, got ${got.length === 0 ? 'nothing' : valueList(got)}`;
}

function valueList(values: readonly string[]): string {
  const shown = values.slice(0, SHOWN_VALUES).map((value) => JSON.stringify(value));
  const more = values.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` … (${more} more)` : ''}`;
}

function mark(matched: boolean): string {
  return matched ? '✓' : '✗';
}
