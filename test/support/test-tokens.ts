/** An issuer of tokens with real keys, and rules that accept them. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { CompactSign } from 'jose';
import type { JwtPlan, JwtRule } from '../../src/core/jwt-plan.ts';

export type TokenAlgorithm = 'ES256' | 'ES384' | 'ES512' | 'RS256' | 'RS512' | 'PS256' | 'EdDSA';

/** What a test says of a token besides its claims. */
export interface TokenForm {
  readonly header?: Readonly<Record<string, unknown>>;
  /** Instead of the claims' JSON. */
  readonly payloadText?: string;
}

export class TestIssuer {
  readonly issuer: string;
  readonly alg: TokenAlgorithm;
  readonly kid: string;
  readonly privateKey: KeyObject;

  constructor(issuer: string, alg: TokenAlgorithm = 'ES256', kid = `${issuer}-1`) {
    this.issuer = issuer;
    this.alg = alg;
    this.kid = kid;
    this.privateKey = newKey(alg);
  }

  /** The public key as a JWK, with more or other members. */
  jwk(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
    const jwk = createPublicKey(this.privateKey).export({ format: 'jwk' });
    return { ...jwk, kid: this.kid, alg: this.alg, use: 'sig', ...more };
  }

  /** A key set with this key alone. */
  jwks(more: Readonly<Record<string, unknown>> = {}): string {
    return JSON.stringify({ keys: [this.jwk(more)] });
  }

  /** A token of `sub: alice`; what `claims` states as undefined is left out. */
  async token(claims: Readonly<Record<string, unknown>> = {}, form: TokenForm = {}): Promise<string> {
    const payload = form.payloadText ?? JSON.stringify({ iss: this.issuer, sub: 'alice', ...claims });
    return new CompactSign(Buffer.from(payload))
      .setProtectedHeader({ alg: this.alg, kid: this.kid, ...form.header })
      .sign(this.privateKey);
  }

  /** A token whose header jose would not write: signed all the same, where the algorithm has a digest of 256 bits. */
  rawToken(headerText: string, payloadText: string): string {
    const input = `${Buffer.from(headerText).toString('base64url')}.${Buffer.from(payloadText).toString('base64url')}`;
    const dsaEncoding = 'ieee-p1363';
    const signature =
      this.alg === 'EdDSA'
        ? sign(null, Buffer.from(input), this.privateKey)
        : sign('sha256', Buffer.from(input), { key: this.privateKey, dsaEncoding });
    return `${input}.${signature.toString('base64url')}`;
  }
}

function newKey(alg: TokenAlgorithm): KeyObject {
  switch (alg) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    case 'ES384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey;
    case 'ES512':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey;
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey;
    case 'RS256':
    case 'RS512':
    case 'PS256':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    default:
      return alg satisfies never;
  }
}

/** A rule with nothing but what is given. */
export function jwtRule(given: Partial<JwtRule>): JwtRule {
  return {
    issuer: '',
    audiences: [],
    jwks: '',
    keySet: '',
    fromHeaders: [],
    fromParams: [],
    fromCookies: [],
    outputPayloadToHeader: '',
    outputClaimToHeaders: [],
    forwardOriginalToken: false,
    spaceDelimitedClaims: [],
    from: `RequestAuthentication foo/${given.issuer ?? 'any'} rule 0`,
    ...given,
  };
}

/** Rules whose keys are inline. */
export function jwtPlan(...rules: readonly JwtRule[]): JwtPlan {
  return { rules, keySets: [] };
}
