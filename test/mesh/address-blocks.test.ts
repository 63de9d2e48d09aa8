import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bySize, canonicalIp, hexOfIp, isInBlock, parseAddressBlock } from '../../src/mesh/address-blocks.ts';

describe('an address of a document', () => {
  for (const [text, wanted] of [
    ['10.0.0.1', '10.0.0.1'],
    ['FD00:0:0::01', 'fd00::1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:a00:1', '10.0.0.1'],
    ['::', '::'],
    ['fe80::1%eth0', null],
    ['10.0.0.0/8', null],
    ['010.0.0.1', null],
    ['a.example.com', null],
    ['', null],
  ] as const) {
    it(`"${text}" is ${wanted}`, () => {
      assert.equal(canonicalIp(text), wanted);
    });
  }
});

describe('a block', () => {
  for (const [text, inside, outside] of [
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255'], ['9.255.255.255', '11.0.0.0', '::a00:1']],
    ['10.1.2.3/30', ['10.1.2.0', '10.1.2.3'], ['10.1.2.4', '10.1.1.255']],
    ['10.1.2.3/32', ['10.1.2.3'], ['10.1.2.2']],
    ['0.0.0.0/0', ['0.0.0.0', '255.255.255.255'], ['::1']],
    ['fd00::/64', ['fd00::', 'fd00::ffff:ffff:ffff:ffff'], ['fd00:0:0:1::', '10.0.0.1']],
    ['::/0', ['::', 'ffff::'], ['0.0.0.0']],
  ] as const) {
    it(`${text} holds its first and last address, and none besides`, () => {
      const block = parseAddressBlock(text);
      assert.ok(block);
      for (const ip of inside) assert.equal(isInBlock(block, hexOfIp(ip)), true, ip);
      for (const ip of [...outside, '', 'a.b']) assert.equal(isInBlock(block, hexOfIp(ip)), false, ip);
    });
  }

  for (const text of [
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0/8',
    'a/8',
    '',
  ]) {
    it(`is not "${text}"`, () => {
      assert.equal(parseAddressBlock(text), null);
    });
  }

  it('that is smaller comes first', () => {
    const blocks = ['0.0.0.0/0', '10.0.0.0/8', 'fd00::/64', '10.0.0.1'].map((text) =>
      parseAddressBlock(text)!,
    );
    const sorted = blocks.toSorted(bySize).map((block) => blocks.indexOf(block));
    assert.deepEqual(sorted, [3, 1, 0, 2]);
  });
});
