/**
 * CUSTOM policies of one provider: what a rule matches is let through only if the provider says so.
 *
 * Nothing of the request is changed before the whole answer was checked. What goes wrong is an error, and an error
 * refuses unless the provider is failOpen; an answer that comes after the deadline is nobody's.
 */
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import type { ResponseHead } from '../http/exchange.ts';
import { setField } from '../http/fields.ts';
import type { Fields } from '../http/fields.ts';
import { CONTINUE } from '../http/filter.ts';
import type { ConnectionFacts, Deny, Filter, FilterWait, RequestContext, Verdict } from '../http/filter.ts';
import type { Limits } from '../core/limits.ts';
import type { Log } from '../observe/log.ts';
import type {
  ClusterExtAuthzCounters,
  ExtAuthzCounters,
  RbacCounters,
  TcpExtAuthzCounters,
} from '../observe/policy-counters.ts';
import type { CustomRules, MatchedRule } from '../policy/decision.ts';
import type { AllowAnswer, CheckAnswer, CheckedBody, DenyAnswer, HeaderChange } from './ext-authz-answer.ts';
import { applyChange, applyToRequest, writableChanges } from './ext-authz-changes.ts';
import type { ExtAuthzClient } from './ext-authz-client.ts';
import { policyConnectionOf, policyRequestOf } from './policy-facts.ts';
import { denialUnasked } from './rbac-denial.ts';

/** Tells the app that nobody was asked; a client's own is dropped with all `x-envoy-*`. */
const FAILURE_MODE_HEADER = 'x-envoy-auth-failure-mode-allowed';

export interface ExtAuthzDeps {
  /** With `client` null where the provider cannot be asked: then the rules say so in `problem`. */
  readonly provider: ExtAuthzProvider | null;
  readonly client: ExtAuthzClient | null;
  readonly http: CustomRules | null;
  readonly tcp: CustomRules | null;
  readonly counters: {
    readonly http: ExtAuthzCounters;
    readonly tcp: TcpExtAuthzCounters;
    /** Of the provider's cluster. */
    readonly cluster: ClusterExtAuthzCounters;
    /** What rules matched: Istio has an RBAC filter before each of Envoy's ext_authz filters. */
    readonly rbac: { readonly http: RbacCounters; readonly tcp: RbacCounters };
  };
  readonly limits: Pick<Limits, 'maxExtAuthzBodyBytes' | 'maxHeaders'>;
  readonly log: Log;
}

export class ExtAuthzFilter implements Filter {
  readonly name: string;
  readonly #deps: ExtAuthzDeps;
  /** For answers to requests that the provider allowed and wants answered with more. */
  readonly #onAnswer = new WeakMap<RequestContext, readonly HeaderChange[]>();

  constructor(deps: ExtAuthzDeps) {
    this.#deps = deps;
    this.name = `ext_authz ${deps.http?.provider ?? deps.tcp?.provider ?? ''}`;
  }

  onRequest(request: RequestContext): Verdict | Promise<Verdict> {
    const { client, counters, http, provider } = this.#deps;
    if (http === null) return CONTINUE;
    const { problem, rules } = http;
    const matched = rules.match(policyConnectionOf(request.connection), policyRequestOf(request));
    if (provider === null || client === null || problem !== '')
      return judgeUnasked(counters.rbac.http, matched, problem);
    if (isAsked(counters.rbac.http, matched)) return this.#judgeRequest(request, provider, client, matched);
    counters.http.disabled++;
    return CONTINUE;
  }

  onResponse(request: RequestContext, head: ResponseHead): void {
    const changes = this.#onAnswer.get(request);
    if (changes === undefined) return;
    for (const change of changes) applyChange(head.fields, change);
  }

  onConnection(connection: ConnectionFacts, wait: FilterWait): Verdict | Promise<Verdict> {
    const { client, counters, provider, tcp } = this.#deps;
    if (tcp === null) return CONTINUE;
    const { problem, rules } = tcp;
    const matched = rules.match(policyConnectionOf(connection), null);
    if (provider === null || client === null || problem !== '')
      return judgeUnasked(counters.rbac.tcp, matched, problem);
    if (isAsked(counters.rbac.tcp, matched))
      return this.#judgeConnection(connection, wait, provider, client, matched);
    counters.tcp.disabled++;
    return CONTINUE;
  }

  async #judgeRequest(
    request: RequestContext,
    provider: ExtAuthzProvider,
    client: ExtAuthzClient,
    matched: MatchedRule,
  ): Promise<Verdict> {
    const why = whyOfRule(provider, matched);
    let body: CheckedBody | null = null;
    if (provider.body !== null && request.head.bodyLength !== 0) {
      const read = await this.#readBody(request, provider.body.maxRequestBytes);
      if (read === null) return GONE;
      if (read.partial && !provider.body.allowPartialMessage) return tooLarge(why, read.bytes.length);
      body = read;
    }
    return this.#requestVerdict(request, provider, await client.checkRequest(request, body), why);
  }

  /** null: the client went away before it was there. */
  async #readBody(request: RequestContext, maxBytes: number): Promise<CheckedBody | null> {
    const most = Math.min(maxBytes, this.#deps.limits.maxExtAuthzBodyBytes ?? maxBytes);
    try {
      const { bytes, truncated } = await request.readBody(most);
      return { bytes, partial: truncated };
    } catch {
      return null;
    }
  }

  #requestVerdict(
    request: RequestContext,
    provider: ExtAuthzProvider,
    answer: CheckAnswer,
    why: string,
  ): Verdict {
    const { cluster, http: counters } = this.#deps.counters;
    if (answer.kind === 'gone') return GONE;
    if (answer.kind === 'allow') return this.#allow(request, answer, why);
    if (answer.kind === 'deny') {
      counters.denied++;
      cluster.denied++;
      return this.#denied(answer, 'ext_authz_denied', `${why}: it answered ${answer.status}`);
    }
    counters.error++;
    cluster.error++;
    const full = `${why}: ${answer.why}`;
    if (!provider.failOpen) return this.#failed(provider, answer.response, full);
    counters.failureModeAllowed++;
    setField(request.head.fields, FAILURE_MODE_HEADER, 'true');
    this.#logFailedOpen(full);
    return CONTINUE;
  }

  #allow(request: RequestContext, answer: AllowAnswer, why: string): Verdict {
    const { counters, log } = this.#deps;
    const onAnswer = writableChanges(answer.responseHeaders);
    const fault =
      typeof onAnswer === 'string'
        ? onAnswer
        : applyToRequest(request.head, answer, this.#deps.limits.maxHeaders);
    if (typeof onAnswer === 'string' || fault !== null) return this.#invalid(`${why}: ${fault}`);
    counters.http.ok++;
    counters.cluster.ok++;
    if (log.debugEnabled) log.debug('ext_authz_allowed', { why }, 'Allowed by the provider');
    if (onAnswer.length > 0) this.#onAnswer.set(request, onAnswer);
    return CONTINUE;
  }

  #denied(answer: DenyAnswer, code: 'ext_authz_denied' | 'ext_authz_error', why: string): Deny {
    const changes = writableChanges(answer.headers);
    if (typeof changes === 'string') return this.#invalid(`${why}: ${changes}`);
    const headers: Fields = [];
    for (const change of changes) applyChange(headers, change);
    // No status of a final answer would be a way to be answered nothing.
    const status = answer.status >= 200 && answer.status <= 599 ? answer.status : 403;
    return deny(code, status, code, why, answer.body, headers);
  }

  #failed(provider: ExtAuthzProvider, response: DenyAnswer | null, why: string): Deny {
    const { statusOnError } = provider;
    if (response === null) return deny('ext_authz_error', statusOnError, 'ext_authz_error', why);
    const status = response.status === 0 ? statusOnError : response.status;
    return this.#denied({ ...response, status }, 'ext_authz_error', why);
  }

  /** What the provider wants cannot be written: Envoy's answer where it validates. */
  #invalid(why: string): Deny {
    this.#deps.counters.http.invalid++;
    return deny('ext_authz_error', 500, 'ext_authz_invalid', why);
  }

  async #judgeConnection(
    connection: ConnectionFacts,
    wait: FilterWait,
    provider: ExtAuthzProvider,
    client: ExtAuthzClient,
    matched: MatchedRule,
  ): Promise<Verdict> {
    const { cluster, tcp } = this.#deps.counters;
    tcp.total++;
    tcp.active++;
    const answer = await client.checkConnection(connection, wait);
    tcp.active--;
    const why = whyOfRule(provider, matched);
    if (answer.kind === 'gone') return GONE;
    if (answer.kind === 'allow') {
      tcp.ok++;
      cluster.ok++;
      return CONTINUE;
    }
    if (answer.kind === 'deny') {
      tcp.denied++;
      cluster.denied++;
      tcp.cxClosed++;
      return deny('ext_authz_denied', 403, 'ext_authz_denied', `${why}: it denied`);
    }
    tcp.error++;
    cluster.error++;
    const full = `${why}: ${answer.why}`;
    if (!provider.failOpen) {
      tcp.cxClosed++;
      return deny('ext_authz_error', 403, 'ext_authz_error', full);
    }
    tcp.failureModeAllowed++;
    this.#logFailedOpen(full);
    return CONTINUE;
  }

  #logFailedOpen(why: string): void {
    this.#deps.log.warn(
      'ext_authz_error',
      { why },
      'Let through without an answer of the provider: it is failOpen',
    );
  }
}

/** Nobody sees it. */
const GONE: Deny = deny('ext_authz_error', 403, 'ext_authz_error', 'the client is gone');

function deny(
  code: Deny['code'],
  status: number,
  details: string,
  why: string,
  body: Deny['body'] = '',
  headers: readonly string[] = [],
): Deny {
  return { kind: 'deny', code, status, body, headers, details, why };
}

function tooLarge(why: string, maxBytes: number): Deny {
  return deny(
    'request_body_too_large',
    413,
    'request_payload_too_large',
    `${why}: the body has more than the ${maxBytes} bytes that the provider takes`,
    'Payload Too Large',
  );
}

/** Counted as Istio's shadow rules of action DENY are: a match is what would be denied. */
function isAsked(counters: RbacCounters, matched: MatchedRule | null): matched is MatchedRule {
  if (matched === null) counters.extAuthzShadowAllowed++;
  else counters.extAuthzShadowDenied++;
  return matched !== null;
}

/** Nobody can be asked: the rules deny by themselves. */
function judgeUnasked(counters: RbacCounters, matched: MatchedRule | null, problem: string): Verdict {
  if (matched === null) {
    counters.allowed++;
    return CONTINUE;
  }
  counters.denied++;
  return denialUnasked(matched, problem);
}

function whyOfRule({ name: provider }: ExtAuthzProvider, { name, namespace, rule }: MatchedRule): string {
  return `CUSTOM ${namespace}/${name} rule ${rule}, provider ${provider}`;
}
