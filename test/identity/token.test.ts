import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { decodeProtectedHeader, jwtVerify, SignJWT } from 'jose';
import { MeshError, whyOf } from '../../src/core/errors.ts';
import {
  createTokenKey,
  DEVELOPMENT_ISSUER,
  signToken,
  type TokenRequest,
  writeTokenKey,
} from '../../src/identity/token-sign.ts';
import { createDevelopmentVerifier, firstOf } from '../../src/identity/token-verify.ts';
import { TempFolder } from '../support/temp-folder.ts';

const HOUR_MS = 3_600_000;
const pair = await createTokenKey();
const other = await createTokenKey();
const privateKey = createPrivateKey(pair.privateKeyPem);
const OPTIONS = {
  issuer: DEVELOPMENT_ISSUER,
  publicKey: { pem: pair.publicKeyPem },
  audiences: ['istio-ca'],
};
const verifier = await createDevelopmentVerifier(OPTIONS);

function tokenOf(more: Partial<TokenRequest> = {}): Promise<string> {
  const { privateKeyPem } = pair;
  return signToken({ namespace: 'foo', serviceAccount: 'sleep', privateKeyPem, ttlMs: HOUR_MS, ...more });
}

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const CLAIMS = {
  sub: 'system:serviceaccount:foo:sleep',
  iss: DEVELOPMENT_ISSUER,
  aud: 'istio-ca',
  iat: Math.floor(Date.now() / 1000),
  exp: Math.floor(Date.now() / 1000) + 3_600,
};

/** ES256 by the right key, whatever header and claims. */
function signed(claims: unknown, header: object = { alg: 'ES256' }): string {
  const text = `${base64url(header)}.${base64url(claims)}`;
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${text}.${signature.toString('base64url')}`;
}

async function refusal(token: string): Promise<MeshError> {
  try {
    await verifier.verify(token);
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    assert.ok(token.length < 20 || !whyOf(thrown).includes(token.slice(-20)), 'the reason shows the token');
    return thrown;
  }
  throw new Error('the token was accepted');
}

describe('a development token', () => {
  it("names the service account as Kubernetes' do, and any JWT library verifies it", async () => {
    const token = await tokenOf();
    assert.deepEqual(decodeProtectedHeader(token), { alg: 'ES256', typ: 'JWT' });
    const { payload } = await jwtVerify(token, createPublicKey(privateKey));
    assert.equal(payload.sub, 'system:serviceaccount:foo:sleep');
    assert.equal(payload.iss, 'https://postern.invalid');
    assert.equal(payload.aud, 'istio-ca');
    assert.equal(payload.exp! - payload.iat!, 3_600);
    assert.deepEqual(await verifier.verify(token), { namespace: 'foo', serviceAccount: 'sleep' });
  });

  it('takes any of several audiences, in the token and in the configuration', async () => {
    const many = await createDevelopmentVerifier({ ...OPTIONS, audiences: ['a', 'b'] });
    assert.equal((await many.verify(await tokenOf({ audience: 'b' }))).namespace, 'foo');
    assert.equal((await many.verify(signed({ ...CLAIMS, aud: ['x', 'a'] }))).namespace, 'foo');
    await assert.rejects(many.verify(await tokenOf({ audience: 'istio-ca' })), {
      code: 'token_wrong_audience',
    });
  });

  it('forgives clocks that lag a little, and no more', async () => {
    const now = Date.now();
    const late = await tokenOf({ nowMs: now - HOUR_MS - 20_000 });
    assert.equal((await verifier.verify(late)).serviceAccount, 'sleep');
    assert.equal((await refusal(await tokenOf({ nowMs: now - HOUR_MS - 40_000 }))).code, 'token_expired');
  });

  it('is refused with the code of what is wrong with it', async () => {
    const ok = await tokenOf();
    const [header = '', payload = '', signature = ''] = ok.split('.');
    const flipped = Buffer.from(signature, 'base64url');
    flipped[10]! ^= 1;
    const elevated = base64url({ ...CLAIMS, sub: 'system:serviceaccount:foo:admin' });
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const secret = Buffer.from(pair.publicKeyPem);
    const hs = `${base64url({ alg: 'HS256' })}.${payload}`;
    const rows: readonly (readonly [what: string, token: string, code: string])[] = [
      ['none', '', 'token_missing'],
      ['noise', 'noise', 'token_invalid'],
      ['too long', `${ok}${'A'.repeat(20_000)}`, 'token_invalid'],
      [
        'a signature with one bit changed',
        `${header}.${payload}.${flipped.toString('base64url')}`,
        'token_invalid',
      ],
      ['claims that were changed', `${header}.${elevated}.${signature}`, 'token_invalid'],
      ['no signature', `${header}.${payload}.`, 'token_invalid'],
      ['alg none', `${base64url({ alg: 'none' })}.${payload}.`, 'token_invalid'],
      ['alg None with a signature', `${base64url({ alg: 'None' })}.${payload}.${signature}`, 'token_invalid'],
      [
        'HS256 with the public key as the secret',
        `${hs}.${createHmac('sha256', secret).update(hs).digest('base64url')}`,
        'token_invalid',
      ],
      [
        'RS256 of another key',
        await new SignJWT(CLAIMS).setProtectedHeader({ alg: 'RS256' }).sign(rsa.privateKey),
        'token_invalid',
      ],
      ['another key', await tokenOf({ privateKeyPem: other.privateKeyPem }), 'token_invalid'],
      [
        'a key of its own in the header',
        signed(CLAIMS, { alg: 'ES256', crit: ['x'], x: 1 }),
        'token_invalid',
      ],
      ['expired', signed({ ...CLAIMS, exp: CLAIMS.iat - 3_600 }), 'token_expired'],
      ['not yet valid', signed({ ...CLAIMS, nbf: CLAIMS.iat + 3_600 }), 'token_expired'],
      ['without an end', signed({ ...CLAIMS, exp: undefined }), 'token_invalid'],
      ['an end that is text', signed({ ...CLAIMS, exp: '9999999999' }), 'token_invalid'],
      ['wrong audience', signed({ ...CLAIMS, aud: 'vault' }), 'token_wrong_audience'],
      ['no audience', signed({ ...CLAIMS, aud: undefined }), 'token_wrong_audience'],
      ['wrong issuer', signed({ ...CLAIMS, iss: 'https://elsewhere.example' }), 'token_wrong_issuer'],
      ['no issuer', signed({ ...CLAIMS, iss: undefined }), 'token_wrong_issuer'],
      ['no subject', signed({ ...CLAIMS, sub: undefined }), 'token_wrong_subject'],
      ...[
        'foo:sleep',
        'system:serviceaccount:foo',
        'system:serviceaccount:foo:',
        'system:serviceaccount::sleep',
        'system:serviceaccount:foo:sleep:x',
        'system:serviceaccount:foo/sa/x:sleep',
        'system:serviceaccount:foo:sleep/../admin',
        'system:serviceaccount:Foo:sleep',
        'system:serviceaccount:foo:sleep\n',
        'system:serviceaccount:f.oo:sleep',
        `system:serviceaccount:${'a'.repeat(64)}:sleep`,
        'system:node:foo:sleep',
      ].map((sub) => [`sub ${sub}`, signed({ ...CLAIMS, sub }), 'token_wrong_subject'] as const),
    ];
    for (const [what, token, code] of rows) assert.equal((await refusal(token)).code, code, what);
    // A list that reads like the text of its only member. What the library or we say of it does not matter.
    assert.match((await refusal(signed({ ...CLAIMS, sub: [CLAIMS.sub] }))).code, /^token_/);
  });

  it('is never signed for what is no name of Kubernetes, nor with a key that is not P-256', async () => {
    for (const namespace of ['', 'Foo', 'a:b', '-a', 'a.b', 'a'.repeat(64)])
      await assert.rejects(tokenOf({ namespace }), { code: 'token_invalid' }, namespace);
    for (const serviceAccount of ['', 'a/b', 'a..b', 'a:b', 'a'.repeat(254)])
      await assert.rejects(tokenOf({ serviceAccount }), { code: 'token_invalid' }, serviceAccount);
    const { privateKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    for (const pem of ['', 'nonsense', pair.publicKeyPem, rsa.export({ type: 'pkcs8', format: 'pem' })])
      await assert.rejects(tokenOf({ privateKeyPem: pem }), { code: 'token_invalid' });
  });
});

describe('the key of development tokens', () => {
  it('is written once, readable by its owner, and never over another', async () => {
    using temp = new TempFolder();
    const file = temp.join('token.key');
    const before = process.umask(0);
    try {
      await writeTokenKey(file);
    } finally {
      process.umask(before);
    }
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const content = readFileSync(file, 'utf8');
    assert.match(readFileSync(`${file}.pub`, 'utf8'), /^-----BEGIN PUBLIC KEY-----\n/);
    await assert.rejects(writeTokenKey(file), { code: 'token_invalid' });
    assert.equal(readFileSync(file, 'utf8'), content);
    const half = temp.write('half.key', 'mine');
    await assert.rejects(writeTokenKey(half), { code: 'token_invalid' });
    assert.equal(readFileSync(half, 'utf8'), 'mine');
    assert.throws(() => statSync(`${half}.pub`), 'half a pair was left behind');
  });

  it('is read again when the file changes, and stays when the new one cannot be used', async () => {
    using temp = new TempFolder();
    const file = temp.write('key.pub', pair.publicKeyPem);
    const errors: string[] = [];
    const watched = await createDevelopmentVerifier({
      ...OPTIONS,
      publicKey: { file },
      onError: (message) => errors.push(message),
    });
    const old = await tokenOf();
    const fresh = await tokenOf({ privateKeyPem: other.privateKeyPem });
    await watched.verify(old);
    await assert.rejects(watched.verify(fresh), { code: 'token_invalid' });
    writeFileSync(file, other.publicKeyPem);
    assert.equal((await watched.verify(fresh)).namespace, 'foo');
    await assert.rejects(watched.verify(old), { code: 'token_invalid' });
    writeFileSync(file, 'cut off');
    assert.equal((await watched.verify(fresh)).namespace, 'foo');
    assert.equal(errors.length, 1);
    assert.match(errors[0]!, /the last good key stays in force/);
  });

  it('is refused if it is private, of another curve, or no key', async () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
    const pems = [
      pair.privateKeyPem,
      p384.export({ type: 'spki', format: 'pem' }),
      '',
      pair.publicKeyPem + other.publicKeyPem,
    ];
    for (const pem of pems)
      await assert.rejects(createDevelopmentVerifier({ ...OPTIONS, publicKey: { pem } }), {
        code: 'token_invalid',
      });
    await assert.rejects(createDevelopmentVerifier({ ...OPTIONS, publicKey: { file: '/nonexistent.pub' } }), {
      code: 'token_invalid',
    });
  });
});

describe('several verifiers', () => {
  it('take what any of them takes, and tell the reason of the one that came furthest', async () => {
    const second = await createDevelopmentVerifier({
      ...OPTIONS,
      publicKey: { pem: other.publicKeyPem },
      audiences: ['elsewhere'],
    });
    const both = firstOf([verifier, second]);
    const theirs = { privateKeyPem: other.privateKeyPem };
    assert.equal((await both.verify(await tokenOf())).serviceAccount, 'sleep');
    assert.equal((await both.verify(await tokenOf({ ...theirs, audience: 'elsewhere' }))).namespace, 'foo');
    await assert.rejects(both.verify(await tokenOf(theirs)), { code: 'token_wrong_audience' });
    await assert.rejects(both.verify(await tokenOf({ audience: 'elsewhere' })), {
      code: 'token_wrong_audience',
    });
    await assert.rejects(firstOf([]).verify(await tokenOf()), { code: 'token_invalid' });
  });
});
