import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { editDistance, nearestName } from '../../src/config/nearest-name.ts';

describe('nearest name', () => {
  const known = ['selector', 'mtls', 'portLevelMtls', 'rules', 'action'];
  const table: [string, string | null][] = [
    ['selectors', 'selector'],
    ['Selector', 'selector'],
    ['slector', 'selector'],
    ['mlts', 'mtls'],
    ['portLevelMTLS', 'portLevelMtls'],
    ['port_level_mtls', 'portLevelMtls'],
    ['rulez', 'rules'],
    ['spec', null],
    ['', null],
    ['x'.repeat(1_000_000), null],
  ];
  for (const [wrong, expected] of table) {
    it(`answers ${String(expected)} for "${wrong.slice(0, 20)}"`, () => {
      assert.equal(nearestName(wrong, known), expected);
    });
  }

  it('counts a swap of neighbours as one edit and stops at the limit', () => {
    assert.equal(editDistance('mlts', 'mtls', 9), 1);
    assert.equal(editDistance('abc', 'abc', 9), 0);
    assert.equal(editDistance('abc', '', 9), 3);
    assert.equal(editDistance('abcdef', 'uvwxyz', 3), 3);
  });
});
