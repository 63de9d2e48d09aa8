/**
 * The steps after arrival, in the order of the filters: CUSTOM, JWT, AUDIT, DENY, ALLOW, each by the compiled rules or
 * the filter that decides live, and each noted with the traces of every policy that it looked at.
 */
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import { rbacDetails } from '../filters/rbac-denial.ts';
import { closestRule, reasonOfMatch, reasonOfNoMatch } from '../filters/rbac-reason.ts';
import { decideAccess } from '../policy/decide-access.ts';
import type {
  AccessDecision,
  ActionRules,
  CustomRules,
  MatchedRule,
  PolicyTrace,
  RuleSet,
  ShadowDecision,
} from '../policy/decision.ts';
import type { PolicyConnection } from '../policy/policy-connection.ts';
import type { PolicyRequest } from '../policy/policy-request.ts';
import type { ExplainRequest } from './explain-request.ts';
import type { ClosestMiss, DecidedBy, Explanation, ExplanationStep, StepName } from './explanation.ts';

/** What an explanation says of the end, whatever step it was. */
export type Ending = Pick<Explanation, 'verdict' | 'status' | 'details' | 'decidedBy' | 'closest' | 'reason'>;

/** What rules look at; `request` is null on TCP. */
export interface Subject {
  readonly rules: ActionRules;
  readonly connection: PolicyConnection;
  readonly request: PolicyRequest | null;
}

const ORDER: readonly StepName[] = ['CUSTOM', 'JWT', 'AUDIT', 'DENY', 'ALLOW'];
const NO_TRACES: readonly PolicyTrace[] = [];

/** Steps so far; those that never come to be are noted at the end. */
export class StepList {
  readonly #steps: ExplanationStep[] = [];

  add(step: StepName, policies: readonly PolicyTrace[], outcome: string): void {
    this.#steps.push({ step, policies, outcome });
  }

  finished(): readonly ExplanationStep[] {
    const seen = new Set(this.#steps.map(({ step }) => step));
    const missing = ORDER.filter((step) => !seen.has(step));
    return [
      ...this.#steps,
      ...missing.map((step): ExplanationStep => ({ step, policies: NO_TRACES, outcome: 'not reached' })),
    ];
  }
}

/** Asks every provider whose rules match, as the file says it answers. null: go on. */
export function explainCustom(
  subject: Subject,
  stated: ExplainRequest['extAuthz'],
  providers: Readonly<Record<string, ExtAuthzProvider>>,
  steps: StepList,
): Ending | null {
  const { rules, connection, request } = subject;
  const traces: PolicyTrace[] = [];
  const answers: string[] = [];
  let ending: Ending | null = null;
  for (const custom of rules.custom) {
    traces.push(...custom.rules.explain(connection, request));
    const matched = custom.rules.match(connection, request);
    if (matched === null) continue;
    const why = reasonOfMatch('CUSTOM', matched, traces);
    const answer = answerOf(custom, stated, providers, request === null);
    answers.push(`${answer.verdict}: ${answer.why}`);
    if (answer.verdict === 'allow') continue;
    const denied = answer.verdict === 'deny';
    ending = {
      verdict: answer.verdict,
      status: denied ? answer.status : null,
      details: denied ? (answer.details ?? rbacDetails(matched)) : '',
      decidedBy: denied ? decidedBy('CUSTOM', matched) : null,
      closest: null,
      reason: `${denied ? 'denied by' : 'undecided:'} ${why}; ${answer.why}`,
    };
    break;
  }
  const idle = rules.custom.length === 0 ? 'no policy' : 'no match';
  steps.add('CUSTOM', traces, answers.length === 0 ? idle : answers.at(-1)!);
  explainCustomShadow(subject, steps);
  return ending;
}

interface AnswerOfProvider {
  readonly verdict: 'allow' | 'deny' | 'undecided';
  readonly status: number;
  /** null: as RBAC says it. */
  readonly details: string | null;
  readonly why: string;
}

function answerOf(
  custom: CustomRules,
  stated: ExplainRequest['extAuthz'],
  providers: Readonly<Record<string, ExtAuthzProvider>>,
  onTcp: boolean,
): AnswerOfProvider {
  const name = `provider ${JSON.stringify(custom.provider)}`;
  if (custom.problem !== '') {
    const why = `${name} cannot be asked: ${custom.problem}`;
    return { verdict: 'deny', status: 403, details: null, why };
  }
  const provider = providers[custom.provider];
  // Whatever the file says: there is no request that it could be sent. On ports that are declared TCP it is an error
  // at load, on others every connection that is not HTTP fails so.
  const isMute = onTcp && provider?.kind === 'http';
  const answer = isMute ? 'error' : stated(custom.provider);
  switch (answer) {
    case null: {
      const hint = `add extAuthz: {${custom.provider}: allow} (or deny, error)`;
      return {
        verdict: 'undecided',
        status: 0,
        details: '',
        why: `nothing says what ${name} answers; ${hint}`,
      };
    }
    case 'allow':
      return { verdict: 'allow', status: 0, details: '', why: `${name} is stated to allow` };
    case 'deny':
      return { verdict: 'deny', status: 403, details: 'ext_authz_denied', why: `${name} is stated to deny` };
    case 'error': {
      const fails = isMute ? 'is an HTTP provider and cannot judge a TCP connection' : 'is stated to fail';
      const why = `${name} ${fails}, and failOpen is ${String(provider?.failOpen === true)}`;
      if (provider?.failOpen === true) return { verdict: 'allow', status: 0, details: '', why };
      return { verdict: 'deny', status: provider?.statusOnError ?? 403, details: 'ext_authz_error', why };
    }
    default:
      return answer satisfies never;
  }
}

function explainCustomShadow({ rules, connection, request }: Subject, steps: StepList): void {
  if (rules.customShadow.length === 0) return;
  const traces = rules.customShadow.flatMap((custom) => custom.rules.explain(connection, request));
  const asked = rules.customShadow.filter((custom) => custom.rules.match(connection, request) !== null);
  const names = asked.map(({ provider }) => JSON.stringify(provider)).join(', ');
  const outcome =
    asked.length === 0 ? 'no match' : `would ask: provider ${names}, which is never asked in dry run`;
  steps.add('CUSTOM_DRY_RUN', traces, outcome);
}

/** AUDIT, DENY and ALLOW with what is in dry run, and the end. */
export function explainAccess(subject: Subject, steps: StepList): Ending {
  const { rules, connection, request } = subject;
  const decision = decideAccess(rules, connection, request);
  const tracesOf = (set: RuleSet | null): readonly PolicyTrace[] =>
    set?.explain(connection, request) ?? NO_TRACES;
  const { audited, matched, shadow, step } = decision;
  const denied = step === 'DENY';
  steps.add(
    'AUDIT',
    tracesOf(rules.audit),
    idleOr(rules.audit, audited === null ? null : `audit: ${nameOf(audited)}`),
  );
  const denyTraces = tracesOf(rules.deny);
  steps.add(
    'DENY',
    denyTraces,
    idleOr(rules.deny, denied && matched !== null ? `deny: ${nameOf(matched)}` : null),
  );
  if (rules.denyShadow !== null) {
    const by = shadow?.deny?.matched ?? null;
    steps.add(
      'DENY_DRY_RUN',
      tracesOf(rules.denyShadow),
      by === null ? 'no match' : `would deny: ${nameOf(by)}`,
    );
  }
  if (denied) {
    addDryRun(decision, steps);
    return denial('DENY', matched!, reasonOfMatch('DENY', matched!, denyTraces));
  }
  const allowTraces = tracesOf(rules.allow);
  steps.add('ALLOW', allowTraces, allowOutcome(rules, decision));
  if (rules.allowShadow !== null) {
    const by = shadow?.allow?.matched ?? null;
    const outcome = by === null ? 'would deny: no rule matched' : `would allow: ${nameOf(by)}`;
    steps.add('ALLOW_DRY_RUN', tracesOf(rules.allowShadow), outcome);
  }
  addDryRun(decision, steps);
  if (decision.allowed) return allowance(rules, matched, allowTraces);
  return {
    verdict: 'deny',
    status: request === null ? null : 403,
    details: rbacDetails(null),
    decidedBy: null,
    closest: closestMiss(allowTraces),
    reason: `denied: ${reasonOfNoMatch('ALLOW', allowTraces)}`,
  };

  function denial(action: 'DENY', rule: MatchedRule, why: string): Ending {
    return {
      verdict: 'deny',
      status: request === null ? null : 403,
      details: rbacDetails(rule),
      decidedBy: decidedBy(action, rule),
      closest: null,
      reason: `denied by ${why}`,
    };
  }
}

function allowance(rules: ActionRules, matched: MatchedRule | null, traces: readonly PolicyTrace[]): Ending {
  const end = { verdict: 'allow', status: null, details: '', closest: null } as const;
  if (matched !== null) {
    const reason = `allowed by ${reasonOfMatch('ALLOW', matched, traces)}`;
    return { ...end, decidedBy: decidedBy('ALLOW', matched), reason };
  }
  const deny = rules.deny === null ? '' : ' and no DENY rule matched';
  return { ...end, decidedBy: null, reason: `allowed: no ALLOW policy applies${deny}` };
}

function allowOutcome(rules: ActionRules, { allowed, matched }: AccessDecision): string {
  if (rules.allow === null) return 'no policy';
  if (!allowed) return 'deny: no rule matched';
  return matched === null ? 'allow' : `allow: ${nameOf(matched)}`;
}

function addDryRun({ allowed, shadow }: AccessDecision, steps: StepList): void {
  if (shadow === null) return;
  const by = shadow.deny?.denied === true ? shadow.deny.matched : (shadow.allow?.matched ?? null);
  const what = `would have been ${shadow.allowed ? 'allowed' : 'denied'}`;
  const same = shadow.allowed === allowed ? ', as enforced' : '';
  steps.add('DRY_RUN', NO_TRACES, `${what}${same}: ${dryRunReason(shadow, by)}`);
}

function dryRunReason(shadow: ShadowDecision, by: MatchedRule | null): string {
  if (by !== null) return `${shadow.deny?.denied === true ? 'DENY' : 'ALLOW'} ${nameOf(by)}`;
  return shadow.allowed ? 'no dry-run rule matched' : 'no ALLOW rule matched';
}

function idleOr(set: RuleSet | null, outcome: string | null): string {
  return outcome ?? (set === null ? 'no policy' : 'no match');
}

function nameOf({ namespace, name, rule }: MatchedRule): string {
  return `${namespace}/${name} rule ${rule}`;
}

export function decidedBy(step: StepName, { key, namespace, name, rule }: MatchedRule): DecidedBy {
  return { step, policy: `${namespace}/${name}`, rule, key };
}

function closestMiss(traces: readonly PolicyTrace[]): ClosestMiss | null {
  const closest = closestRule(traces);
  if (closest === null) return null;
  const { policy, rule, missed } = closest;
  const [first] = missed;
  return {
    policy: `${policy.namespace}/${policy.name}`,
    rule: rule.index,
    key: `${policy.key}-rule[${rule.index}]`,
    field: first?.field ?? '',
    wanted: first?.wanted ?? [],
    got: first?.got ?? [],
  };
}
