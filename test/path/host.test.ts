import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkHost, sameAuthority } from '../../src/path/host.ts';

const ACCEPTED: readonly string[] = [
  'a',
  'httpbin.foo.svc.cluster.local',
  'httpbin.foo.svc.cluster.local:8000',
  'Secret.COM',
  'secret.com.',
  'secret.com.:80',
  'a_b.c',
  '127.0.0.1',
  '127.0.0.1:8080',
  '[::1]',
  '[::1]:8080',
  '[::ffff:10.0.0.1]:80',
  'a:0',
  'a:65535',
  'a:00080',
  'a:',
  "a!$&'()*+;=~b",
  'caf%C3%A9',
  'xn--caf-dma.example',
];

const REFUSED: readonly string[] = [
  '',
  ':80',
  ':',
  'user@secret.com',
  'user:secret@a',
  'a:80@b',
  '@a',
  'a@',
  'a/b',
  'a:80/b',
  'a\\b',
  'a?b',
  'a#b',
  'a,b',
  'a:80,b:80',
  'a b',
  ' a',
  'a ',
  'a\tb',
  'a:80 ',
  'a:-1',
  'a:+80',
  'a:0x50',
  'a:http',
  'a:65536',
  'a:99999999999999999999',
  'a:80:80',
  '::1',
  '::1:80',
  '[::1',
  '::1]',
  '[]',
  '[a]',
  '[127.0.0.1]',
  '[::1%eth0]',
  '[::1%25eth0]',
  '[::1]80',
  '[::1]a',
  '[::1]:x',
  '[::1]:65536',
  '[[::1]]',
  '[v1.a]',
  'a[::1]',
  'a%',
  'a%4',
  'a%zz',
  'http://a',
  'a<b',
  'a"b',
];

describe('Host', () => {
  for (const value of ACCEPTED) {
    it(`accepts "${value}"`, () => assert.equal(checkHost(value), null));
  }

  for (const value of REFUSED) {
    it(`refuses ${JSON.stringify(value)}`, () => assert.equal(checkHost(value)?.code, 'bad_host'));
  }

  it('accepts in a name the bytes of RFC 3986 without the comma, whatever their place', () => {
    const allowed = new Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=");
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      for (const value of [`${char}xy`, `x${char}y`, `x.y${char}`]) {
        const legal = allowed.has(char) || (char === ':' && value === 'x.y:');
        assert.equal(checkHost(value) === null, legal, JSON.stringify(value));
      }
    }
  });

  it('says what is wrong', () => {
    assert.match(checkHost('u@a')!.detail, /user-info/);
    assert.match(checkHost('a:80@b')!.detail, /user-info/);
    assert.match(checkHost('a,b')!.detail, /comma/);
    assert.match(checkHost('a/b')!.detail, /path/);
    assert.match(checkHost('a b')!.detail, /white space/);
  });
});

describe('two authorities', () => {
  const TABLE: readonly (readonly [string, string, 'http' | 'https', boolean])[] = [
    ['a', 'a', 'http', true],
    ['a.B', 'A.b', 'http', true],
    ['a', 'a:80', 'http', true],
    ['a:80', 'A', 'http', true],
    ['a:', 'a:80', 'http', true],
    ['a:080', 'a:80', 'http', true],
    ['a', 'a:443', 'https', true],
    ['a', 'a:443', 'http', false],
    ['a', 'a:80', 'https', false],
    ['a:81', 'a', 'http', false],
    ['a', 'b', 'http', false],
    ['a', 'a.', 'http', false],
    ['[::1]', '[::1]:80', 'http', true],
    ['[::A]:81', '[::a]:81', 'http', true],
    ['[::1]', '[0:0:0:0:0:0:0:1]', 'http', false],
    ['[::1]:81', '[::1]:82', 'http', false],
    ['a%41', 'aA', 'http', false],
  ];
  for (const [a, b, scheme, same] of TABLE) {
    it(`${a} and ${b} are ${same ? 'one' : 'two'} under ${scheme}`, () => {
      assert.equal(sameAuthority(a, b, scheme), same);
      assert.equal(sameAuthority(b, a, scheme), same);
    });
  }
});
