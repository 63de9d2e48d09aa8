/**
 * Tokens of the comparison: signed by keys of the set's key set, or wrong in one way.
 */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';

export type TokenFault =
  | ''
  | 'expired'
  | 'not yet valid'
  | 'wrong key'
  | 'unknown kid'
  | 'cut signature'
  | 'two parts'
  | 'unsigned';

export const TOKEN_FAULTS: readonly TokenFault[] = [
  'expired',
  'not yet valid',
  'wrong key',
  'unknown kid',
  'cut signature',
  'two parts',
  'unsigned',
];

const pairs = {
  es: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  stranger: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};

/** The key set that every rule of the comparison has, as JSON text. */
export const JWKS: string = JSON.stringify({
  keys: [{ ...pairs.es.publicKey.export({ format: 'jwk' }), kid: 'es', alg: 'ES256', use: 'sig' }],
});

export function makeToken(claims: Readonly<Record<string, unknown>>, fault: TokenFault = ''): string {
  const nowS = Math.floor(Date.now() / 1_000);
  const kid = fault === 'unknown kid' ? 'other' : 'es';
  const header = fault === 'unsigned' ? { alg: 'none' } : { alg: 'ES256', kid };
  const times =
    fault === 'expired'
      ? { exp: nowS - 3_600 }
      : fault === 'not yet valid'
        ? { nbf: nowS + 3_600 }
        : { exp: nowS + 3_600 };
  const signed = `${encode(header)}.${encode({ ...claims, ...times })}`;
  if (fault === 'two parts') return signed;
  if (fault === 'unsigned') return `${signed}.`;
  const signature = signWith((fault === 'wrong key' ? pairs.stranger : pairs.es).privateKey, signed);
  return `${signed}.${fault === 'cut signature' ? signature.slice(0, 84) : signature}`;
}

function signWith(key: KeyObject, text: string): string {
  return sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
