/**
 * AuthorizationPolicy on inbound chains: AUDIT, DENY, ALLOW and what is in dry run, as Envoy's RBAC filters do.
 *
 * A denial is Envoy's 403, or the end of a TCP connection before the app is dialled; which policy, which rule and what
 * was wanted and got is for the log alone. Dry run is logged and counted, and changes nothing.
 */
import type { ConnectionFacts, Filter, RequestContext, Verdict } from '../http/filter.ts';
import { CONTINUE } from '../http/filter.ts';
import type { Log, LogFields } from '../observe/log.ts';
import type { RbacCounters } from '../observe/policy-counters.ts';
import { decideAccess } from '../policy/decide-access.ts';
import type {
  AccessDecision,
  ActionRules,
  CompiledPolicies,
  MatchedRule,
  ShadowDecision,
} from '../policy/decision.ts';
import { ExplanationBudget } from './explanation-budget.ts';
import { policyConnectionOf, policyRequestOf } from './policy-facts.ts';
import { countDecision, countShadow } from './rbac-count.ts';
import { denialOf, DENIALS, reasonOf } from './rbac-denial.ts';
import type { Judged } from './rbac-denial.ts';

/** Of the whole worker, and not that of denials: neither starves the other. */
const DRY_RUNS = new ExplanationBudget();

export interface RbacFilterOptions {
  readonly policies: CompiledPolicies;
  readonly counters: { readonly http: RbacCounters; readonly tcp: RbacCounters };
  readonly log: Log;
  /** For tests; the worker's own otherwise. */
  readonly budgets?: { readonly denials: ExplanationBudget; readonly dryRuns: ExplanationBudget };
}

/** What is judged, with what counts and logs it. */
interface Subject extends Judged {
  readonly counters: RbacCounters;
  readonly facts: ConnectionFacts;
  /** null on TCP. */
  readonly context: RequestContext | null;
}

export class RbacFilter implements Filter {
  readonly name = 'rbac';
  readonly #policies: CompiledPolicies;
  readonly #counters: RbacFilterOptions['counters'];
  readonly #log: Log;
  readonly #denials: ExplanationBudget;
  readonly #dryRuns: ExplanationBudget;
  readonly #httpIdle: boolean;
  readonly #tcpIdle: boolean;

  constructor(options: RbacFilterOptions) {
    this.#policies = options.policies;
    this.#counters = options.counters;
    this.#log = options.log;
    this.#denials = options.budgets?.denials ?? DENIALS;
    this.#dryRuns = options.budgets?.dryRuns ?? DRY_RUNS;
    this.#httpIdle = isIdle(options.policies.http);
    this.#tcpIdle = isIdle(options.policies.tcp);
  }

  onRequest(request: RequestContext): Verdict {
    if (this.#httpIdle) return CONTINUE;
    return this.#judge({
      rules: this.#policies.http,
      counters: this.#counters.http,
      facts: request.connection,
      connection: policyConnectionOf(request.connection),
      request: policyRequestOf(request),
      context: request,
    });
  }

  onConnection(facts: ConnectionFacts): Verdict {
    if (this.#tcpIdle) return CONTINUE;
    return this.#judge({
      rules: this.#policies.tcp,
      counters: this.#counters.tcp,
      facts,
      connection: policyConnectionOf(facts),
      request: null,
      context: null,
    });
  }

  #judge(subject: Subject): Verdict {
    const { rules, counters } = subject;
    if (rules.customShadow.length > 0) this.#noteCustomShadow(subject);
    const decision = decideAccess(rules, subject.connection, subject.request);
    countDecision(counters, rules, decision);
    if (this.#log.debugEnabled) this.#writeDecision(subject, decision);
    if (decision.shadow !== null) {
      countShadow(counters, decision, decision.shadow);
      this.#noteShadow(subject, decision, decision.shadow);
    }
    return decision.allowed ? CONTINUE : denialOf(subject, decision, this.#denials);
  }

  /** CUSTOM in dry run: whether the provider would have been asked. It never is. */
  #noteCustomShadow({ rules, counters, connection, request, facts, context }: Subject): void {
    for (const { provider, rules: set } of rules.customShadow) {
      const matched = set.match(connection, request);
      if (matched === null) counters.extAuthzShadowAllowed++;
      else counters.extAuthzShadowDenied++;
      if (!this.#log.debugEnabled) continue;
      const fields = { ...whoOf(facts, context), provider, policy: matched?.key ?? 'none' };
      this.#log.debug(
        'rbac_custom_dry_run',
        fields,
        matched === null
          ? 'shadow allowed, matched policy none'
          : `shadow denied, matched policy ${matched.key}: provider ${provider} would have been asked`,
      );
    }
  }

  /** One line if dry run says other than what is done; the same at debug level if it agrees. */
  #noteShadow(subject: Subject, decision: AccessDecision, shadow: ShadowDecision): void {
    const differs = shadow.allowed !== decision.allowed;
    if (!differs && !this.#log.debugEnabled) return;
    const { rules, facts, context } = subject;
    const byDeny = shadow.deny?.denied === true;
    const matched = (byDeny ? shadow.deny?.matched : shadow.allow?.matched) ?? null;
    const action = byDeny ? 'DENY' : 'ALLOW';
    const set = byDeny ? rules.denyShadow : rules.allowShadow;
    const fields = {
      ...whoOf(facts, context),
      enforced: decision.allowed ? 'allowed' : 'denied',
      policy: matched?.key ?? 'none',
    };
    const message = `Dry run: would have been ${shadow.allowed ? 'allowed' : 'denied'}`;
    if (differs) {
      const why = reasonOf(subject, set, action, matched, this.#dryRuns);
      this.#log.info('rbac_dry_run', { ...fields, why }, message);
    } else this.#log.debug('rbac_dry_run', fields, message);
  }

  /** Envoy's lines, one for each of its filters that this is. */
  #writeDecision({ rules, facts, context }: Subject, decision: AccessDecision): void {
    const who = whoOf(facts, context);
    const write = (mode: 'enforced' | 'shadow', allowed: boolean, matched: MatchedRule | null): void => {
      const policy = matched?.key ?? 'none';
      this.#log.debug(
        `rbac_${mode}`,
        { ...who, policy },
        `${mode} ${allowed ? 'allowed' : 'denied'}, matched policy ${policy}`,
      );
    };
    if (decision.audited !== null) {
      const fields = { ...who, policy: decision.audited.key, access_log_hint: true };
      this.#log.debug('rbac_audited', fields, `enforced allowed, matched policy ${decision.audited.key}`);
    } else if (rules.audit !== null) write('enforced', true, null);
    const { shadow } = decision;
    if (shadow?.deny) write('shadow', !shadow.deny.denied, shadow.deny.matched);
    if (rules.deny !== null) {
      const denied = decision.step === 'DENY';
      write('enforced', !denied, denied ? decision.matched : null);
      if (denied) return;
    }
    if (shadow?.allow) write('shadow', shadow.allow.allowed, shadow.allow.matched);
    if (rules.allow !== null) write('enforced', decision.allowed, decision.matched);
  }
}

function isIdle(rules: ActionRules): boolean {
  return (
    rules.audit === null &&
    rules.deny === null &&
    rules.denyShadow === null &&
    rules.allow === null &&
    rules.allowShadow === null &&
    rules.customShadow.length === 0
  );
}

/** Who asked for what; the path without its query, where tokens may be. */
function whoOf(facts: ConnectionFacts, context: RequestContext | null): LogFields {
  const connection = {
    connection: facts.id,
    remote: facts.remote.ip,
    port: facts.destination.port,
    peer: facts.peer?.spiffeId ?? '',
  };
  if (context === null) return connection;
  const { method, path, authority } = context.head;
  const query = path.indexOf('?');
  return {
    ...connection,
    requestId: context.requestId,
    method,
    path: query === -1 ? path : path.slice(0, query),
    host: authority,
  };
}
