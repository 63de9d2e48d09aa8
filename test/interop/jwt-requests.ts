/** Rules and requests of the comparison of tokens: places, spellings and faults, drawn from a seed. */
import type { JwtRule } from '../../src/core/jwt-plan.ts';
import { jwtRule, TestIssuer } from '../support/test-tokens.ts';
import type { Rng } from './policy-rng.ts';

const A = new TestIssuer('a');
const B = new TestIssuer('b');
const RSA = new TestIssuer('r', 'RS256');
const ED = new TestIssuer('e', 'EdDSA');
const STRANGER = new TestIssuer('c');

/** Neither key names itself nor its algorithm: each is tried. */
const NAMELESS = { kid: undefined, alg: undefined };
const MANY_KEYS = JSON.stringify({
  keys: [A.jwk(NAMELESS), B.jwk(NAMELESS), RSA.jwk(NAMELESS), ED.jwk(NAMELESS), { kty: 'zz' }],
});

const OF_A = jwtRule({
  issuer: 'a',
  jwks: A.jwks(),
  outputPayloadToHeader: 'x-pa',
  outputClaimToHeaders: [{ claim: 'sub', header: 'x-sub' }],
});
const OF_B = jwtRule({
  issuer: 'b',
  jwks: B.jwks(),
  audiences: ['q'],
  outputPayloadToHeader: 'x-pb',
  forwardOriginalToken: true,
});
const OF_ANYBODY = jwtRule({ jwks: MANY_KEYS, outputPayloadToHeader: 'x-pm' });
const WRONG_KEY_OF_B = jwtRule({ issuer: 'b', jwks: A.jwks(NAMELESS) });
const PLACES = {
  fromHeaders: [
    { name: 'x-z', prefix: '' },
    { name: 'x-b', prefix: 'T ' },
  ],
  fromParams: ['t', 'access_token'],
  fromCookies: ['c'],
};

/** One listener each. */
export const RULE_SETS: readonly (readonly JwtRule[])[] = [
  [OF_A],
  [OF_A, OF_B],
  [OF_B, OF_A],
  [OF_ANYBODY],
  [WRONG_KEY_OF_B, OF_B, OF_A],
  [OF_A, OF_ANYBODY],
  [{ ...OF_A, ...PLACES }],
  [{ ...OF_A, ...PLACES }, OF_B],
  [
    { ...OF_B, ...PLACES, audiences: [] },
    { ...OF_A, fromHeaders: [{ name: 'x-b', prefix: 'T ' }] },
    OF_ANYBODY,
  ],
];

export interface DrawnRequest {
  /** Index in `RULE_SETS`. */
  readonly set: number;
  readonly path: string;
  /** Name, value, name, value … without blanks around a value, as a codec hands them on. */
  readonly fields: readonly string[];
}

export class JwtDraw {
  readonly #rng: Rng;
  readonly #good: readonly string[];
  readonly #bad: readonly string[];

  private constructor(rng: Rng, good: readonly string[], bad: readonly string[]) {
    this.#rng = rng;
    this.#good = good;
    this.#bad = bad;
  }

  static async make(rng: Rng): Promise<JwtDraw> {
    const nowS = Math.floor(Date.now() / 1_000);
    const good = await Promise.all([
      A.token(),
      A.token({ sub: 'x', aud: ['q', 'z'], exp: nowS + 600 }),
      B.token({ aud: 'http://q/' }),
      B.token({ aud: 'q', nbf: nowS - 5 }),
      RSA.token(),
      ED.token(),
    ]);
    return new JwtDraw(rng, good, await badTokens(good[0], nowS));
  }

  request(): DrawnRequest {
    const rng = this.#rng;
    const fields: string[] = [];
    const params = new Map<string, string>();
    for (let left = 1 + rng.below(3); left > 0; left--) this.#addToken(fields, params);
    const query = [...params.values()].join('&');
    return { set: rng.below(RULE_SETS.length), path: query === '' ? '/p' : `/p?${query}`, fields };
  }

  #addToken(fields: string[], params: Map<string, string>): void {
    const rng = this.#rng;
    const token = rng.chance(70) ? rng.pick(this.#good) : rng.pick(this.#bad);
    const add = (name: string, value: string): void => {
      fields.push(name, value.trim());
    };
    // Of two parameters or cookies of one name Envoy looks at the first alone; we at both.
    const addParameter = (name: string, spelling = name): void => {
      if (!params.has(name)) params.set(name, `${spelling}=${token}`);
    };
    switch (rng.below(9)) {
      case 0:
      case 1:
      case 2:
        // Several are one value, and within it Envoy skips blanks.
        add(
          'authorization',
          rng.pick(['Bearer ', 'Bearer ', 'Bearer ', 'bearer ', 'x Bearer "', 'Basic ']) + (token || 'x'),
        );
        return;
      case 3:
        addParameter('access_token');
        return;
      case 4:
        if (rng.chance(25)) addParameter('access_token', 'acce%73s_token');
        else addParameter(rng.pick(['t', 't', 'x']));
        return;
      case 5:
        add('x-z', token);
        return;
      case 6:
        add('x-b', rng.pick(['T ', 'T ', '', 'T']) + token);
        return;
      case 7:
        if (!fields.includes('cookie'))
          add('cookie', rng.pick(['c=', 'a=b; c=', ' c=']) + token + rng.pick(['', '; d=e', ' ']));
        return;
      default:
        add(rng.pick(['x-pa', 'x-pb', 'x-pm', 'x-sub']), 'spoof');
    }
  }

  /** With names for tokens and payloads: people read it. */
  named(text: string): string {
    let out = text;
    for (const [prefix, tokens] of [
      ['good', this.#good],
      ['bad', this.#bad],
    ] as const) {
      for (const [index, token] of tokens.entries()) {
        if (token.length < 20) continue;
        out = out.replaceAll(token, `<${prefix}-${index}>`);
        const payload = token.split('.')[1] ?? '';
        if (payload.length > 8) out = out.replaceAll(payload, `<payload of ${prefix}-${index}>`);
      }
    }
    return out;
  }
}

/** None whose base64 or sections Envoy reads leniently: it answers those another way, and we refuse them all. */
async function badTokens(token: string, nowS: number): Promise<string[]> {
  const [header = '', payload = ''] = token.split('.');
  const twice = Buffer.from('{"a":1,"a":2}').toString('base64url');
  const signed = await Promise.all([
    A.token({ exp: 1 }),
    A.token({ nbf: nowS + 900 }),
    B.token({ aud: 'no' }),
    B.token(),
    STRANGER.token(),
    A.token({}, { header: { kid: 'zz' } }),
    B.token({ iss: 'a' }),
    A.token({ iss: 5 }),
    A.token({ sub: 5 }),
    A.token({ aud: 5 }),
    A.token({ exp: 'x' }),
    A.token({ iat: -4 }),
    ED.token({ iss: 'a' }),
    RSA.token({}, { header: { kid: undefined } }),
  ]);
  return [
    ...signed,
    `${token}AAAA`,
    token.slice(0, -2),
    'x',
    'a.b',
    'a.b.c',
    'eyJhbGciOiJub25lIn0.e30.AA',
    'e30.e30.AA',
    `${header}.W10.AAAA`,
    `${header}.${payload}.@@`,
    `${header}.${twice}.AAAA`,
    'eyJhbGciOiJFUzI1NiIsImtpZCI6MX0.e30.AAAA',
    'eyJhbGciOiJIUzI1NiJ9.e30.AAAA',
    ED.rawToken('{"alg":"EdDSA"}', '{"iss":"e"}').slice(0, -6),
    '',
  ];
}
