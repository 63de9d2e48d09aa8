/** The rows of `docs/differences.md`, which the comparisons with Envoy go by. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const DOCUMENT = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8');
const FIRST_CELLS = new Set(DOCUMENT.split('\n').map((line) => /^\| (.*?) *(?<!\\)\|/.exec(line)?.[1]));

/** Fails unless some row has this first cell. */
export function checkDifferenceRow(what: string): void {
  assert.ok(FIRST_CELLS.has(what), `docs/differences.md has no row "${what}"`);
}
