/**
 * Recorded messages (test/vectors/http: the bytes, the expected events) cut in every way: each cut gives the same events.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { eventLog, runCodec } from './codec-events.ts';
import type { RunOptions } from './codec-events.ts';

interface Vector {
  readonly kind: 'request' | 'response';
  /** Of the request that a response answers. */
  readonly method?: string;
  /** FIN after the last byte. */
  readonly end?: boolean;
  /** One character, one byte. */
  readonly bytes: readonly string[];
  readonly events: readonly string[];
}

const FOLDER = new URL('../vectors/http/', import.meta.url);
const FILES = readdirSync(FOLDER).toSorted();

/** A small generator of its own: the same cuts in every run. */
function cutsOf(length: number, seed: number): number[] {
  const cuts: number[] = [];
  let state = seed;
  for (let at = 0; at < length;) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    at += 1 + (state % 37);
    if (at < length) cuts.push(at);
  }
  return cuts;
}

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const list: Buffer[] = [];
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    list.push(bytes.subarray(from, cut));
    from = cut;
  }
  return list;
}

describe('a message gives the same events however it is cut', () => {
  it('there are at least 50 requests and 10 responses', () => {
    assert.ok(FILES.filter((file) => file.startsWith('request-')).length >= 50);
    assert.ok(FILES.filter((file) => file.startsWith('response-')).length >= 10);
  });

  for (const file of FILES) {
    it(file, () => {
      const vector = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Vector;
      const bytes = Buffer.from(vector.bytes.join(''), 'latin1');
      const options: RunOptions = {
        kind: vector.kind,
        method: vector.method ?? 'GET',
        end: vector.end ?? false,
      };
      const read = (cuts: readonly number[]): string[] => eventLog(runCodec(pieces(bytes, cuts), options));
      assert.deepEqual(read([]), vector.events, 'in one piece');
      for (let cut = 1; cut < bytes.length; cut++)
        assert.deepEqual(read([cut]), vector.events, `cut at ${cut}`);
      const everyByte = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1);
      assert.deepEqual(read(everyByte), vector.events, 'byte by byte');
      for (let seed = 1; seed <= 40; seed++) {
        assert.deepEqual(read(cutsOf(bytes.length, seed)), vector.events, `random cuts, seed ${seed}`);
      }
    });
  }

  for (const file of FILES.filter((name) => name.startsWith('request-'))) {
    it(`${file}: a prefix never says more than the whole`, () => {
      const vector = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as Vector;
      const bytes = Buffer.from(vector.bytes.join(''), 'latin1');
      const ends = vector.events.filter((line) => line === 'end').length;
      for (let length = 0; length < bytes.length; length++) {
        const log = eventLog(runCodec([bytes.subarray(0, length)]));
        const refused = log.find((line) => line.startsWith('refused'));
        if (refused !== undefined) assert.equal(refused, vector.events.at(-1), `prefix of ${length}`);
        assert.ok(log.filter((line) => line === 'end').length <= ends);
      }
    });
  }
});
