/** RequestAuthentication on requests: places, requirement tree, answers, what is forwarded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileJwtRules } from '../../src/filters/jwt-rules.ts';
import { JWT_STATUS } from '../../src/filters/jwt-status.ts';
import type { JwtStatus } from '../../src/filters/jwt-status.ts';
import { findAll } from '../../src/filters/jwt-verify.ts';
import { JwtBench } from '../support/jwt-bench.ts';
import type { JwtBenchRequest } from '../support/jwt-bench.ts';
import { jwtPlan, jwtRule, TestIssuer } from '../support/test-tokens.ts';

const A = new TestIssuer('a');
const B = new TestIssuer('b');
const tokenA = await A.token();
const tokenB = await B.token();
const tokenC = await new TestIssuer('c').token();
const expiredA = await A.token({ exp: 1_000 });
const expiredB = await B.token({ exp: 1_000 });
const ruleA = jwtRule({ issuer: 'a', jwks: A.jwks() });
const ruleB = jwtRule({ issuer: 'b', jwks: B.jwks() });

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');
const bearer = (token: string): string[] => ['authorization', `Bearer ${token}`];
const passes = 'passes';
const noToken = 'no token';

/** What became of it: `passes`, `no token`, or the status. */
async function outcomeOf(bench: JwtBench, request: JwtBenchRequest): Promise<string> {
  const { body, token } = await bench.send(request);
  if (body !== '') return body;
  return token === null ? noToken : passes;
}

describe('where a JWT rule looks for tokens', () => {
  const bench = new JwtBench(jwtPlan(ruleA));
  const { badFormat, signatureBase64 } = JWT_STATUS;
  const rows: readonly (readonly [string, JwtBenchRequest, string])[] = [
    ['no token at all', {}, noToken],
    ['Authorization: Bearer', { fields: bearer(tokenA) }, passes],
    ['the parameter access_token', { path: `/?access_token=${tokenA}` }, passes],
    ['the parameter among others', { path: `/?x=1&access_token=${tokenA}&y` }, passes],
    ['an escaped name of the parameter', { path: `/?access%5ftoken=${tokenA}` }, passes],
    ['a longer name of a parameter', { path: `/?my_access_token=${tokenA}` }, noToken],
    ['a name in other case', { path: `/?Access_token=${tokenA}` }, noToken],
    ['both, both good', { fields: bearer(tokenA), path: `/?access_token=${tokenA}` }, passes],
    [
      'both, the second bad',
      { fields: bearer(tokenA), path: `/?access_token=${expiredA}` },
      JWT_STATUS.expired,
    ],
    [
      'both, the first bad',
      { fields: bearer(expiredA), path: `/?access_token=${tokenA}` },
      JWT_STATUS.expired,
    ],
    ['two parameters, the second bad', { path: `/?access_token=${tokenA}&access_token=x` }, badFormat],
    ['an empty parameter', { path: '/?access_token=' }, badFormat],
    ['a parameter without =', { path: '/?access_token' }, badFormat],
    ['another scheme', { fields: ['authorization', 'Basic xyz'] }, noToken],
    ['bearer in lower case', { fields: ['authorization', `bearer ${tokenA}`] }, noToken],
    ['Bearer and nothing behind', { fields: ['authorization', 'Bearer'] }, noToken],
    ['junk before the prefix', { fields: ['authorization', `xx Bearer ${tokenA}`] }, passes],
    ['junk before the token', { fields: ['authorization', `Bearer ." ${tokenA}`] }, passes],
    ['something behind the token', { fields: ['authorization', `Bearer ${tokenA},foo`] }, signatureBase64],
    ['a blank and a word behind it', { fields: ['authorization', `Bearer ${tokenA} foo`] }, signatureBase64],
    ['a semicolon behind it', { fields: ['authorization', `Bearer ${tokenA};x`] }, signatureBase64],
    ['two Authorization fields', { fields: [...bearer(tokenA), ...bearer(tokenA)] }, badFormat],
    ['Basic, then Bearer', { fields: ['authorization', 'Basic x', ...bearer(tokenA)] }, passes],
    ['a cookie that nobody asked for', { fields: ['cookie', `access_token=${expiredA}`] }, noToken],
    ['another field', { fields: ['x-token', expiredA] }, noToken],
  ];
  for (const [name, request, wanted] of rows)
    it(`${name}: ${wanted}`, async () => assert.equal(await outcomeOf(bench, request), wanted));

  const custom = new JwtBench(
    jwtPlan(
      jwtRule({
        issuer: 'a',
        jwks: A.jwks(),
        fromHeaders: [
          { name: 'x-token', prefix: '' },
          { name: 'x-pre', prefix: 'Token ' },
        ],
        fromParams: ['t', 'ü'],
        fromCookies: ['session'],
      }),
    ),
  );
  const customRows: readonly (readonly [string, JwtBenchRequest, string])[] = [
    ['the default field', { fields: bearer(expiredA) }, noToken],
    ['the default parameter', { path: `/?access_token=${expiredA}` }, noToken],
    ['a field without a prefix', { fields: ['x-token', tokenA] }, passes],
    ['an empty field', { fields: ['x-token', ''] }, badFormat],
    ['a field with its prefix', { fields: ['x-pre', `Token ${tokenA}`] }, passes],
    ['a field without its prefix', { fields: ['x-pre', expiredA] }, noToken],
    ['one field twice, both good', { fields: ['x-token', tokenA, 'x-token', tokenA] }, passes],
    ['one field twice, one bad', { fields: ['x-token', tokenA, 'x-token', expiredA] }, JWT_STATUS.expired],
    ['a parameter', { path: `/p?t=${tokenA}` }, passes],
    ['a parameter beyond ASCII', { path: `/p?%C3%BC=${tokenA}` }, passes],
    ['a cookie', { fields: ['cookie', `a=b; session=${tokenA}; c`] }, passes],
    ['a quoted cookie', { fields: ['cookie', `session="${tokenA}"`] }, passes],
    ['a cookie in a second field', { fields: ['cookie', 'a=b', 'cookie', `session=${tokenA}`] }, passes],
    ['a cookie twice, one bad', { fields: ['cookie', `session=${tokenA}; session=x`] }, badFormat],
    ['a cookie with blanks around it', { fields: ['cookie', `a=b;   session=${tokenA}  ; c=d`] }, passes],
    ['a blank before its value', { fields: ['cookie', `session= ${tokenA}`] }, JWT_STATUS.headerBase64],
    ['a blank behind its name', { fields: ['cookie', `session =${expiredA}`] }, noToken],
    ['a cookie of another name', { fields: ['cookie', `xsession=${expiredA}`] }, noToken],
  ];
  for (const [name, request, wanted] of customRows)
    it(`own places, ${name}: ${wanted}`, async () => assert.equal(await outcomeOf(custom, request), wanted));
});

describe('rules that look at the same places', () => {
  it('share one look, for a head may have thousands of tokens', () => {
    const places = { fromParams: ['t'], fromCookies: ['t'] };
    const alike = ['a', 'b', 'c'].map((issuer) => jwtRule({ issuer, jwks: A.jwks(), ...places }));
    const rules = compileJwtRules(jwtPlan(...alike, ruleA));
    const [first, second, third, other] = findAll(rules, { path: `/?${'t&'.repeat(100)}`, fields: [] });
    assert.equal(first?.length, 100);
    assert.ok(first === second && first === third);
    assert.deepEqual(other, []);
  });
});

describe('the requirement of JWT rules', () => {
  const wrongKey = jwtRule({ issuer: 'b', jwks: A.jwks({ kid: undefined, alg: undefined }) });
  const anyIssuer = jwtRule({ issuer: '', jwks: A.jwks() });
  const audience = jwtRule({ issuer: 'b', jwks: B.jwks(), audiences: ['c'] });
  const inX = jwtRule({ issuer: 'a', jwks: A.jwks(), fromHeaders: [{ name: 'x-a', prefix: '' }] });
  const inY = jwtRule({ issuer: 'b', jwks: B.jwks(), fromHeaders: [{ name: 'x-b', prefix: '' }] });
  const { audienceNotAllowed, expired, unknownIssuer, verificationFails } = JWT_STATUS;
  const rows = [
    ['one rule, another issuer', [ruleA], { fields: bearer(tokenB) }, unknownIssuer],
    ['a rule of any issuer', [anyIssuer], { fields: bearer(tokenA) }, passes],
    ['two rules, none', [ruleA, ruleB], {}, noToken],
    ['two rules, the first one', [ruleA, ruleB], { fields: bearer(tokenA) }, passes],
    ['two rules, the second one', [ruleA, ruleB], { fields: bearer(tokenB) }, passes],
    ['two rules, an unknown issuer', [ruleA, ruleB], { fields: bearer(tokenC) }, unknownIssuer],
    ['two rules, expired for the first', [ruleA, ruleB], { fields: bearer(expiredA) }, expired],
    ['two rules, expired for the second', [ruleA, ruleB], { fields: bearer(expiredB) }, expired],
    ['a wrong key and the right one', [wrongKey, ruleB], { fields: bearer(tokenB) }, passes],
    ['a wrong key alone', [ruleA, wrongKey], { fields: bearer(tokenB) }, verificationFails],
    ['the same issuer with two audiences', [audience, ruleB], { fields: bearer(tokenB) }, passes],
    ['an audience that is not allowed', [ruleA, audience], { fields: bearer(tokenB) }, audienceNotAllowed],
    ['own places, both good', [inX, inY], { fields: ['x-a', tokenA, 'x-b', tokenB] }, passes],
    ['own places, the second bad', [inX, inY], { fields: ['x-a', tokenA, 'x-b', expiredB] }, expired],
    ['own places, the first bad', [inX, inY], { fields: ['x-a', expiredA, 'x-b', tokenB] }, expired],
    [
      'own places, the second of nobody',
      [inX, inY],
      { fields: ['x-a', tokenA, 'x-b', tokenA] },
      unknownIssuer,
    ],
    [
      'good and bad at the same places',
      [ruleA, ruleB],
      { fields: bearer(tokenA), path: `/?access_token=${expiredB}` },
      expired,
    ],
    [
      'one that is left when the last rule has taken its own away',
      [wrongKey, ruleB, ruleA],
      { fields: bearer(tokenB), path: `/?access_token=${tokenA}` },
      verificationFails,
    ],
  ] as const;
  for (const [name, rules, request, wanted] of rows) {
    it(`${name}: ${wanted}`, async () => {
      assert.equal(await outcomeOf(new JwtBench(jwtPlan(...rules)), request), wanted);
    });
  }

  it('gives what the first rule that is content gives, and leaves the tokens of later ones', async () => {
    const first = { ...inX, outputPayloadToHeader: 'x-first' };
    const second = { ...inY, outputPayloadToHeader: 'x-second' };
    const bench = new JwtBench(jwtPlan(first, second));
    const { fields, token } = await bench.send({ fields: ['x-a', tokenA, 'x-b', tokenB] });
    assert.equal(token?.issuer, 'a');
    assert.deepEqual(fields, ['x-b', tokenB, 'x-first', tokenA.split('.')[1]]);
  });
});

describe('the answer to a bad token', () => {
  it('is 401 with the reason as body, challenge and details', async () => {
    const bench = new JwtBench(jwtPlan(ruleA));
    const { verdict } = await bench.send({ fields: bearer(expiredA), path: `/x?y=${'z'.repeat(300)}` });
    assert.ok(verdict.kind === 'deny');
    const realm = `http://httpbin.foo:8000/x?y=${'z'.repeat(251)}`;
    assert.deepEqual(
      { ...verdict, why: '' },
      {
        kind: 'deny',
        code: 'jwt_denied',
        status: 401,
        body: 'Jwt is expired',
        headers: ['www-authenticate', `Bearer realm="${realm}", error="invalid_token"`],
        details: 'jwt_authn_access_denied{Jwt_is_expired}',
        why: '',
      },
    );
    assert.match(
      verdict.why,
      /^RequestAuthentication foo\/a rule 0, header authorization: Jwt is expired \(exp is 1000, now is \d+\)$/,
    );
    assert.deepEqual([bench.counters.denied, bench.counters.allowed], [1, 0]);
  });

  it('is 403 for a wrong audience alone', async () => {
    const bench = new JwtBench(jwtPlan({ ...ruleA, audiences: ['c'] }));
    const { status, verdict } = await bench.bearer(tokenA);
    assert.equal(status, 403);
    assert.ok(
      verdict.kind === 'deny' &&
        verdict.details === 'jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}',
    );
  });

  it('never says the token', async () => {
    const bench = new JwtBench(jwtPlan(ruleA, ruleB));
    for (const token of [expiredA, tokenB.slice(0, -6), `${tokenA}x`, tokenA.replace('.', '..')]) {
      const { verdict } = await bench.bearer(token);
      assert.ok(verdict.kind === 'deny');
      const text = JSON.stringify(verdict);
      for (const part of token.split('.')) assert.ok(part === '' || !text.includes(part), text);
    }
  });
});

describe('what goes on to the app', () => {
  it('has no token, and the other bytes of the query as they were', async () => {
    const bench = new JwtBench(jwtPlan(ruleA));
    const rows = [
      [`/a?access_token=${tokenA}`, '/a'],
      [`/a?x=%2f&access_token=${tokenA}&b=%26x%3Dy`, '/a?x=%2f&b=%26x%3Dy'],
      [`/a?access_token=${tokenA}&access%5Ftoken=${tokenA}&x`, '/a?x'],
      [`/a?&&access_token=${tokenA}&`, '/a?&&'],
    ];
    for (const [path = '', wanted] of rows) assert.equal((await bench.send({ path })).path, wanted);
    const { fields } = await bench.send({ fields: ['x', 'y', ...bearer(tokenA), 'z', ''] });
    assert.deepEqual(fields, ['x', 'y', 'z', '']);
  });

  it('has the token where the rule forwards it, and a cookie always', async () => {
    const forwards = new JwtBench(jwtPlan({ ...ruleA, forwardOriginalToken: true }));
    assert.deepEqual((await forwards.bearer(tokenA)).fields, bearer(tokenA));
    const path = `/?access_token=${tokenA}`;
    assert.equal((await forwards.send({ path })).path, path);
    const cookie = new JwtBench(jwtPlan({ ...ruleA, fromCookies: ['c'] }));
    assert.deepEqual((await cookie.send({ fields: ['cookie', `c=${tokenA}`] })).fields, [
      'cookie',
      `c=${tokenA}`,
    ]);
  });

  it('has payload and claims as the rule says, and never those that the client wrote', async () => {
    const claims = { n: 1, deep: { er: 'x', list: ['a', 'b'] }, yes: true, utf: 'ü', none: null };
    const token = await A.token(claims);
    const outputs = ['n', 'deep.er', 'deep.list', 'deep', 'yes', 'utf', 'none', 'absent', 'n.x', 'sub'];
    const rule = {
      ...ruleA,
      outputPayloadToHeader: 'x-payload',
      outputClaimToHeaders: outputs.map((claim) => ({ claim, header: `x-${claim.replace('.', '-')}` })),
    };
    const bench = new JwtBench(jwtPlan(rule));
    const spoofed = ['x-payload', 'e30', 'x-sub', 'admin', 'x-none', 'x', 'other', 'stays'];
    const given: Readonly<Record<string, unknown>> = {
      'x-n': '1',
      'x-deep-er': 'x',
      'x-deep-list': base64(['a', 'b']),
      'x-deep': base64(claims.deep),
      'x-yes': 'true',
      'x-utf': '\u00c3\u00bc',
      'x-sub': 'alice',
      'x-payload': token.split('.')[1],
    };
    const wanted = Object.entries(given).flat();
    assert.deepEqual((await bench.send({ fields: [...spoofed, ...bearer(token)] })).fields, [
      'other',
      'stays',
      ...wanted,
    ]);
    assert.deepEqual((await bench.send({ fields: spoofed })).fields, ['other', 'stays']);
    const preflight = ['origin', 'o', 'access-control-request-method', 'GET'];
    const { fields } = await bench.send({ method: 'OPTIONS', fields: [...preflight, ...spoofed] });
    assert.deepEqual(fields, [...preflight, 'other', 'stays']);
  });

  it('is judged with scope and the like as lists', async () => {
    const bench = new JwtBench(jwtPlan({ ...ruleA, spaceDelimitedClaims: ['roles', '__proto__'] }));
    const payloadText =
      '{"iss":"a","sub":"s","scope":"r w","permission":["x y"],"roles":"a  b","other":"c d","__proto__":"p q"}';
    const { token } = await bench.bearer(await A.token({}, { payloadText }));
    assert.equal(
      JSON.stringify(token?.payload),
      '{"iss":"a","sub":"s","scope":["r","w"],"permission":["x y"],"roles":["a","b"],"other":"c d","__proto__":["p","q"]}',
    );
    assert.equal(Object.getPrototypeOf(token?.payload), Object.prototype);
  });
});

describe('a CORS preflight', () => {
  const bench = new JwtBench(jwtPlan(ruleA));
  const asks = ['origin', 'https://x', 'access-control-request-method', 'GET'];
  const rows: readonly (readonly [string, JwtBenchRequest, string])[] = [
    ['with everything', { method: 'OPTIONS', fields: [...asks, ...bearer(expiredA)] }, noToken],
    [
      'without origin',
      { method: 'OPTIONS', fields: [...asks.slice(2), ...bearer(expiredA)] },
      JWT_STATUS.expired,
    ],
    [
      'with an empty origin',
      { method: 'OPTIONS', fields: ['origin', '', ...asks.slice(2), ...bearer(expiredA)] },
      JWT_STATUS.expired,
    ],
    [
      'without a method',
      { method: 'OPTIONS', fields: [...asks.slice(0, 2), ...bearer(expiredA)] },
      JWT_STATUS.expired,
    ],
    ['that is a GET', { fields: [...asks, ...bearer(expiredA)] }, JWT_STATUS.expired],
  ];
  for (const [name, request, wanted] of rows)
    it(`${name}: ${wanted}`, async () => assert.equal(await outcomeOf(bench, request), wanted));
});

describe('what is wrong with a token', () => {
  const nowS = 2_000_000;
  const bench = new JwtBench(jwtPlan({ ...ruleA, audiences: ['https://x.y/', 'z'] }));
  bench.nowMs = nowS * 1000 + 999;
  const good = { aud: 'z' };
  const rows: readonly (readonly [string, Readonly<Record<string, unknown>>, JwtStatus | ''])[] = [
    ['no time', {}, ''],
    ['exp within the skew', { exp: nowS - 60 }, ''],
    ['exp beyond the skew', { exp: nowS - 61 }, 'expired'],
    ['exp 0', { exp: 0 }, ''],
    ['exp with a fraction', { exp: nowS + 0.5 }, 'expNotInteger'],
    ['exp as text', { exp: String(nowS) }, 'expNotInteger'],
    ['exp null', { exp: null }, 'expNotInteger'],
    ['exp below 0', { exp: -1 }, 'expOutOfRange'],
    ['exp beyond 64 bits', { exp: 2 ** 64 }, 'expOutOfRange'],
    ['nbf within the skew', { nbf: nowS + 60 }, ''],
    ['nbf beyond the skew', { nbf: nowS + 61 }, 'notYetValid'],
    ['nbf as text', { nbf: 'x' }, 'nbfNotInteger'],
    ['nbf below 0', { nbf: -1 }, 'nbfOutOfRange'],
    ['iat in the future', { iat: nowS * 2 }, ''],
    ['iat as text', { iat: '1' }, 'iatNotInteger'],
    ['iat below 0', { iat: -5 }, 'iatOutOfRange'],
    ['jti as number', { jti: 1 }, 'jtiNotString'],
    ['iss as number', { iss: 1 }, 'issNotString'],
    ['iss of another', { iss: 'b' }, 'unknownIssuer'],
    ['iss with a slash more', { iss: 'a/' }, 'unknownIssuer'],
    ['no iss', { iss: undefined }, 'unknownIssuer'],
    ['sub as list', { sub: ['a'] }, 'subNotString'],
    ['no sub', { sub: undefined }, ''],
    ['aud as list', { aud: ['q', 'z'] }, ''],
    ['aud with scheme and slash', { aud: 'http://x.y/' }, ''],
    ['aud bare', { aud: 'x.y' }, ''],
    ['aud of another', { aud: 'x' }, 'audienceNotAllowed'],
    ['no aud', { aud: undefined }, 'audienceNotAllowed'],
    ['an empty list of aud', { aud: [] }, 'audienceNotAllowed'],
    ['aud as number', { aud: 1 }, 'audNotStrings'],
    ['aud with a number', { aud: ['z', 1] }, 'audNotStrings'],
    ['expired and of another', { exp: 1, iss: 'b' }, 'unknownIssuer'],
    ['expired and for another', { exp: 1, aud: 'x' }, 'expired'],
  ];
  for (const [name, claims, wanted] of rows) {
    it(`${name}: ${wanted === '' ? 'nothing' : wanted}`, async () => {
      const { body } = await bench.bearer(await A.token({ ...good, ...claims }));
      assert.equal(body, wanted === '' ? '' : JWT_STATUS[wanted]);
    });
  }
});
