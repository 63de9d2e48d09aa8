import assert from 'node:assert/strict';
import { createHmac, createPublicKey, sign } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { JwtMesh, requestAuthentication } from '../flow/jwt-mesh.ts';
import { TestIssuer } from '../support/test-tokens.ts';

// Tokens that others were fooled or brought down by: CVE-2019-12995 and CVE-2025-64527 (a proxy that died of them),
// CVE-2023-48223, CVE-2026-34950 and the like (a public key taken for an HMAC secret), CVE-2022-21449 (a signature of
// zeros), and what Project Wycheproof's JOSE cases are made of. Each is 401, and nothing of it reaches the app.
const RSA = new TestIssuer('https://issuer.example', 'RS256');
const EC = new TestIssuer('https://issuer.example', 'ES256');
const MALLORY = new TestIssuer('https://issuer.example', 'ES256', EC.kid);
const CLAIMS = { iss: 'https://issuer.example', sub: 'admin' };
const PAYLOAD = base64url(JSON.stringify(CLAIMS));

function base64url(text: string | Buffer): string {
  return Buffer.from(text).toString('base64url');
}

function withHeader(header: Readonly<Record<string, unknown>>, signature: string): string {
  return `${base64url(JSON.stringify(header))}.${PAYLOAD}.${signature}`;
}

function hmacToken(
  alg: 'HS256' | 'HS512',
  secret: string | Buffer,
  more: Readonly<Record<string, unknown>> = {},
): string {
  const input = `${base64url(JSON.stringify({ alg, ...more }))}.${PAYLOAD}`;
  const digest = createHmac(alg === 'HS256' ? 'sha256' : 'sha512', secret)
    .update(input)
    .digest('base64url');
  return `${input}.${digest}`;
}

/** By Mallory's key, with whatever the header says of it. */
function malloryToken(header: Readonly<Record<string, unknown>>): string {
  return MALLORY.rawToken(JSON.stringify({ alg: 'ES256', ...header }), JSON.stringify(CLAIMS));
}

/** By the true key, over a header that must not be taken. */
function trueToken(header: Readonly<Record<string, unknown>>): string {
  return EC.rawToken(JSON.stringify({ alg: 'ES256', kid: EC.kid, ...header }), JSON.stringify(CLAIMS));
}

function derSigned(): string {
  const input = `${base64url(JSON.stringify({ alg: 'ES256' }))}.${PAYLOAD}`;
  return `${input}.${base64url(sign('sha256', Buffer.from(input), EC.privateKey))}`;
}

const good = await EC.token(CLAIMS);
const [header = '', payload = '', signature = ''] = good.split('.');
const pem = createPublicKey(RSA.privateKey).export({ type: 'spki', format: 'pem' });
const der = createPublicKey(RSA.privateKey).export({ type: 'spki', format: 'der' });
const rsaJwk = RSA.jwk({ alg: undefined, kid: undefined, use: undefined });
const ecJwk = EC.jwk({ alg: undefined, kid: undefined, use: undefined });
const malloryJwk = MALLORY.jwk();

const forged: readonly (readonly [string, string])[] = [
  ['HMAC with the PEM of the RSA key', hmacToken('HS256', pem)],
  ['HMAC with the PEM, without its last line break', hmacToken('HS256', pem.trim())],
  ['HMAC with the DER of the RSA key', hmacToken('HS256', der)],
  ['HMAC with the JSON of the RSA key', hmacToken('HS256', JSON.stringify(rsaJwk))],
  ['HMAC with the JSON of the EC key', hmacToken('HS256', JSON.stringify(ecJwk), { kid: EC.kid })],
  ['HMAC with the modulus', hmacToken('HS256', Buffer.from(String(rsaJwk['n']), 'base64url'))],
  ['HMAC with an empty secret', hmacToken('HS256', '')],
  ['HMAC of 512 bits with an empty secret', hmacToken('HS512', '')],
  ['HMAC with the secret that the key set holds', hmacToken('HS256', 'secret-of-the-set', { kid: 'shared' })],
  ['alg none without a signature', withHeader({ alg: 'none' }, '')],
  ['alg none with a signature', withHeader({ alg: 'none' }, signature)],
  ['alg None', withHeader({ alg: 'None' }, 'AAAA')],
  ['alg nOnE', withHeader({ alg: 'nOnE' }, 'AAAA')],
  ['an empty alg', withHeader({ alg: '' }, signature)],
  ['no alg', withHeader({}, signature)],
  ['alg as a list', withHeader({ alg: ['ES256'] }, signature)],
  ['alg in lower case', withHeader({ alg: 'es256' }, signature)],
  ['another algorithm for the same key', withHeader({ alg: 'ES384' }, signature)],
  ['an algorithm of another key type', withHeader({ alg: 'RS256' }, signature)],
  [
    'PS256 by the key of RS256',
    `${base64url('{"alg":"PS256"}')}.${payload}.${(await RSA.token(CLAIMS)).split('.')[2] ?? ''}`,
  ],
  ['no signature', `${header}.${payload}.`],
  ['two sections', `${header}.${payload}`],
  ['four sections', `${good}.AAAA`],
  ['five sections, as an encrypted token', `${base64url('{"alg":"RSA-OAEP","enc":"A128GCM"}')}.AA.AA.AA.AA`],
  ['an empty section', `${header}..${signature}`],
  ['the JSON form', base64url(JSON.stringify({ protected: header, payload, signature }))],
  ['the JSON form, bare', JSON.stringify({ protected: header, payload, signature })],
  ['a signature of zeros', `${header}.${payload}.${base64url(Buffer.alloc(64))}`],
  ['a signature in DER', derSigned()],
  ['a signature cut short', `${header}.${payload}.${signature.slice(0, -6)}`],
  ['a signature with a byte more', `${header}.${payload}.${signature}AA`],
  ['another payload', `${header}.${base64url(JSON.stringify({ ...CLAIMS, admin: true }))}.${signature}`],
  ['padding', `${header}.${payload}.${signature}==`],
  ['padding of the header', `${header}==.${payload}.${signature}`],
  ['base64 that is not of URLs', `${header}.${payload}.${signature.slice(0, -2)}+/`],
  ['bits that mean nothing at the end', `${header}.${payload}.${nextLetter(signature)}`],
  ['a dot behind', `${good}.`],
  ['crit that nobody knows', trueToken({ crit: ['x'], x: 1 })],
  ['crit b64', trueToken({ crit: ['b64'], b64: true })],
  ['an empty crit', trueToken({ crit: [] })],
  ['a key in the header', malloryToken({ jwk: malloryJwk })],
  ['a key in the header and the right kid', malloryToken({ jwk: malloryJwk, kid: EC.kid })],
  ['an address of keys in the header', malloryToken({ jku: 'http://127.0.0.1:1/keys', kid: EC.kid })],
  ['an address of certificates in the header', malloryToken({ x5u: 'http://127.0.0.1:1/cert', kid: EC.kid })],
  ['certificates in the header', malloryToken({ x5c: ['AAAA'], kid: EC.kid })],
  ['another kid', trueToken({ kid: '../../../dev/null' })],
  ['an empty kid', trueToken({ kid: '' })],
  ['a kid that is null', trueToken({ kid: null })],
  ['a name twice in the header', EC.rawToken('{"alg":"none","alg":"ES256"}', JSON.stringify(CLAIMS))],
  [
    'a name twice in the payload',
    EC.rawToken('{"alg":"ES256"}', `{"sub":"x",${JSON.stringify(CLAIMS).slice(1)}`),
  ],
  [
    'a name twice, once escaped',
    EC.rawToken('{"alg":"ES256"}', `{"\\u0073ub":"x",${JSON.stringify(CLAIMS).slice(1)}`),
  ],
  [
    'a comma at the end of the payload',
    EC.rawToken('{"alg":"ES256"}', `${JSON.stringify(CLAIMS).slice(0, -1)},}`),
  ],
  ['something behind the payload', EC.rawToken('{"alg":"ES256"}', `${JSON.stringify(CLAIMS)}x`)],
  ['a payload that is a list', EC.rawToken('{"alg":"ES256"}', `[${JSON.stringify(CLAIMS)}]`)],
  ['a payload that is no JSON', EC.rawToken('{"alg":"ES256"}', 'x')],
  ['a payload with a byte order mark', EC.rawToken('{"alg":"ES256"}', `\ufeff${JSON.stringify(CLAIMS)}`)],
  ['the key of another issuer', await new TestIssuer('https://issuer.example').token(CLAIMS)],
  ['junk', 'x'],
  ['dots', '..'],
  ['every letter that a field may hold', 'AZaz09-_.~!$&\'()*+,;=:@/?%"<>[]{}|^`#'],
  ['nothing', '.'],
];

/** The same bytes in all but the bits that a decoder drops. */
function nextLetter(text: string): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + letters[letters.indexOf(text.at(-1) ?? 'A') + 1];
}

describe('a forged token', () => {
  let mesh: JwtMesh;
  before(async () => {
    const keys = [RSA.jwk(), EC.jwk(), { kty: 'oct', kid: 'shared', k: base64url('secret-of-the-set') }];
    const rule = { issuer: 'https://issuer.example', jwks: JSON.stringify({ keys }) };
    mesh = await JwtMesh.start(requestAuthentication(rule));
  });
  after(() => mesh[Symbol.asyncDispose]());

  for (const [name, token] of forged) {
    it(`with ${name} is 401 and reaches nobody`, async () => {
      const seen = mesh.app.seen.length;
      assert.equal((await mesh.bearer(token)).status, 401);
      const target = `/?access_token=${encodeURIComponent(token)}`;
      assert.equal((await mesh.send({ target })).status, 401);
      // Beside a good one it is no better.
      const fields = [`authorization: Bearer ${good}`];
      assert.equal((await mesh.send({ target, fields })).status, 401);
      assert.equal(mesh.app.seen.length, seen);
    });
  }

  it('leaves the sidecar well: good tokens pass, and it says of bad ones only why', async () => {
    for (const token of [good, await RSA.token(CLAIMS)]) assert.equal((await mesh.bearer(token)).status, 200);
    assert.equal(mesh.sidecar.logsOf('bug').length + mesh.sidecar.logsOf('filter_failed').length, 0);
    assert.ok(!JSON.stringify(mesh.sidecar.logs).includes(payload), 'no log line holds a token');
  });
});

describe('a key set whose keys do not say for which algorithm they are', () => {
  it('verifies what their type is for, and no HMAC', async () => {
    const more = { alg: undefined, kid: undefined, use: undefined };
    const keys = [RSA.jwk(more), EC.jwk(more)];
    await using mesh = await JwtMesh.start(
      requestAuthentication({ issuer: 'https://issuer.example', jwks: JSON.stringify({ keys }) }),
    );
    for (const token of [good, await RSA.token(CLAIMS)]) assert.equal((await mesh.bearer(token)).status, 200);
    const [, , ...rest] = forged.filter(([name]) => name.startsWith('HMAC'));
    for (const [name, token] of rest) assert.equal((await mesh.bearer(token)).status, 401, name);
    assert.equal(mesh.app.seen.length, 2);
  });

  it('of RSA keys alone refuses a token of ES256', async () => {
    for (const jwks of [RSA.jwks(), RSA.jwks({ alg: undefined, kid: undefined })]) {
      await using mesh = await JwtMesh.start(
        requestAuthentication({ issuer: 'https://issuer.example', jwks }),
      );
      assert.equal((await mesh.bearer(good)).status, 401);
      assert.equal(mesh.app.seen.length, 0);
    }
  });
});
