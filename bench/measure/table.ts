/**
 * Columns of text for the terminal, and the two numbers that interleaved rounds are summed up in.
 */

/** Aligned columns: the first and those whose heading ends in a blank to the left, others to the right. */
export function formatTable(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.trim().length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    headings
      .map((heading, column) => {
        const cell = (cells[column] ?? '').trim();
        const width = widths[column] ?? 0;
        return column === 0 || heading.endsWith(' ') ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  return [line(headings), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

/** The middle value; of an even count the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export function minimum(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : Math.min(...values);
}

/** `1.23`, or `-` where one of the two was not measured. */
export function formatRatio(value: number, base: number | undefined): string {
  return base === undefined || !Number.isFinite(value / base) ? '-' : (value / base).toFixed(2);
}

/** A figure with as many decimals as it deserves: 0.123, 12.3, 1,234. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '-';
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US');
  return Math.abs(value) >= 1 ? value.toFixed(1) : value.toFixed(3);
}
