/**
 * What the cases of a run were about: how many were allowed and denied by a named rule, and which clauses decided.
 *
 * A clause is one field of one source, operation or condition, with its not-form apart. It decided a case if the case
 * would have come out otherwise had the clause alone come out otherwise, all others as they did:
 * - allowed: with it turned over, some DENY rule matches, or no ALLOW rule does any more;
 * - denied by a DENY rule: with it turned over, no DENY rule matches any more;
 * - denied because no ALLOW rule matched: with it turned over, one does.
 * All this is read from the traces of `explain`; shadow steps and AUDIT decide nothing.
 */
import type { Explanation } from '../../src/explain/explanation.ts';
import type { FieldTrace, PolicyTrace, RuleTrace } from '../../src/policy/decision.ts';

const SOURCE = [
  'principals',
  'requestPrincipals',
  'namespaces',
  'serviceAccounts',
  'trustDomains',
  'ipBlocks',
  'remoteIpBlocks',
];
const OPERATION = ['hosts', 'ports', 'methods', 'paths'];
const KEYS = [
  'request.headers',
  'source.ip',
  'remote.ip',
  'source.namespace',
  'source.serviceAccount',
  'source.trustDomain',
  'source.principal',
  'request.auth.principal',
  'request.auth.audiences',
  'request.auth.presenter',
  'request.auth.claims',
  'destination.ip',
  'destination.port',
  'connection.sni',
  'experimental',
];

const notOf = (field: string): string => `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;

/** Every clause that AuthorizationPolicy has. */
export const CLAUSES: readonly string[] = [
  ...[...SOURCE, ...OPERATION].flatMap((field) => [field, notOf(field)]),
  ...KEYS.flatMap((key) => [`${key} values`, `${key} notValues`]),
];

/** Of all cases, in percent. */
const LEAST_BY_RULE = 25;

export class Distribution {
  cases = 0;
  allowedByRule = 0;
  deniedByRule = 0;
  readonly outcomes: Map<string, number> = new Map();
  readonly decided: Map<string, number> = new Map(CLAUSES.map((clause) => [clause, 0]));
  readonly #least: number;

  /** `least`: in how many cases every clause must decide. */
  constructor(least: number) {
    this.#least = least;
  }

  add(explanation: Explanation): void {
    this.cases++;
    const { decidedBy, verdict } = explanation;
    if (decidedBy !== null && decidedBy.step === 'ALLOW' && verdict === 'allow') this.allowedByRule++;
    if (decidedBy !== null && decidedBy.step === 'DENY') this.deniedByRule++;
    count(this.outcomes, outcomeName(explanation));
    for (const clause of decidingClauses(explanation)) count(this.decided, clause);
  }

  /** Clauses that have decided too few cases so far. */
  get wanting(): ReadonlySet<string> {
    return new Set([...this.decided].filter(([, cases]) => cases < this.#least).map(([clause]) => clause));
  }

  /** 1: too few cases so far were allowed by a named rule, 0: enough. */
  get lackOfAllowed(): number {
    return this.allowedByRule * 100 < this.cases * (LEAST_BY_RULE + 6) ? 1 : 0;
  }

  get lackOfDenied(): number {
    return this.deniedByRule * 100 < this.cases * (LEAST_BY_RULE + 6) ? 1 : 0;
  }

  /** What is too little; empty: nothing. */
  get shortcomings(): readonly string[] {
    const percent = (cases: number): number => (100 * cases) / Math.max(1, this.cases);
    const out: string[] = [];
    if (percent(this.allowedByRule) < LEAST_BY_RULE)
      out.push(`only ${percent(this.allowedByRule).toFixed(1)} % were allowed by a named rule`);
    if (percent(this.deniedByRule) < LEAST_BY_RULE)
      out.push(`only ${percent(this.deniedByRule).toFixed(1)} % were denied by a named rule`);
    for (const clause of this.wanting)
      out.push(`${clause} decided ${this.decided.get(clause)} cases, at least ${this.#least} are wanted`);
    return out;
  }

  get text(): string {
    return [
      `${this.cases} cases`,
      `allowed by a named rule: ${this.allowedByRule}, denied by a named rule: ${this.deniedByRule}`,
      `outcomes: ${[...this.outcomes]
        .toSorted((a, b) => b[1] - a[1])
        .map(row)
        .join(', ')}`,
      `decided: ${[...this.decided].map(row).join(', ')}`,
    ].join('\n');
  }
}

function count(map: Map<string, number>, name: string): void {
  map.set(name, (map.get(name) ?? 0) + 1);
}

function outcomeName({ decidedBy, details, verdict }: Explanation): string {
  if (decidedBy !== null) return `${verdict} by ${decidedBy.step} rule`;
  if (verdict === 'allow') return 'allowed, nothing decided';
  return details.startsWith('rbac') ? 'denied, no ALLOW rule' : `denied: ${details.split(/[[{]/, 1)[0]}`;
}

/** Names of the clauses that decided, each once. */
export function decidingClauses({ decidedBy, steps, verdict }: Explanation): ReadonlySet<string> {
  const out = new Set<string>();
  for (const { policies, step } of steps) {
    if (step !== 'DENY' && step !== 'ALLOW') continue;
    const matches = policies.some((policy) => policy.rules.some(({ matched }) => matched));
    if (step === 'DENY' && !matches && verdict !== 'allow') continue;
    if (step === 'ALLOW' && decidedBy?.step === 'DENY') continue;
    for (const policy of policies)
      for (const rule of policy.rules)
        for (const field of rule.fields)
          if (turns(policies, rule, field, matches)) out.add(clauseName(field.field));
  }
  return out;
}

/** Whether the step's rules as a whole come out otherwise with this clause turned over. */
function turns(
  policies: readonly PolicyTrace[],
  rule: RuleTrace,
  field: FieldTrace,
  matches: boolean,
): boolean {
  const other = ruleMatches(rule, field);
  if (other === rule.matched) return false;
  if (!matches) return other;
  return !policies.some((policy) => policy.rules.some((one) => (one === rule ? other : one.matched)));
}

/** A rule from its clauses, `turned` being turned over: sources are alternatives, so are operations. */
function ruleMatches(rule: RuleTrace, turned: FieldTrace): boolean {
  const groups = new Map<string, boolean>();
  for (const field of rule.fields) {
    const group = /^(?:from|to|when)\[\d+\]/.exec(field.field)?.[0] ?? '';
    const holds = field === turned ? !field.matched : field.matched;
    groups.set(group, (groups.get(group) ?? true) && holds);
  }
  const of = (part: string): readonly boolean[] =>
    [...groups].filter(([group]) => group.startsWith(part)).map(([, holds]) => holds);
  return any(of('from')) && any(of('to')) && !of('when').includes(false);
}

/** `from[0].source.notPaths` → `notPaths`, `when[0].request.headers[x].notValues` → `request.headers notValues`. */
function clauseName(field: string): string {
  const condition = /^when\[\d+\]\.(?<key>.*?)(?<not>\.notValues)?$/.exec(field)?.groups;
  if (condition === undefined) return field.slice(field.lastIndexOf('.') + 1);
  const key = condition['key']!.replace(/\[.*/, '').replace(/^experimental.*/, 'experimental');
  return `${key} ${condition['not'] === undefined ? 'values' : 'notValues'}`;
}

/** An empty list of alternatives is none that must be met. */
const any = (list: readonly boolean[]): boolean => list.length === 0 || list.includes(true);

const row = ([name, cases]: readonly [string, number]): string => `${name}: ${cases}`;
