import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { findKey, keyForms } from '../../src/demo/key-forms.ts';

const OTHER = keyForms('another', pemOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey));

function pemOf(key: ReturnType<typeof createPrivateKey>): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

describe('a private key is found in a file', () => {
  for (const [kind, key] of [
    ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ] as const) {
    const forms = [OTHER, keyForms('this', pemOf(key))];
    const old = kind === 'RSA' ? 'pkcs1' : 'sec1';
    const jwk = key.export({ format: 'jwk' });
    const der = key.export({ type: 'pkcs8', format: 'der' });
    for (const [form, content, found] of [
      ['PKCS #8 PEM', pemOf(key), 'PEM or JWK'],
      [`${old} PEM`, key.export({ type: old, format: 'pem' }), 'PEM or JWK'],
      ['PEM with CR LF', pemOf(key).replaceAll('\n', '\r\n'), 'PEM or JWK'],
      ['PEM in JSON', JSON.stringify({ key: pemOf(key) }), 'PEM or JWK'],
      ['PEM indented as in YAML', `key: |\n  ${pemOf(key).replaceAll('\n', '\n  ')}`, 'PEM or JWK'],
      ['PKCS #8 DER', der, 'DER'],
      [`${old} DER`, key.export({ type: old, format: 'der' }), 'DER'],
      ['DER in the middle', Buffer.concat([randomBytes(999), der, randomBytes(99)]), 'DER'],
      ['base64 of DER one byte later', Buffer.concat([randomBytes(1), der]).toString('base64'), 'PEM or JWK'],
      [
        'base64url of DER two later',
        Buffer.concat([randomBytes(2), der]).toString('base64url'),
        'PEM or JWK',
      ],
      ['JWK', JSON.stringify(jwk), 'PEM or JWK'],
      ['JWK set, in lines', JSON.stringify({ keys: [jwk] }, null, 2), 'PEM or JWK'],
    ] as const) {
      it(`${kind}, ${form}`, () => {
        assert.equal(findKey(Buffer.from(content), forms), `the key of this as ${found}`);
      });
    }

    it(`${kind}, and not its public half or another one`, () => {
      const { publicKey } = { publicKey: createPrivateKey(pemOf(key)) };
      const { d: _d, ...publicJwk } = publicKey.export({ format: 'jwk' });
      for (const content of [
        '',
        JSON.stringify({ kty: publicJwk.kty, x: publicJwk.x, y: publicJwk.y, n: publicJwk.n }),
      ])
        assert.equal(findKey(Buffer.from(content), forms), null);
      assert.equal(findKey(Buffer.from(pemOf(key)), [OTHER]), null);
    });
  }
});
