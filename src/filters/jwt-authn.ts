/**
 * RequestAuthentication (Istio API, security/v1; Envoy's jwt_authn): a request without a token passes, one with a bad
 * token is refused, one with a good token goes on with what the token proves.
 *
 * Fields that only a token may give are taken away first, whoever sends them. A remembered token costs no promise.
 */
import { detach } from '../core/detach.ts';
import type { JwtPlan } from '../core/jwt-plan.ts';
import type { RequestHead } from '../http/exchange.ts';
import { getField } from '../http/fields.ts';
import { CONTINUE } from '../http/filter.ts';
import type { Deny, Filter, RequestContext, Verdict } from '../http/filter.ts';
import type { Log } from '../observe/log.ts';
import type { JwtCounters } from '../observe/policy-counters.ts';
import type { JwtKeySets } from './jwt-key-sets.ts';
import { removeToken } from './jwt-places.ts';
import type { CompiledJwtRules } from './jwt-rules.ts';
import { loadJose } from './jwt-signature.ts';
import { httpStatusOf, JWT_STATUS } from './jwt-status.ts';
import type { TokenCache } from './jwt-token-cache.ts';
import { completeEvaluation, evaluateTokens, findAll, newEntry } from './jwt-verify.ts';
import type { JwtEvaluation, JwtResult, TokenEntry, TokenPlace } from './jwt-verify.ts';

export interface JwtAuthnOptions {
  readonly plan: JwtPlan;
  readonly keySets: JwtKeySets;
  readonly cache: TokenCache;
  readonly counters: JwtCounters;
  readonly log: Log;
  /** Wall clock. */
  readonly nowMs?: () => number;
}

export class JwtAuthnFilter implements Filter {
  readonly name = 'jwt-authn';
  readonly #rules: CompiledJwtRules;
  readonly #options: JwtAuthnOptions;
  readonly #nowMs: () => number;

  constructor(options: JwtAuthnOptions) {
    const { cache, nowMs, plan } = options;
    this.#options = options;
    this.#nowMs = nowMs ?? Date.now;
    this.#rules = cache.rulesOf(plan);
    // A failure shows where the first token is verified, and denies there.
    if (plan.rules.length > 0) detach(loadJose(), () => {});
  }

  onRequest(request: RequestContext): Verdict | Promise<Verdict> {
    const { head } = request;
    const { cache, counters, keySets } = this.#options;
    this.#rules.outputNames.removeFrom(head.fields);
    if (isCorsPreflight(head)) {
      counters.corsPreflightBypassed++;
      counters.allowed++;
      return CONTINUE;
    }
    const found = findAll(this.#rules, head);
    if (found.every((tokens) => tokens.length === 0)) {
      counters.allowed++;
      return CONTINUE;
    }
    cache.useKeys(keySets.version);
    const looked = new LookedUpTokens(cache, counters);
    const evaluation: JwtEvaluation = {
      rules: this.#rules,
      keySets,
      nowMs: this.#nowMs(),
      isOffline: false,
      entryOf: looked.entryOf,
    };
    const result = evaluateTokens(evaluation, found);
    if (result.kind !== 'unknown-signature') return this.#conclude(request, looked, result);
    return completeEvaluation(evaluation, found).then((settled) => this.#conclude(request, looked, settled));
  }

  #conclude(request: RequestContext, looked: LookedUpTokens, result: JwtResult): Verdict {
    const { counters, log } = this.#options;
    const { head } = request;
    switch (result.kind) {
      case 'verified':
        looked.remember();
        counters.allowed++;
        request.token = result.token;
        for (const token of result.removed) removeToken(token, head);
        if (result.fields.length > 0) head.fields.push(...result.fields);
        return CONTINUE;
      case 'refused': {
        if (result.problem.status === 'expired') looked.forget();
        counters.denied++;
        const deny = denyOf(result, request);
        if (log.debugEnabled) log.debug('jwt_denied', { why: deny.why }, 'A token is refused');
        return deny;
      }
      case 'no-token':
        counters.allowed++;
        return CONTINUE;
      case 'undecided':
        throw new TypeError('only an offline evaluation is left open');
      default:
        return result satisfies never;
    }
  }
}

/** The tokens of one request, each taken apart once. */
class LookedUpTokens {
  readonly #cache: TokenCache;
  readonly #counters: JwtCounters;
  readonly #epoch: number;
  /** The one that was asked for last: most requests have no other. */
  #token = '';
  #entry: TokenEntry | null = null;
  readonly #isNew = new Map<string, TokenEntry>();

  constructor(cache: TokenCache, counters: JwtCounters) {
    this.#cache = cache;
    this.#counters = counters;
    this.#epoch = cache.epoch;
  }

  readonly entryOf = (token: string): TokenEntry => {
    if (this.#entry === null || this.#token !== token) {
      this.#entry = this.#isNew.get(token) ?? this.#lookUp(token);
      this.#token = token;
    }
    return this.#entry;
  };

  #lookUp(token: string): TokenEntry {
    const known = this.#cache.get(token);
    if (known !== undefined) {
      this.#counters.cacheHit++;
      return known;
    }
    this.#counters.cacheMiss++;
    const entry = newEntry(token);
    this.#isNew.set(token, entry);
    return entry;
  }

  /** All of them are good. */
  remember(): void {
    if (this.#isNew.size === 0 || this.#epoch !== this.#cache.epoch) return;
    for (const [token, entry] of this.#isNew) this.#cache.put(token, entry);
  }

  /** The one that was looked at last. */
  forget(): void {
    this.#cache.delete(this.#token);
  }
}

/** Browsers send no credentials with a preflight, and no app answers one by them. */
function isCorsPreflight({ fields, method }: RequestHead): boolean {
  if (method !== 'OPTIONS') return false;
  const isStated = (name: string): boolean => (getField(fields, name) ?? '') !== '';
  return isStated('origin') && isStated('access-control-request-method');
}

function denyOf({ place, problem }: Extract<JwtResult, { kind: 'refused' }>, request: RequestContext): Deny {
  const body = JWT_STATUS[problem.status];
  return {
    kind: 'deny',
    code: 'jwt_denied',
    status: httpStatusOf(problem.status),
    body,
    headers: ['www-authenticate', `Bearer realm="${realmOf(request)}", error="invalid_token"`],
    details: `jwt_authn_access_denied{${body.replaceAll(' ', '_')}}`,
    why: `${place.rule}, ${formatPlace(place)}: ${body} (${problem.why})`,
  };
}

/** `header authorization`, `query parameter access_token`, `cookie session`. */
export function formatPlace({ kind, name }: TokenPlace): string {
  return `${kind === 'query' ? 'query parameter' : kind} ${name}`;
}

const MAX_REALM_PATH = 256;

/** The URI as the client meant it. */
function realmOf({ connection, head }: RequestContext): string {
  const scheme = getField(head.fields, 'x-forwarded-proto') ?? (connection.tls ? 'https' : 'http');
  return `${scheme}://${head.authority}${head.path.slice(0, MAX_REALM_PATH)}`;
}
