import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isSecretKey, redact } from '../../src/observe/redact.ts';

describe('redact', () => {
  const keys: readonly (readonly [string, boolean])[] = [
    ['privateKeyPem', true],
    ['private_key', true],
    ['PRIVATE-KEY', true],
    ['privateKey', true],
    ['serverKeyPem', true],
    ['key_pem', true],
    ['ticketSecret', true],
    ['authorization', true],
    ['Proxy-Authorization', true],
    ['Cookie', true],
    ['set-cookie', true],
    ['token', true],
    ['publicKeyPem', false],
    ['certificateChainPem', false],
    ['tokenFile', false],
    ['key', false],
    ['authority', false],
  ];
  for (const [key, secret] of keys) {
    it(`${secret ? 'hides' : 'shows'} what is under "${key}"`, () => {
      assert.equal(isSecretKey(key), secret);
      const shown = JSON.stringify(redact({ outer: [{ [key]: 'value' }] }));
      assert.equal(shown.includes('value'), !secret);
    });
  }

  it('keeps the shape of a config dump and hides every leaf below a secret key', () => {
    const dump = { name: 'default', private_key: { inline_bytes: 'c2VjcmV0', filename: 'x', list: ['y'] } };
    assert.deepEqual(redact(dump), {
      name: 'default',
      private_key: { inline_bytes: '[redacted]', filename: '[redacted]', list: ['[redacted]'] },
    });
  });

  it('hides a private key wherever it stands and whatever kind it is', () => {
    for (const kind of ['', 'EC ', 'RSA ', 'ENCRYPTED ']) {
      const pem = `-----BEGIN ${kind}PRIVATE KEY-----\nAAAA\n-----END ${kind}PRIVATE KEY-----`;
      const shown = JSON.stringify(redact({ a: [pem], b: new Map([['c', `x ${pem}`]]), e: new Error(pem) }));
      assert.ok(!shown.includes('AAAA'), shown);
    }
  });

  it('leaves what it was given as it was', () => {
    const value = Object.freeze({ privateKeyPem: 'k', list: Object.freeze([1]) });
    assert.deepEqual(redact(value), { privateKeyPem: '[redacted]', list: [1] });
    assert.equal(value.privateKeyPem, 'k');
  });

  it('ends on cycles and never changes a prototype', () => {
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    assert.match(JSON.stringify(redact(cycle)), /too deep/);
    const copy = redact(JSON.parse('{"__proto__":{"polluted":1}}'));
    assert.equal(Object.getPrototypeOf(copy), Object.prototype);
  });
});
