/**
 * The JWT step: tokens as they stand in the head, or the one that the file states, put where its rule looks; judged by
 * the filter itself with the keys that are at hand, never over the network.
 */
import type { JwtRule } from '../core/jwt-plan.ts';
import { JwtAuthnFilter } from '../filters/jwt-authn.ts';
import { outputFields, verifiedTokenOf } from '../filters/jwt-claims.ts';
import { parseJwt } from '../filters/jwt-parse.ts';
import { findTokens, placesOf, removeToken } from '../filters/jwt-places.ts';
import { outputNamesOf } from '../filters/jwt-rules.ts';
import { httpStatusOf, JWT_STATUS } from '../filters/jwt-status.ts';
import type { JwtProblem } from '../filters/jwt-status.ts';
import { TokenCache } from '../filters/jwt-token-cache.ts';
import { verifyTokens } from '../filters/jwt-verify.ts';
import type { JwtResult } from '../filters/jwt-verify.ts';
import { addField, removeField } from '../http/fields.ts';
import type { RequestContext } from '../http/filter.ts';
import { SILENT_LOG } from '../observe/log.ts';
import { JwtCounters } from '../observe/policy-counters.ts';
import type { StatedToken } from './explain-request.ts';
import type { Ending, StepList } from './explain-steps.ts';
import type { ExplainTarget } from './explain-target.ts';
import type { DecidedBy } from './explanation.ts';

/** Where a token is put that no rule is for. */
const DEFAULT_PLACES = { headers: [{ name: 'authorization', prefix: 'Bearer ' }], params: [], cookies: [] };
/** Then only the claims that every rule splits are lists. */
const NO_RULE = { spaceDelimitedClaims: [] };

export class TokenStep {
  readonly #target: ExplainTarget;
  readonly #stated: StatedToken | null;

  constructor(target: ExplainTarget, stated: StatedToken | null) {
    this.#target = target;
    this.#stated = stated;
  }

  /** Puts a stated token into the head instead of any other; before all filters, as a client would. */
  place({ head }: RequestContext): void {
    const { rules } = this.#target.snapshot.jwt;
    const stated = this.#stated;
    if (stated === null) return;
    for (const rule of rules) for (const found of findTokens(placesOf(rule), head)) removeToken(found, head);
    if (stated.kind === 'claims') return;
    const rule = ruleOf(rules, issuerOf(stated.token));
    const { cookies, headers, params } = rule === null ? DEFAULT_PLACES : placesOf(rule);
    const [header] = headers;
    if (header !== undefined) {
      removeField(head.fields, header.name);
      addField(head.fields, header.name, `${header.prefix}${stated.token}`);
    } else if (params[0] !== undefined) {
      head.path += `${head.path.includes('?') ? '&' : '?'}${params[0]}=${stated.token}`;
    } else addField(head.fields, 'cookie', `${cookies[0]}=${stated.token}`);
  }

  /** Judges the tokens, and leaves token and head as the filter would. null: go on. */
  async judge(context: RequestContext, steps: StepList): Promise<Ending | null> {
    if (this.#stated?.kind === 'claims') return this.#takeClaims(this.#stated.claims, context, steps);
    const { keySets, snapshot } = this.#target;
    const nowMs = Date.now();
    // The filter refuses where keys are missing, which is not what the sidecar would do once it has them.
    const before = { fields: [...context.head.fields], path: context.head.path };
    const filter = new JwtAuthnFilter({
      plan: snapshot.jwt,
      keySets,
      cache: new TokenCache(1),
      counters: new JwtCounters(),
      log: SILENT_LOG,
      nowMs: () => nowMs,
    });
    const verdict = await filter.onRequest(context);
    if (verdict.kind === 'continue') {
      steps.add('JWT', [], this.#passed(context));
      return null;
    }
    const result = await verifyTokens(snapshot.jwt, keySets, before, nowMs);
    if (result.kind === 'undecided') return undecided(result, steps);
    const { details, status, why } = verdict;
    const by = result.kind === 'refused' ? decidedBy(result.place.rule) : null;
    return refusal({ status, details, why }, by, steps);
  }

  #passed({ token }: RequestContext): string {
    if (token !== null) return `verified: issuer ${JSON.stringify(token.issuer)}`;
    if (this.#target.snapshot.jwt.rules.length === 0) return 'no policy';
    return 'no token: the request goes on unauthenticated';
  }

  #takeClaims(
    claims: Readonly<Record<string, unknown>>,
    context: RequestContext,
    steps: StepList,
  ): Ending | null {
    const { rules } = this.#target.snapshot.jwt;
    outputNamesOf(this.#target.snapshot.jwt).removeFrom(context.head.fields);
    // Through the parser of tokens, so that claims mean what they mean in one.
    const jwt = parseJwt(`${base64url({ alg: 'ES256' })}.${base64url(claims)}.AAAA`);
    if ('status' in jwt) return refusal(problemOf(jwt), null, steps);
    const rule = ruleOf(rules, jwt.issuer);
    context.token = verifiedTokenOf(jwt, rule ?? NO_RULE);
    if (rule !== null) context.head.fields.push(...outputFields(jwt, rule));
    const note = rule === null ? ', which no RequestAuthentication here would verify' : ` for ${rule.from}`;
    steps.add('JWT', [], `verified: as stated${note}`);
    return null;
  }
}

/** The rule that is for an issuer. */
function ruleOf(rules: readonly JwtRule[], issuer: string): JwtRule | null {
  return rules.find((rule) => rule.issuer === issuer) ?? rules.find((rule) => rule.issuer === '') ?? null;
}

function issuerOf(token: string): string {
  const jwt = parseJwt(token);
  return 'status' in jwt ? '' : jwt.issuer;
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function undecided({ keySet, place }: Extract<JwtResult, { kind: 'undecided' }>, steps: StepList): Ending {
  const [issuer = ''] = keySet.split(' ', 1);
  const hint = `give them with --jwks ${issuer}=FILE`;
  const why = `a token came for ${place.rule}, whose keys are fetched and not at hand; ${hint}`;
  steps.add('JWT', [], `undecided: ${why}`);
  const reason = `undecided: ${why}`;
  return { verdict: 'undecided', status: null, details: '', decidedBy: null, closest: null, reason };
}

interface Refused {
  readonly status: number;
  readonly details: string;
  readonly why: string;
}

function refusal({ details, status, why }: Refused, by: DecidedBy | null, steps: StepList): Ending {
  steps.add('JWT', [], `deny: ${why}`);
  return { verdict: 'deny', status, details, decidedBy: by, closest: null, reason: `denied by ${why}` };
}

function problemOf({ status, why }: JwtProblem): Refused {
  const body = JWT_STATUS[status];
  const details = `jwt_authn_access_denied{${body.replaceAll(' ', '_')}}`;
  return { status: httpStatusOf(status), details, why: `the stated claims: ${body} (${why})` };
}

/** `RequestAuthentication foo/jwt rule 0`. */
function decidedBy(rule: string): DecidedBy | null {
  const [, policy, index] = /^RequestAuthentication (\S+) rule (\d+)$/.exec(rule) ?? [];
  if (policy === undefined || index === undefined) return null;
  return { step: 'JWT', policy, rule: Number(index), key: rule };
}
