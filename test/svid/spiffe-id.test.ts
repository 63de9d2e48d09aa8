import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSpiffeId, parseTrustDomain, serviceAccountOf, SpiffeId } from '../../src/svid/spiffe-id.ts';

const accepts = (text: string): boolean => parseSpiffeId(text) instanceof SpiffeId;
const lower = 'abcdefghijklmnopqrstuvwxyz0123456789.-_';
const mixed = `${lower}ABCDEFGHIJKLMNOPQRSTUVWXYZ`;

describe('parseSpiffeId', () => {
  it('takes an ID apart', () => {
    const id = SpiffeId.parse('spiffe://cluster.local/ns/foo/sa/sleep');
    assert.equal(id.trustDomain, 'cluster.local');
    assert.equal(id.path, '/ns/foo/sa/sleep');
    assert.equal(id.toString(), 'spiffe://cluster.local/ns/foo/sa/sleep');
    assert.ok(id.equals(SpiffeId.ofServiceAccount('cluster.local', 'foo', 'sleep')));
    assert.equal(SpiffeId.parse('spiffe://td').path, '');
  });

  for (const text of ['spiffe://a', 'spiffe://a.b-c_d/x', 'spiffe://1.2.3.4/x', 'spiffe://td/A/..a/.b./...'])
    it(`accepts ${text}`, () => assert.ok(accepts(text)));

  const refused: readonly (readonly [why: string, text: string])[] = [
    ['an empty text', ''],
    ['a scheme alone', 'spiffe:'],
    ['one slash', 'spiffe:/td/x'],
    ['an upper-case scheme', 'SPIFFE://td/x'],
    ['another scheme', 'https://td/x'],
    ['leading white space', ' spiffe://td/x'],
    ['trailing white space', 'spiffe://td/x '],
    ['an empty trust domain', 'spiffe:///x'],
    ['no trust domain', 'spiffe://'],
    ['an upper-case trust domain', 'spiffe://Td/x'],
    ['a port', 'spiffe://td:80/x'],
    ['user-info', 'spiffe://me@td/x'],
    ['an IPv6 address', 'spiffe://[::1]/x'],
    ['a query', 'spiffe://td/x?y'],
    ['a query on the trust domain', 'spiffe://td?y'],
    ['a fragment', 'spiffe://td/x#y'],
    ['a percent sign', 'spiffe://td/%41'],
    ['a slash at the end', 'spiffe://td/x/'],
    ['a slash alone', 'spiffe://td/'],
    ['an empty segment', 'spiffe://td/x//y'],
    ['a dot segment', 'spiffe://td/./x'],
    ['two dots', 'spiffe://td/x/../y'],
    ['a dot segment at the end', 'spiffe://td/x/..'],
    ['NUL', 'spiffe://td/x\0'],
    ['a letter beyond ASCII', 'spiffe://td/é'],
    ['a code unit whose low byte is a letter', 'spiffe://td/\u0161'],
  ];
  for (const [why, text] of refused)
    it(`refuses ${why}`, () => {
      const parsed = parseSpiffeId(text);
      assert.ok(!(parsed instanceof SpiffeId));
      assert.notEqual(parsed.problem, '');
      assert.throws(() => SpiffeId.parse(text), TypeError);
    });

  it('allows exactly its characters, at every position of every part', () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      const isLower = lower.includes(char);
      const isMixed = mixed.includes(char);
      for (const text of [`spiffe://${char}bc/x`, `spiffe://a${char}c/x`, `spiffe://ab${char}`])
        // A slash ends the trust domain, and what comes of it is another, well-formed ID or an empty part.
        if (char !== '/') assert.equal(accepts(text), isLower, `byte ${byte} in ${JSON.stringify(text)}`);
      for (const text of [`spiffe://td/${char}bc`, `spiffe://td/a${char}c/y`, `spiffe://td/x/ab${char}`])
        if (char !== '/') assert.equal(accepts(text), isMixed, `byte ${byte} in ${JSON.stringify(text)}`);
      const scheme = `spiffe${char}//td/x`;
      assert.equal(accepts(scheme), char === ':', JSON.stringify(scheme));
    }
  });

  it('refuses every single byte changed in the scheme', () => {
    for (let at = 0; at < 'spiffe://'.length; at++)
      for (let byte = 0; byte < 256; byte++) {
        const char = String.fromCharCode(byte);
        if ('spiffe://'[at] === char) continue;
        assert.ok(!accepts(`${'spiffe://'.slice(0, at)}${char}${'spiffe://td/x'.slice(at + 1)}`));
      }
  });

  it('bounds the trust domain at 255 bytes and the whole at 2048', () => {
    assert.ok(accepts(`spiffe://${'a'.repeat(255)}/x`));
    assert.ok(!accepts(`spiffe://${'a'.repeat(256)}/x`));
    const head = 'spiffe://td/';
    assert.ok(accepts(head + 'a'.repeat(2048 - head.length)));
    assert.ok(!accepts(head + 'a'.repeat(2049 - head.length)));
  });
});

describe('parseTrustDomain', () => {
  it('takes a bare name only', () => {
    assert.equal(parseTrustDomain('cluster.local'), 'cluster.local');
    for (const text of ['', 'spiffe://td', 'td/x', 'TD', 'td:1', 'a b', 'a'.repeat(256)])
      assert.ok(typeof parseTrustDomain(text) === 'object', text);
  });
});

describe('serviceAccountOf', () => {
  it('reads exactly /ns/NS/sa/SA', () => {
    assert.deepEqual(serviceAccountOf('/ns/foo/sa/sleep'), { namespace: 'foo', serviceAccount: 'sleep' });
    for (const path of ['', '/ns/foo', '/ns/foo/sa', '/ns/foo/sa/a/b', '/x/ns/foo/sa/a', '/ns/foo/sb/a'])
      assert.equal(serviceAccountOf(path), null, path);
  });
});
