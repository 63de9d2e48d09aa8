/**
 * Why a decision fell as it did, in one sentence for the log: the rule that matched, or the one that came closest and
 * on what it missed. Made of the trace of the same compiled rules that decided.
 */
import { isSecretKey, REDACTED } from '../observe/redact.ts';
import type { FieldTrace, MatchedRule, PolicyTrace, RuleTrace } from '../policy/decision.ts';

/** A sentence is for people: of long values, lists and rules only the beginning is shown. */
const MAX_VALUE_LENGTH = 80;
const MAX_VALUES = 3;
const MAX_FIELDS = 3;

/** `DENY foo/deny-admin rule 1: paths wanted /admin*, got /admin/x`. */
export function reasonOfMatch(action: string, matched: MatchedRule, traces: readonly PolicyTrace[]): string {
  const name = `${action} ${matched.namespace}/${matched.name} rule ${matched.rule}`;
  const policy = traces.find((one) => one.namespace === matched.namespace && one.name === matched.name);
  const rule = policy?.rules.find((one) => one.index === matched.rule);
  if (rule === undefined) return name;
  const met = nearestAlternatives(rule).filter((field) => field.matched);
  if (met.length === 0) return `${name}, which matches everything`;
  return `${name}: ${fieldList(met, (field) => `${shortName(field.field)} ${wantedAndGot(field)}`)}`;
}

/** `2 ALLOW policies apply, no rule matched; closest: foo/allow-get rule 0, missed on paths: wanted …, got …`. */
export function reasonOfNoMatch(action: string, traces: readonly PolicyTrace[]): string {
  const apply =
    traces.length === 1 ? `1 ${action} policy applies` : `${traces.length} ${action} policies apply`;
  const closest = closestRule(traces);
  if (closest === null)
    return `${apply}, ${traces.length === 1 ? 'and it has' : 'and they have'} no rule that could match`;
  const { policy, rule, missed } = closest;
  const name = `closest: ${policy.namespace}/${policy.name} rule ${rule.index}`;
  // Where a rule was left out of a chain nothing in it need have missed.
  if (missed.length === 0) return `${apply}, no rule matched; ${name}`;
  const what = fieldList(missed, (field) => `${shortName(field.field)}: ${wantedAndGot(field)}`);
  return `${apply}, no rule matched; ${name}, missed on ${what}`;
}

export interface ClosestRule {
  readonly policy: PolicyTrace;
  readonly rule: RuleTrace;
  /** What kept it from matching, of the alternatives that came closest. */
  readonly missed: readonly FieldTrace[];
}

/** The rule that the fewest fields kept from matching, then the one with the most that matched, then the first. */
export function closestRule(traces: readonly PolicyTrace[]): ClosestRule | null {
  let best: ClosestRule | null = null;
  let bestMet = 0;
  for (const policy of traces) {
    for (const rule of policy.rules) {
      if (rule.matched) continue;
      const fields = nearestAlternatives(rule);
      const missed = fields.filter((field) => !field.matched);
      const met = fields.length - missed.length;
      const isCloser =
        best === null ||
        missed.length < best.missed.length ||
        (missed.length === best.missed.length && met > bestMet);
      if (!isCloser) continue;
      best = { policy, rule, missed };
      bestMet = met;
    }
  }
  return best;
}

/** Sources are alternatives, and so are operations: of each the one with the fewest misses; and all conditions. */
function nearestAlternatives(rule: RuleTrace): readonly FieldTrace[] {
  const alternatives = new Map<string, FieldTrace[]>();
  for (const field of rule.fields) {
    const name = alternativeOf(field.field);
    const known = alternatives.get(name);
    if (known === undefined) alternatives.set(name, [field]);
    else known.push(field);
  }
  const nearest = new Map<string, FieldTrace[]>();
  for (const [name, fields] of alternatives) {
    const section = name.startsWith('when') ? name : name.slice(0, name.indexOf('['));
    const other = nearest.get(section);
    if (other === undefined || missesOf(fields) < missesOf(other)) nearest.set(section, fields);
  }
  return [...nearest.values()].flat();
}

/** `from[0]` of `from[0].source.principals`. */
function alternativeOf(field: string): string {
  const end = field.indexOf(']');
  return end === -1 ? field : field.slice(0, end + 1);
}

function missesOf(fields: readonly FieldTrace[]): number {
  let misses = 0;
  for (const field of fields) if (!field.matched) misses++;
  return misses;
}

function fieldList(fields: readonly FieldTrace[], show: (field: FieldTrace) => string): string {
  const shown = fields.slice(0, MAX_FIELDS).map(show);
  if (fields.length > MAX_FIELDS) shown.push(`and ${fields.length - MAX_FIELDS} more`);
  return shown.join('; ');
}

/** `paths` of `to[0].operation.paths`, `request.headers[x-role]` of `when[0].request.headers[x-role]`. */
function shortName(field: string): string {
  const name = field.slice(alternativeOf(field).length + 1);
  for (const prefix of ['source.', 'operation.'])
    if (name.startsWith(prefix)) return name.slice(prefix.length);
  return name;
}

function wantedAndGot(field: FieldTrace): string {
  const name = shortName(field.field);
  const secret = isSecretField(name);
  const wanted = valueList(field.wanted, secret);
  const got = field.got.length === 0 ? 'nothing' : valueList(field.got, secret);
  return `wanted ${isNegative(name) ? 'none of ' : ''}${wanted}, got ${got}`;
}

function isNegative(name: string): boolean {
  return /^not[A-Z]/.test(name) || name.endsWith('notValues');
}

const SECRET_WORDS = ['token', 'secret', 'password', 'credential', 'apikey', 'api-key', 'api_key'];

/** Whether a condition is on a header that carries a credential. */
function isSecretField(name: string): boolean {
  const bracket = name.indexOf('[');
  if (!name.startsWith('request.headers') || bracket === -1) return false;
  const header = name.slice(bracket + 1, name.lastIndexOf(']')).toLowerCase();
  return isSecretKey(header) || SECRET_WORDS.some((word) => header.includes(word));
}

function valueList(values: readonly string[], secret: boolean): string {
  const shown = values.slice(0, MAX_VALUES).map((value) => (secret ? REDACTED : shownValue(value)));
  if (values.length > MAX_VALUES) shown.push(`… (${values.length - MAX_VALUES} more)`);
  return shown.join(', ');
}

function shownValue(value: string): string {
  // A token in a place that nothing told us of: `eyJ` is how the base64url of a JSON object begins.
  if (value.includes('eyJ') || /\bbearer /i.test(value)) return REDACTED;
  const cut = value.length > MAX_VALUE_LENGTH ? `${value.slice(0, MAX_VALUE_LENGTH).toWellFormed()}…` : value;
  // What a client sends must not read as a part of our sentence.
  return /^[!#-+\--:<-~]+…?$/.test(cut) ? cut : JSON.stringify(cut);
}
