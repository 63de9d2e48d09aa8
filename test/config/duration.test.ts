import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDuration, parseDuration } from '../../src/config/duration.ts';

describe('duration', () => {
  const table: [string, number | null][] = [
    ['24h', 86_400_000],
    ['90s', 90_000],
    ['250ms', 250],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['0.1ms', 1],
    ['0s', 0],
    ['0', 0],
    ['', null],
    ['5', null],
    ['-5s', null],
    ['5 s', null],
    ['5d', null],
    ['5s ', null],
    ['1e3s', null],
    ['s', null],
    ['600h', null],
    ['9'.repeat(400) + 's', null],
  ];
  for (const [text, expected] of table) {
    it(`reads "${text.slice(0, 20)}" as ${String(expected)}`, () =>
      assert.equal(parseDuration(text), expected));
  }

  it('writes what it reads', () => {
    for (const text of ['0s', '24h', '90s', '250ms', '45m', '1001ms']) {
      const ms = parseDuration(text);
      assert.ok(ms !== null);
      assert.equal(formatDuration(ms), text);
    }
  });
});
