/**
 * RequestAuthentication's requirement for one request: which rule accepts which token, and what that gives.
 *
 * Pure but for signatures: where one is not known yet, the evaluation says so, it is verified, and the evaluation
 * runs again. A request whose tokens are all remembered is answered in the same turn.
 */
import type { JwtPlan, VerifiedToken } from '../core/jwt-plan.ts';
import type { RequestHead } from '../http/exchange.ts';
import { outputFields, unwritableClaim, verifiedTokenOf } from './jwt-claims.ts';
import type { KeySet } from './jwt-key-set.ts';
import type { JwtKeySets } from './jwt-key-sets.ts';
import { parseJwt } from './jwt-parse.ts';
import type { ParsedJwt } from './jwt-parse.ts';
import { findTokens } from './jwt-places.ts';
import type { FoundToken, PlaceKind, TokenPlaces } from './jwt-places.ts';
import { compileJwtRules, plainAudience } from './jwt-rules.ts';
import type { CompiledJwtRule, CompiledJwtRules } from './jwt-rules.ts';
import { verifySignature } from './jwt-signature.ts';
import type { JwtProblem, JwtStatus } from './jwt-status.ts';

/** What is known of one token. */
export interface TokenEntry {
  readonly jwt: ParsedJwt | JwtProblem;
  readonly signatures: Map<KeySet, 'ok' | JwtStatus>;
  readonly accepted: Map<CompiledJwtRule, AcceptedToken>;
}

/** What a token gives where this rule accepts it. */
export interface AcceptedToken {
  readonly token: VerifiedToken;
  /** Name, value, name, value … for the app. */
  readonly fields: readonly string[];
}

/** Which rule looked at which place; for people. */
export interface TokenPlace {
  /** `RequestAuthentication foo/jwt rule 0`. */
  readonly rule: string;
  readonly kind: PlaceKind;
  readonly name: string;
}

export type JwtResult =
  | { readonly kind: 'no-token' }
  | {
      readonly kind: 'verified';
      readonly token: VerifiedToken;
      readonly place: TokenPlace;
      readonly fields: readonly string[];
      /** Those that are not to be forwarded. */
      readonly removed: readonly FoundToken[];
    }
  | { readonly kind: 'refused'; readonly problem: JwtProblem; readonly place: TokenPlace }
  /** The keys are not at hand: only where `isOffline`. */
  | { readonly kind: 'undecided'; readonly keySet: string; readonly place: TokenPlace };

/** Nobody has verified this signature yet. */
export interface UnknownSignature {
  readonly kind: 'unknown-signature';
  readonly token: string;
  readonly entry: TokenEntry;
  readonly jwt: ParsedJwt;
  readonly keys: KeySet;
}

export interface JwtEvaluation {
  readonly rules: CompiledJwtRules;
  readonly keySets: JwtKeySets;
  readonly nowMs: number;
  /** Keys that are not there leave it open instead of refusing. */
  readonly isOffline: boolean;
  /** The same entry for the same token, as long as the request lasts. */
  readonly entryOf: (token: string) => TokenEntry;
}

const OK = { kind: 'ok' } as const;
const NO_TOKEN: JwtResult = { kind: 'no-token' };

type Judged =
  | typeof OK
  | UnknownSignature
  | { readonly kind: 'refused'; readonly problem: JwtProblem; readonly place: TokenPlace }
  | { readonly kind: 'undecided'; readonly keySet: string; readonly place: TokenPlace };
type Refused = Extract<Judged, { kind: 'refused' }>;

/**
 * The tokens of a request against rules and keys, offline: the one way in which `explain` and tests verify tokens.
 * The head is not changed.
 */
export async function verifyTokens(
  plan: JwtPlan,
  keySets: JwtKeySets,
  head: Pick<RequestHead, 'fields' | 'path'>,
  nowMs: number,
): Promise<JwtResult> {
  const rules = compileJwtRules(plan);
  const fields = [...head.fields];
  rules.outputNames.removeFrom(fields);
  const entries = new Map<string, TokenEntry>();
  const entryOf = (token: string): TokenEntry => {
    const entry = entries.get(token) ?? newEntry(token);
    entries.set(token, entry);
    return entry;
  };
  const evaluation = { rules, keySets, nowMs, isOffline: true, entryOf };
  return completeEvaluation(evaluation, findAll(rules, { fields, path: head.path }));
}

export function newEntry(token: string): TokenEntry {
  return { jwt: parseJwt(token), signatures: new Map(), accepted: new Map() };
}

/** What each rule finds, by rule. Each place is looked at once: a head may have thousands of tokens. */
export function findAll(
  { rules }: CompiledJwtRules,
  head: Pick<RequestHead, 'fields' | 'path'>,
): readonly (readonly FoundToken[])[] {
  const [first] = rules;
  if (rules.length === 1 && first !== undefined) return [findTokens(first.places, head)];
  const known = new Map<TokenPlaces, readonly FoundToken[]>();
  return rules.map(({ places }) => {
    let found = known.get(places);
    if (found === undefined) known.set(places, (found = findTokens(places, head)));
    return found;
  });
}

/** Verifies what has to be verified; ends, for each round makes one more signature known. */
export async function completeEvaluation(
  evaluation: JwtEvaluation,
  found: readonly (readonly FoundToken[])[],
): Promise<JwtResult> {
  for (;;) {
    const result = evaluateTokens(evaluation, found);
    if (result.kind !== 'unknown-signature') return result;
    const { entry, jwt, keys, token } = result;
    entry.signatures.set(keys, await verifySignature(token, jwt, keys));
  }
}

/**
 * Envoy's tree is Any(P0 … Pn, All(Any(P0, allow_missing) …)): the first rule whose tokens are all good decides, and
 * where none has good ones, none may have any. Ours besides: a token that no rule accepts refuses the request, even
 * if another rule was content.
 */
export function evaluateTokens(
  evaluation: JwtEvaluation,
  found: readonly (readonly FoundToken[])[],
): JwtResult | UnknownSignature {
  const { rules } = evaluation.rules;
  const refusals: Refused[] = [];
  const seen: (readonly FoundToken[])[] = [];
  const gone = new Set<string>();
  for (const [index, rule] of rules.entries()) {
    const tokens = leftOf(found[index] ?? [], gone);
    seen.push(tokens);
    if (tokens.length === 0) continue;
    const judged = judgeAll(evaluation, rule, tokens);
    switch (judged.kind) {
      case 'refused':
        refusals.push(judged);
        // What it took away before it met a bad one, the rules behind it do not see.
        if (rules.length > 1) takeAway(rule, goodFromTheEnd(evaluation, rule, tokens), gone);
        break;
      case 'ok':
        return othersRefuse(evaluation, found, index) ?? acceptedBy(evaluation, seen);
      case 'undecided':
      case 'unknown-signature':
        return judged;
      default:
        return judged satisfies never;
    }
  }
  if (refusals.length === 0) return NO_TOKEN;
  const last = rules.length === 1 ? null : refusalOfAll(evaluation, found, gone);
  if (last?.kind === 'unknown-signature') return last;
  return deciding(last === null ? refusals : [...refusals, last]);
}

/** What the tree's `All` answers of the tokens that are left; null: nothing, and then those before it tell why. */
function refusalOfAll(
  evaluation: JwtEvaluation,
  found: readonly (readonly FoundToken[])[],
  gone: Set<string>,
): Refused | UnknownSignature | null {
  for (const [index, rule] of evaluation.rules.rules.entries()) {
    const tokens = leftOf(found[index] ?? [], gone);
    const judged = judgeAll(evaluation, rule, tokens);
    if (judged.kind === 'refused' || judged.kind === 'unknown-signature') return judged;
    if (judged.kind === 'undecided') return null;
    takeAway(rule, tokens, gone);
  }
  return null;
}

function leftOf(tokens: readonly FoundToken[], gone: ReadonlySet<string>): readonly FoundToken[] {
  return gone.size === 0 ? tokens : tokens.filter(({ kind, name }) => !gone.has(`${kind} ${name}`));
}

/** A cookie stays. */
function takeAway({ rule }: CompiledJwtRule, tokens: readonly FoundToken[], gone: Set<string>): void {
  if (rule.forwardOriginalToken) return;
  for (const { kind, name } of tokens) if (kind !== 'cookie') gone.add(`${kind} ${name}`);
}

/** The last one that is not about an unknown issuer, else the first: what Envoy's `Any` answers. */
function deciding(refusals: readonly Refused[]): Refused {
  return refusals.findLast(({ problem }) => problem.status !== 'unknownIssuer') ?? refusals[0]!;
}

/** From the last place to the first, as Envoy does: the reason told is that of the last bad one. */
function judgeAll(evaluation: JwtEvaluation, rule: CompiledJwtRule, tokens: readonly FoundToken[]): Judged {
  for (let at = tokens.length - 1; at >= 0; at--) {
    const judged = judge(evaluation, rule, tokens[at]!);
    if (judged !== OK) return judged;
  }
  return OK;
}

/** A token that the deciding rule did not look at, and that no rule accepts. */
function othersRefuse(
  evaluation: JwtEvaluation,
  found: readonly (readonly FoundToken[])[],
  decided: number,
): Exclude<Judged, typeof OK> | null {
  const { rules } = evaluation.rules;
  if (rules.length === 1) return null;
  const accepted = new Set(found[decided]?.map(placeKey));
  const open = new Map<string, Refused[]>();
  for (const [index, rule] of rules.entries()) {
    if (index === decided) continue;
    for (const token of found[index] ?? []) {
      const key = placeKey(token);
      if (accepted.has(key)) continue;
      const judged = judge(evaluation, rule, token);
      if (judged.kind === 'refused') open.set(key, [...(open.get(key) ?? []), judged]);
      else if (judged.kind === 'ok') {
        accepted.add(key);
        open.delete(key);
      } else return judged;
    }
  }
  for (const refusals of open.values()) return deciding(refusals);
  return null;
}

function placeKey({ index, kind, name }: FoundToken): string {
  return `${kind} ${index} ${name}`;
}

/** Envoy's order: issuer, times, audience, keys and signature. */
function judge(evaluation: JwtEvaluation, rule: CompiledJwtRule, found: FoundToken): Judged {
  const entry = evaluation.entryOf(found.token);
  const { jwt } = entry;
  const refuse = (problem: JwtProblem): Judged => ({ kind: 'refused', problem, place: placeOf(rule, found) });
  if ('status' in jwt) return refuse(jwt);
  const claims = claimsProblem(rule, jwt, Math.floor(evaluation.nowMs / 1000));
  if (claims !== null) return refuse(claims);
  const keys = rule.inlineKeys ?? evaluation.keySets.get(rule.rule.keySet);
  if (keys === null) {
    const { keySet } = rule.rule;
    if (evaluation.isOffline) return { kind: 'undecided', keySet, place: placeOf(rule, found) };
    return refuse({
      status: 'fetchFailed',
      why: `the key set of ${JSON.stringify(keySet)} was never fetched`,
    });
  }
  const signature = entry.signatures.get(keys);
  if (signature === undefined) return { kind: 'unknown-signature', token: found.token, entry, jwt, keys };
  if (signature !== 'ok') return refuse({ status: signature, why: signatureWhy(jwt, keys) });
  const unwritable = entry.accepted.has(rule) ? null : unwritableClaim(jwt, rule.rule);
  if (unwritable === null) return OK;
  const why = `claim ${JSON.stringify(unwritable)} has a control character and is to be a header`;
  return refuse({ status: 'verificationFails', why });
}

const CLOCK_SKEW_S = 60;

function claimsProblem(rule: CompiledJwtRule, jwt: ParsedJwt, nowS: number): JwtProblem | null {
  const { issuer } = rule.rule;
  if (issuer !== '' && jwt.issuer !== issuer) {
    const why = `wanted iss ${JSON.stringify(issuer)}, got ${shown(jwt.issuer)}`;
    return { status: 'unknownIssuer', why };
  }
  const { expiresS, notBeforeS } = jwt;
  if (notBeforeS !== 0 && nowS + CLOCK_SKEW_S < notBeforeS)
    return { status: 'notYetValid', why: `nbf is ${notBeforeS}, now is ${nowS}` };
  if (expiresS !== 0 && nowS > expiresS + CLOCK_SKEW_S)
    return { status: 'expired', why: `exp is ${expiresS}, now is ${nowS}` };
  if (rule.audiences.size === 0) return null;
  if (jwt.audiences?.some((audience) => rule.audiences.has(plainAudience(audience))) === true) return null;
  const wanted = JSON.stringify(rule.rule.audiences);
  return { status: 'audienceNotAllowed', why: `wanted aud of ${wanted}, got ${shown(jwt.audiences)}` };
}

function signatureWhy({ alg, kid }: ParsedJwt, { keys }: KeySet): string {
  return `alg ${alg}, kid ${shown(kid)}, ${keys.length} keys that can be used`;
}

/** A claim of a token that is not verified: cut, for it goes into a log line. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

function placeOf({ rule }: CompiledJwtRule, { kind, name }: FoundToken): TokenPlace {
  return { rule: rule.from, kind, name };
}

/**
 * All tokens of the last rule that was looked at are good, and the first one is what policies see. The app gets what Envoy gives
 * it on its way there: rules before it give for the good tokens that they met before a bad one.
 */
function acceptedBy(evaluation: JwtEvaluation, seen: readonly (readonly FoundToken[])[]): JwtResult {
  const { rules } = evaluation.rules;
  const fields: string[] = [];
  const removed: FoundToken[] = [];
  for (const [index, tokens] of seen.entries()) {
    const rule = rules[index]!;
    const isLast = index === seen.length - 1;
    for (const token of isLast ? tokens.toReversed() : goodFromTheEnd(evaluation, rule, tokens)) {
      fields.push(...acceptedToken(evaluation, rule, token.token).fields);
      if (!rule.rule.forwardOriginalToken) removed.push(token);
    }
  }
  const rule = rules[seen.length - 1]!;
  const first = seen.at(-1)![0]!;
  const { token } = acceptedToken(evaluation, rule, first.token);
  return { kind: 'verified', token, place: placeOf(rule, first), fields, removed };
}

/** The good tokens that the rule meets before a bad one. */
function goodFromTheEnd(
  evaluation: JwtEvaluation,
  rule: CompiledJwtRule,
  tokens: readonly FoundToken[],
): readonly FoundToken[] {
  const last = tokens.findLastIndex((token) => judge(evaluation, rule, token) !== OK);
  return tokens.slice(last + 1).toReversed();
}

function acceptedToken(evaluation: JwtEvaluation, rule: CompiledJwtRule, token: string): AcceptedToken {
  const entry = evaluation.entryOf(token);
  const known = entry.accepted.get(rule);
  if (known !== undefined) return known;
  const { jwt } = entry;
  if ('status' in jwt) throw new TypeError('a token that cannot be read was accepted');
  const made = { token: verifiedTokenOf(jwt, rule.rule), fields: outputFields(jwt, rule.rule) };
  entry.accepted.set(rule, made);
  return made;
}
