/**
 * Latencies counted in buckets that are at most 1.6 % wide, so that a percentile costs no memory per sample.
 * Values below 64 are exact; above, each power of two is divided in 64 (the layout of HdrHistogram).
 */

const SUB_BITS = 6;
const SUB_COUNT = 1 << SUB_BITS;
const BUCKETS = SUB_COUNT * (32 - SUB_BITS);

function indexOf(value: number): number {
  if (value < SUB_COUNT) return value;
  const shift = 31 - Math.clz32(value) - SUB_BITS;
  return (shift + 1) * SUB_COUNT + ((value >>> shift) - SUB_COUNT);
}

/** The largest value that falls into a bucket: a percentile never flatters. */
function highestOf(index: number): number {
  if (index < SUB_COUNT) return index;
  const shift = Math.floor(index / SUB_COUNT) - 1;
  return ((index % SUB_COUNT) + SUB_COUNT + 1) * 2 ** shift - 1;
}

/** Counts whole, non-negative values up to 2³¹−1 (microseconds: 35 minutes); larger ones count as that. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #total = 0;

  get total(): number {
    return this.#total;
  }

  record(value: number): void {
    const whole = value >= 0x7fffffff ? 0x7fffffff : value > 0 ? Math.floor(value) : 0;
    const index = indexOf(whole);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#total += 1;
  }

  /** The value that `share` (0 to 1) of the samples do not exceed; NaN without samples. */
  percentile(share: number): number {
    if (this.#total === 0) return Number.NaN;
    const wanted = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let index = 0; index < BUCKETS; index += 1) {
      seen += this.#counts[index] ?? 0;
      if (seen >= wanted) return highestOf(index);
    }
    return highestOf(BUCKETS - 1);
  }
}
