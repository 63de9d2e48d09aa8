/** An issuer of tokens with one key: RS256 as most identity providers sign, or ES256. */
import { generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';

export const ALGORITHMS = ['RS256', 'ES256'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

const KEY_ID = 'bench-1';
/** No run takes so long. */
const LIFETIME_S = 24 * 3_600;

export class TokenIssuer {
  readonly issuer = 'https://issuer.bench.test';
  /** The public key as the text of a key set. */
  readonly keySet: string;
  readonly #algorithm: Algorithm;
  readonly #privateKey: KeyObject;

  constructor(algorithm: Algorithm) {
    const { privateKey, publicKey } =
      algorithm === 'RS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#algorithm = algorithm;
    this.#privateKey = privateKey;
    const key = { ...publicKey.export({ format: 'jwk' }), kid: KEY_ID, alg: algorithm, use: 'sig' };
    this.keySet = JSON.stringify({ keys: [key] });
  }

  /** `claims` go over the usual ones. */
  token(subject: string, claims: Readonly<Record<string, unknown>>): string {
    const nowS = Math.floor(Date.now() / 1000);
    const usual = { iss: this.issuer, sub: subject, aud: 'bench', iat: nowS, exp: nowS + LIFETIME_S };
    const header = { alg: this.#algorithm, kid: KEY_ID, typ: 'JWT' };
    const signed = `${encode(header)}.${encode({ ...usual, ...claims })}`;
    const key = { key: this.#privateKey, dsaEncoding: 'ieee-p1363' as const };
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  }

  /** RequestAuthentication with the key set in it. */
  requestAuthentication(): object {
    return {
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'bench', namespace: 'foo' },
      spec: { jwtRules: [{ issuer: this.issuer, audiences: ['bench'], jwks: this.keySet }] },
    };
  }
}

/** The header line that carries a token. */
export function bearer(token: string): string {
  return `authorization: Bearer ${token}\r\n`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
