/**
 * A JSON Web Key Set (RFC 7517) as public keys, each bound to the algorithms of its type (RFC 8725 §3.1). A key that
 * cannot be used is left out and spoils nothing; symmetric and private parts are never taken.
 */
import { createPublicKey } from 'node:crypto';
import type { JsonWebKeyInput, KeyObject } from 'node:crypto';
import { isJsonObject, memberOf, parseJsonObjectText } from './jwt-json.ts';
import type { JsonObject } from './jwt-json.ts';

export interface JwtKey {
  /** null: any token may try it. */
  readonly kid: string | null;
  /** As the key set says; null: every algorithm of its type. */
  readonly alg: string | null;
  /** What it can verify. */
  readonly algorithms: readonly string[];
  readonly key: KeyObject;
}

/** Never changes: a new text is a new set, so that what was verified with a set is known by the set itself. */
export interface KeySet {
  readonly keys: readonly JwtKey[];
}

const RSA_ALGORITHMS: readonly string[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const EC_ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  'P-256': ['ES256'],
  'P-384': ['ES384'],
  'P-521': ['ES512'],
};
/** RFC 7518 §3.3. More than the upper bound is a way to make others calculate. */
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 16_384;

/** What `keys` of a key set holds, used or not; null: the text is no key set. */
export function keysOf(text: string): readonly unknown[] | null {
  const object = parseJsonObjectText(text);
  const keys = object === null ? undefined : memberOf(object, 'keys');
  return Array.isArray(keys) ? keys : null;
}

/** The keys that can be used; none, if the text is no key set. */
export function parseKeySet(text: string): KeySet {
  const keys: JwtKey[] = [];
  for (const jwk of keysOf(text) ?? []) {
    const key = isJsonObject(jwk) ? parseKey(jwk) : null;
    if (key !== null) keys.push(key);
  }
  return { keys };
}

function parseKey(jwk: JsonObject): JwtKey | null {
  const kid = optionalText(jwk, 'kid');
  const alg = optionalText(jwk, 'alg');
  const use = optionalText(jwk, 'use');
  if (kid === undefined || alg === undefined || use === undefined) return null;
  if (use !== null && use !== 'sig') return null;
  const operations = memberOf(jwk, 'key_ops');
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return null;
  const form = publicForm(jwk);
  if (form === null) return null;
  const algorithms = alg === null ? form.algorithms : form.algorithms.filter((name) => name === alg);
  if (algorithms.length === 0) return null;
  try {
    const key = createPublicKey({ key: form.jwk, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength ?? MIN_RSA_BITS;
    return bits < MIN_RSA_BITS || bits > MAX_RSA_BITS ? null : { kid, alg, algorithms, key };
  } catch {
    return null;
  }
}

/** The public members of a key and the algorithms of its type; null: no asymmetric key of a known kind. */
function publicForm(
  jwk: JsonObject,
): { readonly jwk: JsonWebKeyInput['key']; readonly algorithms: readonly string[] } | null {
  const text = (name: string): string => optionalText(jwk, name) ?? '';
  const crv = text('crv');
  switch (memberOf(jwk, 'kty')) {
    case 'RSA':
      return { jwk: { kty: 'RSA', n: text('n'), e: text('e') }, algorithms: RSA_ALGORITHMS };
    case 'EC': {
      const algorithms = Object.hasOwn(EC_ALGORITHMS, crv) ? EC_ALGORITHMS[crv] : undefined;
      return algorithms === undefined
        ? null
        : { jwk: { kty: 'EC', crv, x: text('x'), y: text('y') }, algorithms };
    }
    case 'OKP':
      return crv === 'Ed25519' ? { jwk: { kty: 'OKP', crv, x: text('x') }, algorithms: ['EdDSA'] } : null;
    default:
      return null;
  }
}

/** null: absent; undefined: it is there and no string. */
function optionalText(jwk: JsonObject, name: string): string | null | undefined {
  const value = memberOf(jwk, name) ?? null;
  return value === null || typeof value === 'string' ? value : undefined;
}
