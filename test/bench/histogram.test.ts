import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Histogram } from '../../bench/measure/histogram.ts';

describe('bench histogram', () => {
  it('gives small values back exactly', () => {
    const histogram = new Histogram();
    for (let value = 1; value <= 100; value += 1) histogram.record(value % 64);
    assert.equal(histogram.total, 100);
    assert.equal(histogram.percentile(0.01), 0);
    assert.equal(histogram.percentile(1), 63);
  });

  it('is never under and at most 1.6 % over the true percentile', () => {
    for (const scale of [1, 37, 1000, 12_345]) {
      const histogram = new Histogram();
      for (let value = 1; value <= 1000; value += 1) histogram.record(value * scale);
      for (const share of [0.001, 0.1, 0.5, 0.9, 0.99, 1]) {
        const exact = Math.ceil(share * 1000) * scale;
        const given = histogram.percentile(share);
        assert.ok(given >= exact, `p${share} of scale ${scale}: ${given} is under ${exact}`);
        assert.ok(given <= exact * 1.016 + 1, `p${share} of scale ${scale}: ${given} is far over ${exact}`);
      }
    }
  });

  it('keeps each power of two and its neighbours in buckets that hold them', () => {
    for (let power = 0; power < 31; power += 1) {
      for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
        const histogram = new Histogram();
        histogram.record(value);
        const given = histogram.percentile(0.5);
        assert.ok(given >= value && given <= value * 1.016 + 1, `${value} came back as ${given}`);
      }
    }
  });

  it('counts fractions down, negatives as 0 and what is too large as the largest', () => {
    const histogram = new Histogram();
    histogram.record(-5);
    histogram.record(1.9);
    histogram.record(1e12);
    assert.equal(histogram.percentile(0.3), 0);
    assert.equal(histogram.percentile(0.6), 1);
    assert.equal(histogram.percentile(1), 0x7fffffff);
  });

  it('has no percentile without samples', () => {
    assert.ok(Number.isNaN(new Histogram().percentile(0.5)));
  });
});
