/**
 * Requests for a policy set: made to meet a rule of it, then often moved to a neighbour: one character off, case
 * changed, a slash more, another caller, another token.
 */
import * as words from './policy-alphabet.ts';
import type { Rng } from './policy-rng.ts';
import type { PolicySet, Rule, TokenRule } from './policy-set.ts';
import { makeToken, TOKEN_FAULTS, type TokenFault } from './policy-tokens.ts';

/** Who calls, over which connection. */
export interface Caller {
  /** SPIFFE ID without its scheme; '' for plaintext. */
  readonly id: string;
  readonly ip: string;
  readonly sni: string;
}

export interface HttpRequest {
  readonly kind: 'http';
  readonly caller: Caller;
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly headers: readonly (readonly [string, string])[];
}

/** Bytes that are no HTTP. */
export interface TcpConnection {
  readonly kind: 'tcp';
  readonly caller: Caller;
}

export type PolicyCase = HttpRequest | TcpConnection;

/** A request while it is drawn. */
interface Draft {
  caller: Caller;
  method: string;
  target: string;
  host: string;
  headers: [string, string][];
  claims: Record<string, unknown> | null;
  fault: TokenFault;
}

const LOOKS_AT_CALLERS = /rincipals|amespaces|erviceAccounts|rustDomains|pBlocks|"source\.|connection\.sni/;

/** Callers of one set: few, so that connections are used again. */
export function callersFor(set: PolicySet, rng: Rng): readonly Caller[] {
  const plain = drawCaller(set, rng, 0);
  if (set.mode === 'DISABLE') return [plain, drawCaller(set, rng, 0)];
  if (set.callers !== undefined)
    return [plain, ...set.callers.map((id): Caller => ({ id, ip: plain.ip, sni: rng.pick(words.SNIS) }))];
  const members = [drawCaller(set, rng, 100)];
  // A handshake costs as much as ten requests: another member only where it makes a difference.
  if (LOOKS_AT_CALLERS.test(JSON.stringify(set.policies))) members.push(drawCaller(set, rng, 100));
  return set.mode === 'STRICT' && rng.chance(80) ? members : [...members, plain];
}

/** Mostly a member of the mesh, half of the time one that the policies name; plaintext with `100 - members` percent. */
function drawCaller(set: PolicySet, rng: Rng, members: number): Caller {
  const ip = rng.pick(words.CALLER_IPS);
  if (set.mode === 'DISABLE' || !rng.chance(members)) return { id: '', ip, sni: '' };
  const trusted = [set.trust.own, set.trust.own, ...set.trust.aliases];
  const named = namedIn(set).filter((id) => trusted.includes(id.split('/', 1)[0]!));
  const any = `${rng.chance(97) ? rng.pick(trusted) : 'other'}/${rng.pick(words.ID_PATHS)}`;
  return { id: named.length > 0 && rng.chance(50) ? rng.pick(named) : any, ip, sni: rng.pick(words.SNIS) };
}

const ID = new RegExp(`"([a-z0-9.-]+/(?:${words.ID_PATHS.join('|')}))"`, 'g');

/** Identities that stand in the policies as they are. */
function namedIn({ policies, trust }: PolicySet): readonly string[] {
  const text = JSON.stringify(policies);
  // Also in the mesh's own trust domain: names of others may stand for it.
  const ids = [...text.matchAll(ID)].flatMap(([, id = '']) => [
    id,
    `${trust.own}${id.slice(id.indexOf('/'))}`,
  ]);
  // `foo/sleep2`, `bar`: of service accounts and namespaces.
  const parts = words.ID_PATHS.filter((path) => {
    const [, namespace, , account] = path.split('/');
    return (
      text.includes(`"${namespace}/${account}"`) ||
      text.includes(`"${namespace}"`) ||
      text.includes(`"${account}"`)
    );
  });
  return [...ids, ...parts.map((path) => `${trust.own}/${path}`)];
}

/** One case, drawn for a rule of the set. */
export function drawCase(set: PolicySet, callers: readonly Caller[], rng: Rng): PolicyCase {
  // A TCP connection is all there is to one: each has a caller of its own.
  if (set.port === 'tcp' || (set.port === 'auto' && rng.chance(30)))
    return { kind: 'tcp', caller: drawCaller(set, rng, set.mode === 'STRICT' ? 95 : 65) };
  const caller = rng.pick(callers);
  const draft: Draft = {
    caller,
    method: 'GET',
    target: '/',
    host: 'a.com',
    headers: [],
    claims: null,
    fault: '',
  };
  const rules = set.policies.flatMap((policy) => policy.rules ?? []);
  if (rules.length > 0 && rng.chance(85)) meet(draft, rng.pick(rules), rng);
  if (set.targets !== undefined && rng.chance(75)) draft.target = rng.pick(set.targets);
  else if (rng.chance(38)) moveAway(draft, rng);
  if (set.hosts !== undefined && rng.chance(75)) draft.host = rng.pick(set.hosts);
  if (set.headers !== undefined && rng.chance(75))
    draft.headers = rng.pick(set.headers).map(([name, value]) => [name, value]);
  if (rng.chance(10)) moveAway(draft, rng);
  return finish(draft, set, rng);
}

function finish(draft: Draft, set: PolicySet, rng: Rng): HttpRequest {
  if (draft.claims !== null) putToken(draft, set.tokenRules, rng);
  else if (set.tokenRules.length > 0 && rng.chance(5))
    draft.headers.push(['authorization', rng.pick(['Bearer x', 'Basic eA==', 'Bearer a.b.c'])]);
  const { caller, headers, host, method, target } = draft;
  return { kind: 'http', caller, method, target, host, headers };
}

// --- meet a rule

function meet(draft: Draft, rule: Rule, rng: Rng): void {
  const source = rule.from === undefined ? {} : rng.pick(rule.from).source;
  const operation = rule.to === undefined ? {} : rng.pick(rule.to).operation;
  for (const [field, values] of Object.entries({ ...source, ...operation })) {
    // What a not-form names is met half of the time: then the rule fails on it.
    if (field.startsWith('not') && !rng.chance(50)) continue;
    meetField(
      draft,
      field.startsWith('not') ? field.charAt(3).toLowerCase() + field.slice(4) : field,
      rng.pick(values),
      rng,
    );
  }
  for (const { key, notValues, values } of rule.when ?? []) {
    const wanted = rng.pick(values ?? notValues ?? []);
    if (values === undefined && !rng.chance(50)) continue;
    meetCondition(draft, key, wanted, rng);
  }
}

function meetField(draft: Draft, field: string, value: string, rng: Rng): void {
  switch (field) {
    case 'hosts':
      draft.host = rng.chance(30)
        ? rng.pick(words.HOSTS_SENT)
        : filled(value, rng.pick(['b', 'b.', '']), value.endsWith(':*') ? '80' : rng.pick(['', 'd']));
      if (draft.host === '' || draft.host.includes('*')) draft.host = rng.pick(words.HOSTS_SENT);
      return;
    case 'methods':
      draft.method = words.METHODS_SENT.find((method) => fits(value, method)) ?? rng.pick(words.METHODS_SENT);
      return;
    case 'paths':
      draft.target = targetFor(value, rng);
      return;
    case 'requestPrincipals':
      draft.claims = { ...claimsOf(rng), ...principalClaims(value, rng), ...draft.claims };
      return;
    case 'remoteIpBlocks':
      draft.headers.push(['x-forwarded-for', rng.pick(words.FORWARDED_FOR)]);
      return;
    default:
  }
}

function meetCondition(draft: Draft, key: string, wanted: string, rng: Rng): void {
  const [, kind = '', inside = ''] = /^request\.(headers|auth\.claims)(\[.*\])$/.exec(key) ?? [];
  if (kind === 'headers') meetHeader(draft, inside.slice(1, -1), wanted, rng);
  else if (kind === 'auth.claims') meetClaim(draft, inside, wanted, rng);
  else if (key === 'request.auth.principal') meetField(draft, 'requestPrincipals', wanted, rng);
  else if (key === 'request.auth.audiences')
    draft.claims = { ...withClaims(draft, rng), aud: listed(filled(wanted, 'a', 'p'), rng) };
  else if (key === 'request.auth.presenter')
    draft.claims = { ...withClaims(draft, rng), azp: filled(wanted, 'x', 'x') };
  else if (key === 'remote.ip') meetField(draft, 'remoteIpBlocks', wanted, rng);
}

function meetHeader(draft: Draft, name: string, wanted: string, rng: Rng): void {
  switch (name.toLowerCase()) {
    case ':method':
      meetField(draft, 'methods', wanted, rng);
      return;
    case ':path':
      draft.target = filled(wanted, '/a', 'x');
      return;
    case 'host':
      meetField(draft, 'hosts', wanted, rng);
      return;
    case ':scheme':
    case 'x-forwarded-proto':
    case 'x-forwarded-client-cert':
      return;
    default: {
      const sent = words.HEADERS[name]?.sent ?? ['x'];
      draft.headers.push([
        rng.chance(80) ? name.toLowerCase() : name.toUpperCase(),
        headerValue(wanted, sent, rng),
      ]);
      if (rng.chance(35)) draft.headers.push([name.toLowerCase(), rng.pick(sent)]);
    }
  }
}

/** A lone star is met by an empty value too. */
function headerValue(wanted: string, sent: readonly string[], rng: Rng): string {
  if (wanted === '*' && rng.chance(40)) return '';
  return rng.chance(60) ? filled(wanted, 'x', 'x') : rng.pick(sent);
}

function meetClaim(draft: Draft, brackets: string, wanted: string, rng: Rng): void {
  const claims = withClaims(draft, rng);
  const value = listed(filled(wanted, 'x', 'x'), rng);
  const nested = /^\[([^[\]]+)\]\[([^[\]]+)\]$/.exec(brackets);
  if (nested !== null) claims[nested[1]!] = { [nested[2]!]: value };
  else if (brackets !== '[iss]') claims[brackets.slice(1, -1)] = value;
  draft.claims = claims;
}

const listed = (value: string, rng: Rng): unknown => (rng.chance(40) ? ['other', value] : value);

/** A text that the value matches: `*` becomes `before` or `after`. */
function filled(value: string, before: string, after: string): string {
  if (value === '*') return `${before}${after}` || 'any';
  if (value.startsWith('*')) return before + value.slice(1);
  return value.endsWith('*') ? value.slice(0, -1) + after : value;
}

function fits(value: string, text: string): boolean {
  if (value === '*') return text !== '';
  if (value.startsWith('*')) return text.endsWith(value.slice(1));
  return value.endsWith('*') ? text.startsWith(value.slice(0, -1)) : text === value;
}

const SEGMENTS = ['x', 'b', 'a-b', '~', '%20', 'x;y', '{x}', "it's", 'b%2Fc', ''] as const;

function targetFor(value: string, rng: Rng): string {
  if (rng.chance(25)) return rng.pick(words.PATHS_SENT);
  const path = value
    .replaceAll('{**}', () => rng.pick(['', 'x', 'x/y', 'x//y', 'info', 'x/y/c']))
    .replaceAll('{*}', () => rng.pick(SEGMENTS));
  const made = value.includes('{')
    ? path
    : filled(value, rng.pick(['', '/a', '/x/y']), rng.pick(['', 'x', '/x', '/']));
  const target = made.startsWith('/') ? made : `/${made}`;
  return rng.chance(25) ? respelled(target, rng) : target;
}

/** The same path for some, or all, of the normalisations. */
function respelled(target: string, rng: Rng): string {
  const letter = target.search(/[a-z]/i);
  switch (rng.below(8)) {
    case 0:
      return `/.${target}`;
    case 1:
      return `/x/..${target}`;
    case 2:
      return `/${target}`;
    case 3:
      return `${target}?q=/info`;
    case 4:
      return `${target}#f`;
    case 5:
      return target
        .replace('/', '\\')
        .replace('\\', '/')
        .replaceAll(/(?<=.)\//g, '\\');
    case 6:
      return target.replaceAll(/(?<=.)\//g, '%2F');
    default:
      return letter < 0
        ? target
        : `${target.slice(0, letter)}%${target.charCodeAt(letter).toString(16)}${target.slice(letter + 1)}`;
  }
}

// --- tokens

function claimsOf(rng: Rng): Record<string, unknown> {
  return { iss: rng.pick(words.ISSUERS), sub: rng.pick(words.SUBJECTS), aud: 'app' };
}

function withClaims(draft: Draft, rng: Rng): Record<string, unknown> {
  return { ...(draft.claims ?? claimsOf(rng)) };
}

function principalClaims(value: string, rng: Rng): Record<string, unknown> {
  const slash = value.lastIndexOf('/');
  const issuer = slash < 0 ? value : value.slice(0, slash);
  const iss = words.ISSUERS.find((one) => fits(issuer, one)) ?? rng.pick(words.ISSUERS);
  return { iss, sub: slash < 0 ? rng.pick(['', 'bar', 'r']) : filled(value.slice(slash + 1), 'a', 'r') };
}

function putToken(draft: Draft, rules: readonly TokenRule[], rng: Rng): void {
  const claims = Object.fromEntries(
    Object.entries(draft.claims ?? {}).filter(([, value]) => value !== undefined),
  );
  const token = makeToken(claims, draft.fault);
  const rule = rules.find(({ issuer }) => issuer === claims['iss']) ?? rules[0] ?? { issuer: '' };
  const places: ((text: string) => void)[] = [
    ...(rule.fromHeaders ?? []).map(({ name, prefix = '' }) => (text: string): void => {
      draft.headers.push([name, prefix + text]);
    }),
    ...(rule.fromParams ?? []).map(
      (name) =>
        (text: string): void =>
          inQuery(draft, name, text),
    ),
    ...(rule.fromCookies ?? []).map((name) => (text: string): void => {
      draft.headers.push(['cookie', `${name}=${text}`]);
    }),
  ];
  const header = (text: string): void => {
    draft.headers.push(['authorization', `Bearer ${text}`]);
  };
  if (places.length === 0)
    places.push(header, header, header, (text) => inQuery(draft, 'access_token', text));
  if (rng.chance(4)) header(token);
  else rng.pick(places)(token);
}

/** Last in the query, where cutting it leaves nothing to be written anew. */
function inQuery(draft: Draft, name: string, token: string): void {
  const [path = '', fragment] = draft.target.split('#', 2);
  draft.target = `${path}${path.includes('?') ? '&' : '?'}${name}=${token}${fragment === undefined ? '' : `#${fragment}`}`;
}

// --- neighbours

function moveAway(draft: Draft, rng: Rng): void {
  switch (rng.below(9)) {
    case 0:
      draft.method = rng.pick(words.METHODS_SENT);
      return;
    case 1:
      draft.target = rng.chance(50) ? rng.pick(words.PATHS_SENT) : neighbour(draft.target, rng);
      return;
    case 2:
      draft.host = rng.chance(50)
        ? rng.pick(words.HOSTS_SENT)
        : `${draft.host.split(':', 1)[0]}:${rng.pick(['80', '8080'])}`;
      return;
    case 3:
      draft.headers = draft.headers.slice(1);
      return;
    case 4: {
      const name = rng.pick(Object.keys(words.HEADERS).filter((one) => words.HEADERS[one]!.sent.length > 0));
      draft.headers.push([name, rng.pick(words.HEADERS[name]!.sent)]);
      return;
    }
    case 5:
      draft.headers.push(['x-forwarded-for', rng.pick(words.FORWARDED_FOR)]);
      return;
    case 6: {
      const claim = rng.pick(Object.keys(words.CLAIM_VALUES));
      draft.claims = { ...withClaims(draft, rng), [claim]: rng.pick(words.CLAIM_VALUES[claim]!) };
      return;
    }
    case 7:
      if (draft.claims !== null && rng.chance(60)) draft.fault = rng.pick(TOKEN_FAULTS);
      else draft.claims = draft.claims === null ? claimsOf(rng) : null;
      return;
    default:
      if (draft.claims === null) draft.target = neighbour(draft.target, rng);
      else draft.claims = { ...draft.claims, ...claimsOf(rng) };
  }
}

function neighbour(target: string, rng: Rng): string {
  switch (rng.below(5)) {
    case 0:
      return target.endsWith('/') && target !== '/' ? target.slice(0, -1) : `${target}/`;
    case 1:
      return target.length > 1 ? target.slice(0, -1) : target;
    case 2:
      return `${target}x`;
    case 3:
      return target.toUpperCase();
    default:
      return respelled(target, rng);
  }
}

/** All header fields but Host; `id` finds the request in logs. */
export function headersOf({ headers }: HttpRequest, id: string): readonly (readonly [string, string])[] {
  return [['x-case', id], ['x-request-id', `case-${id}`], ...headers];
}

export function requestBytes(one: HttpRequest, id: string): string {
  const fields = headersOf(one, id).map(([name, value]) => `${name}: ${value}`);
  return [`${one.method} ${one.target} HTTP/1.1`, `host: ${one.host}`, ...fields, '', ''].join('\r\n');
}
