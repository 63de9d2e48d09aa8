/**
 * The compact form of a token (RFC 7515 §7.1, RFC 7519 §7.2) taken apart, before any signature is looked at: the
 * checks and their order are those of Envoy's jwt_verify_lib, only stricter about base64, numbers and `crit`.
 */
import { memberOf, parseJsonObject } from './jwt-json.ts';
import type { JsonObject } from './jwt-json.ts';
import type { JwtProblem, JwtStatus } from './jwt-status.ts';

/** A token as it stands: nothing of it is proved. */
export interface ParsedJwt {
  readonly alg: string;
  /** null: it names no key. */
  readonly kid: string | null;
  /** '' : it states none. */
  readonly issuer: string;
  readonly subject: string;
  /** null: the claim is absent. */
  readonly audiences: readonly string[] | null;
  /** Seconds since the epoch; 0: not stated. */
  readonly notBeforeS: number;
  readonly expiresS: number;
  readonly payload: JsonObject;
  /** The payload section as in the token. */
  readonly payloadText: string;
  readonly signatureBytes: number;
  /** The header has `crit`: it demands that something be understood which is not. */
  readonly isCritical: boolean;
}

/** Those that Envoy knows. HMAC is among them for the wording of the answer alone: no key set has such a key. */
const ALGORITHMS: ReadonlySet<string> = new Set([
  'ES256',
  'ES384',
  'ES512',
  'HS256',
  'HS384',
  'HS512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
]);

export function parseJwt(token: string): ParsedJwt | JwtProblem {
  const sections = token.split('.', 4);
  const [headerText = '', payloadText = '', signatureText = ''] = sections;
  if (sections.length !== 3 || headerText === '' || payloadText === '' || signatureText === '')
    return problem('badFormat', `it has ${sections.length === 4 ? 'more than 3' : sections.length} sections`);
  const header = parseHeader(headerText);
  if ('status' in header) return header;
  const payloadBytes = decodeBase64url(payloadText);
  if (payloadBytes === null) return problem('payloadBase64', 'the second section is no base64url');
  const payload = parseJsonObject(payloadBytes);
  if (payload === null)
    return problem('payloadJson', 'the second section is no JSON object, or has a name twice');
  const claims = parseClaims(payload);
  if ('status' in claims) return claims;
  const signature = decodeBase64url(signatureText);
  if (signature === null) return problem('signatureBase64', 'the third section is no base64url');
  return { ...header, ...claims, payload, payloadText, signatureBytes: signature.length };
}

function parseHeader(text: string): Pick<ParsedJwt, 'alg' | 'kid' | 'isCritical'> | JwtProblem {
  const bytes = decodeBase64url(text);
  if (bytes === null) return problem('headerBase64', 'the first section is no base64url');
  const header = parseJsonObject(bytes);
  if (header === null)
    return problem('headerJson', 'the first section is no JSON object, or has a name twice');
  const alg = memberOf(header, 'alg');
  if (typeof alg !== 'string') return problem('algMissing', `alg is ${typeof alg}`);
  if (!ALGORITHMS.has(alg)) return problem('algUnknown', `alg is ${JSON.stringify(alg.slice(0, 40))}`);
  const kid = memberOf(header, 'kid');
  if (kid !== undefined && typeof kid !== 'string') return problem('kidNotString', `kid is ${typeof kid}`);
  return { alg, kid: kid ?? null, isCritical: Object.hasOwn(header, 'crit') };
}

type Claims = Pick<ParsedJwt, 'issuer' | 'subject' | 'audiences' | 'notBeforeS' | 'expiresS'>;

function parseClaims(payload: JsonObject): Claims | JwtProblem {
  // A member that is null is of the wrong type and not absent.
  const { iss: issuer = '', sub: subject = '', jti = '', aud } = ownMembers(payload);
  if (typeof issuer !== 'string') return problem('issNotString', `iss is ${typeof issuer}`);
  if (typeof subject !== 'string') return problem('subNotString', `sub is ${typeof subject}`);
  const times: number[] = [];
  for (const [name, notInteger, outOfRange] of TIMES) {
    const value = memberOf(payload, name);
    const time = value === undefined ? 0 : value;
    if (typeof time !== 'number' || (Number.isFinite(time) && !Number.isInteger(time)))
      return problem(notInteger, `${name} is ${typeof time === 'number' ? String(time) : typeof time}`);
    if (time < 0 || time >= 2 ** 64) return problem(outOfRange, `${name} is ${time}`);
    times.push(time);
  }
  if (typeof jti !== 'string') return problem('jtiNotString', `jti is ${typeof jti}`);
  const audiences = aud === undefined ? null : typeof aud === 'string' ? [aud] : aud;
  if (audiences !== null && !isStrings(audiences)) return problem('audNotStrings', `aud is ${typeof aud}`);
  return { issuer, subject, audiences, notBeforeS: times[1] ?? 0, expiresS: times[2] ?? 0 };
}

function ownMembers(payload: JsonObject): Record<'iss' | 'sub' | 'jti' | 'aud', unknown> {
  const member = (name: string): unknown => memberOf(payload, name);
  return { iss: member('iss'), sub: member('sub'), jti: member('jti'), aud: member('aud') };
}

const TIMES: readonly (readonly [string, JwtStatus, JwtStatus])[] = [
  ['iat', 'iatNotInteger', 'iatOutOfRange'],
  ['nbf', 'nbfNotInteger', 'nbfOutOfRange'],
  ['exp', 'expNotInteger', 'expOutOfRange'],
];

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Unpadded base64url in its one canonical form (RFC 7515 §2); null: it is something else. */
function decodeBase64url(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : null;
}

function problem(status: JwtStatus, why: string): JwtProblem {
  return { status, why };
}
