import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatNumber, formatRatio, formatTable, median, minimum } from '../../bench/measure/table.ts';

describe('bench table', () => {
  it('aligns names to the left and figures to the right, rows cut short included', () => {
    const text = formatTable(
      ['peer', 'version ', 'us'],
      [
        ['a', '1', '12.5'],
        ['longer', 'not installed'],
      ],
    );
    assert.deepEqual(text.split('\n'), [
      'peer    version          us',
      '------  -------------  ----',
      'a       1              12.5',
      'longer  not installed',
    ]);
  });

  const medians: readonly (readonly [readonly number[], number])[] = [
    [[3, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[10, 9], 9.5],
    [[7], 7],
  ];
  for (const [values, wanted] of medians) {
    it(`says that the median of ${values.join(', ')} is ${wanted}`, () =>
      assert.equal(median(values), wanted));
  }

  it('has no median and no minimum of nothing', () => {
    assert.ok(Number.isNaN(median([])));
    assert.ok(Number.isNaN(minimum([])));
    assert.equal(minimum([2, 1, 3]), 1);
  });

  it('writes a ratio only where both were measured', () => {
    assert.equal(formatRatio(50, 100), '0.50');
    assert.equal(formatRatio(50, undefined), '-');
    assert.equal(formatRatio(Number.NaN, 100), '-');
    assert.equal(formatRatio(1, 0), '-');
  });

  it('writes figures with the decimals that they deserve', () => {
    assert.deepEqual([0.1234, 12.34, 1234.5, Number.NaN].map(formatNumber), ['0.123', '12.3', '1,235', '-']);
  });
});
