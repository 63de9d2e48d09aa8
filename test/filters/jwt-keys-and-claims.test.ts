/** What is read of key sets and of claims. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { formatClaimNumber } from '../../src/filters/jwt-claims.ts';
import { parseJsonObjectText } from '../../src/filters/jwt-json.ts';
import { keysOf, parseKeySet } from '../../src/filters/jwt-key-set.ts';
import { JwtKeySets } from '../../src/filters/jwt-key-sets.ts';
import { plainAudience } from '../../src/filters/jwt-rules.ts';
import { verifyTokens } from '../../src/filters/jwt-verify.ts';
import { JwtBench } from '../support/jwt-bench.ts';
import { jwtPlan, jwtRule, TestIssuer } from '../support/test-tokens.ts';
import type { TokenAlgorithm } from '../support/test-tokens.ts';

const EC = new TestIssuer('a');
const RSA = new TestIssuer('a', 'RS256');
const ED = new TestIssuer('a', 'EdDSA');
const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });

const head = (token: string): { fields: string[]; path: string } => ({
  fields: ['authorization', `Bearer ${token}`],
  path: '/',
});

describe('a key of a key set', () => {
  const rows: readonly (readonly [string, unknown, readonly string[] | null])[] = [
    ['of EC', EC.jwk(), ['ES256']],
    ['of EC without alg', EC.jwk({ alg: undefined }), ['ES256']],
    ['of EC with the alg of another curve', EC.jwk({ alg: 'ES384' }), null],
    ['of EC with a curve that it is not on', EC.jwk({ alg: undefined, crv: 'P-384' }), null],
    ['of EC without a curve', EC.jwk({ crv: undefined }), null],
    ['of EC with a point off the curve', EC.jwk({ x: EC.jwk()['y'] }), null],
    ['of a curve named like a method', EC.jwk({ crv: 'constructor', alg: undefined }), null],
    ['of RSA', RSA.jwk(), ['RS256']],
    [
      'of RSA without alg',
      RSA.jwk({ alg: undefined }),
      ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
    ],
    ['of RSA with 1,024 bits', small, null],
    ['of RSA for HMAC', RSA.jwk({ alg: 'HS256' }), null],
    ['of Ed25519', ED.jwk(), ['EdDSA']],
    ['of X25519', ED.jwk({ crv: 'X25519' }), null],
    ['that is symmetric', { kty: 'oct', k: 'c2VjcmV0' }, null],
    ['that is symmetric and says ES256', { kty: 'oct', k: 'c2VjcmV0', alg: 'ES256' }, null],
    ['for encryption', EC.jwk({ use: 'enc' }), null],
    ['for signing and not for verifying', EC.jwk({ key_ops: ['sign'] }), null],
    ['for verifying', EC.jwk({ key_ops: ['verify'] }), ['ES256']],
    ['with its private part', EC.privateKey.export({ format: 'jwk' }), ['ES256']],
    ['whose kid is a number', EC.jwk({ kid: 1 }), null],
    ['of a type that nobody knows', { kty: 'zz' }, null],
    ['without a type', { n: 'AQAB' }, null],
    ['that is a text', 'x', null],
    ['that is null', null, null],
    ['that is a list', [], null],
  ];
  for (const [name, jwk, wanted] of rows) {
    it(`${name}: ${wanted === null ? 'left out' : wanted.join(' ')}`, () => {
      const { keys } = parseKeySet(JSON.stringify({ keys: [jwk, ED.jwk({ kid: 'last' })] }));
      assert.deepEqual(keys.at(-1)?.kid, 'last', 'the others are taken');
      assert.deepEqual(keys.length === 2 ? keys[0]?.algorithms : null, wanted);
      for (const { key } of keys) assert.equal(key.type, 'public');
    });
  }

  for (const alg of [
    'ES256',
    'ES384',
    'ES512',
    'RS256',
    'RS512',
    'PS256',
    'EdDSA',
  ] satisfies TokenAlgorithm[]) {
    it(`verifies ${alg}, with and without kid and alg`, async () => {
      const issuer = new TestIssuer('a', alg);
      const stranger = await new TestIssuer('a', alg).token();
      for (const more of [{}, { alg: undefined }, { kid: undefined }, { alg: undefined, kid: undefined }]) {
        const bench = new JwtBench(jwtPlan(jwtRule({ issuer: 'a', jwks: issuer.jwks(more) })));
        assert.equal((await bench.bearer(await issuer.token())).body, '');
        assert.equal((await bench.bearer(await issuer.token({}, { header: { kid: undefined } }))).body, '');
        assert.notEqual((await bench.bearer(stranger)).body, '');
      }
    });
  }

  it('is found behind one that does not fit', async () => {
    const keys = [new TestIssuer('a', 'ES256', EC.kid).jwk(), RSA.jwk({ alg: undefined }), EC.jwk()];
    const bench = new JwtBench(jwtPlan(jwtRule({ issuer: 'a', jwks: JSON.stringify({ keys }) })));
    assert.equal((await bench.bearer(await EC.token())).body, '');
  });

  const bodies: readonly (readonly [string, string, string])[] = [
    ['no key at all', '{"keys":[]}', "Jwks doesn't have any valid public key"],
    [
      'no key that can be used',
      '{"keys":[{"kty":"oct","k":"AA"}]}',
      "Jwks doesn't have any valid public key",
    ],
    ['no key set', 'x', "Jwks doesn't have any valid public key"],
    ['another kid', EC.jwks({ kid: 'x' }), "Jwks doesn't have key to match kid or alg from Jwt"],
    ['another alg', RSA.jwks({ kid: EC.kid }), "Jwks doesn't have key to match kid or alg from Jwt"],
    ['another type', RSA.jwks({ kid: EC.kid, alg: undefined }), 'Jwt verification fails'],
    ['another key', new TestIssuer('a', 'ES256', EC.kid).jwks(), 'Jwt verification fails'],
    ['a key for 64 bytes', ED.jwks({ kid: 'a-1', alg: undefined }), 'Jwt verification fails'],
  ];
  for (const [name, jwks, wanted] of bodies) {
    it(`where there is ${name}: ${wanted}`, async () => {
      const bench = new JwtBench(jwtPlan(jwtRule({ issuer: 'a', jwks })));
      assert.equal((await bench.bearer(await EC.token())).body, wanted);
    });
  }

  it('of Ed25519 says so where the signature is too short', async () => {
    const bench = new JwtBench(jwtPlan(jwtRule({ issuer: 'a', jwks: ED.jwks() })));
    const [header = '', payload = ''] = (await ED.token()).split('.');
    assert.equal(
      (await bench.bearer(`${header}.${payload}.AAAA`)).body,
      'Jwt ED25519 signature is wrong length',
    );
  });
});

describe('the text of a key set', () => {
  it('is JSON with a list of keys, each name once', () => {
    assert.equal(keysOf('{"keys":[1,2]}')?.length, 2);
    for (const text of ['', '[]', '{}', '{"keys":1}', '{"keys":[],"keys":[]}', 'null', '{"keys":[}'])
      assert.equal(keysOf(text), null, text);
  });
});

describe('JSON of tokens', () => {
  const bad: readonly string[] = [
    '{"a":1,"a":2}',
    '{"a":{"b":1,"b":2}}',
    '[{"a":1}]',
    '{"a":1,}',
    '{"a":1} x',
    "{'a':1}",
    '{"a":01}',
    '{"a":1e400}',
    '{"a":"\\ud800"}',
    '{"\\udc00":1}',
    '{"a":"\n"}',
    '\ufeff{}',
    '"x"',
    'null',
    '',
    '{"a":NaN}',
  ];
  for (const text of bad)
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseJsonObjectText(text), null));

  it('takes what is sound, names of prototypes too', () => {
    const text = '{"__proto__":{"a":[{"a":1},{"a":2}]},"constructor":"x","a":"\\ud83d\\ude00{\\"a\\":"}';
    const object = parseJsonObjectText(text);
    assert.equal(JSON.stringify(object), JSON.stringify(JSON.parse(text)));
    assert.deepEqual(Object.keys(object ?? {}), ['__proto__', 'constructor', 'a']);
  });
});

describe('claims as fields', () => {
  const numbers: readonly (readonly [number, string])[] = [
    [0, '0'],
    [-0, '0'],
    [5, '5'],
    [-5, '-5.000000'],
    [1.5, '1.500000'],
    [-1.5, '-1.500000'],
    [0.0078125, '0.007812'],
    [0.0234375, '0.023438'],
    [-1.0078125, '-1.007812'],
    [1e-9, '0.000000'],
    [1e19, '10000000000000000000'],
    [2 ** 64, '18446744073709551616.000000'],
    [1e22 + 0.5, '10000000000000000000000.000000'],
    [123456789.1234567, '123456789.123457'],
  ];
  for (const [value, wanted] of numbers)
    it(`${value} is ${wanted}`, () => assert.equal(formatClaimNumber(value), wanted));

  it('refuse a token whose claim would end its field', async () => {
    const rule = jwtRule({
      issuer: 'a',
      jwks: EC.jwks(),
      outputClaimToHeaders: [{ header: 'x-c', claim: 'c' }],
    });
    const bench = new JwtBench(jwtPlan(rule));
    for (const c of ['a\r\nx-admin: 1', 'a\nb', '\u0000', 'a\u007f']) {
      const { body, fields } = await bench.bearer(await EC.token({ c }));
      assert.equal(body, 'Jwt verification fails');
      assert.ok(!fields.includes('x-c'));
    }
    assert.deepEqual((await bench.bearer(await EC.token({ c: ' a\tb ' }))).fields, ['x-c', 'a\tb']);
  });

  it('are compared as audiences without scheme and one slash', () => {
    for (const [audience, wanted] of [
      ['https://a/', 'a'],
      ['http://a//', 'a/'],
      ['a', 'a'],
      ['ftp://a', 'ftp://a'],
      ['http://', ''],
      ['', ''],
      ['HTTP://a', 'HTTP://a'],
    ] as const)
      assert.equal(plainAudience(audience), wanted);
  });
});

describe('verifying offline', () => {
  const plan = jwtPlan(jwtRule({ issuer: 'a', keySet: 'a keys' }), jwtRule({ issuer: 'b', jwks: EC.jwks() }));

  it('is open where the keys are not at hand, and only for tokens that need them', async () => {
    const none = new JwtKeySets();
    const open = await verifyTokens(plan, none, head(await EC.token()), Date.now());
    assert.deepEqual(open, {
      kind: 'undecided',
      keySet: 'a keys',
      place: { rule: 'RequestAuthentication foo/a rule 0', kind: 'header', name: 'authorization' },
    });
    assert.equal(
      (await verifyTokens(plan, none, head(await EC.token({ iss: 'b' })), Date.now())).kind,
      'verified',
    );
    assert.equal(
      (await verifyTokens(plan, none, head(await EC.token({ exp: 1 })), Date.now())).kind,
      'refused',
    );
    assert.equal((await verifyTokens(plan, none, { fields: [], path: '/' }, Date.now())).kind, 'no-token');
  });

  it('tells token, rule and place, and leaves the head alone', async () => {
    const keys = new JwtKeySets();
    keys.put([{ name: 'a keys', jwks: EC.jwks() }]);
    const given = head(await EC.token());
    const result = await verifyTokens(plan, keys, given, Date.now());
    assert.ok(result.kind === 'verified');
    assert.deepEqual(result.token, { issuer: 'a', subject: 'alice', payload: { iss: 'a', sub: 'alice' } });
    assert.equal(given.fields.length, 2);
  });
});
