import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BLOCK, BLOCK_BYTES, PatternCheck } from '../../bench/load/stream-pattern.ts';

const STREAM = Buffer.concat([BLOCK, BLOCK, BLOCK]);

describe('bench stream check', () => {
  it('follows a stream in pieces of any size', () => {
    for (const size of [1, 63, 1024, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, STREAM.length]) {
      const check = new PatternCheck();
      for (let at = 0; at < STREAM.length; at += size) check.push(STREAM.subarray(at, at + size));
      assert.equal(check.received, STREAM.length, `pieces of ${size}`);
    }
  });

  it('notices a lost byte, a doubled one, a changed one and a lost piece', () => {
    const wrongs: readonly (readonly Buffer[])[] = [
      [STREAM.subarray(0, 1000), STREAM.subarray(1001)],
      [STREAM.subarray(0, 1000), STREAM.subarray(999)],
      [STREAM.subarray(0, 70_000), Buffer.from([0, 1, 2])],
      [STREAM.subarray(0, 16_384), STREAM.subarray(32_768)],
    ];
    for (const pieces of wrongs) {
      const check = new PatternCheck();
      assert.throws(() => pieces.forEach((piece) => check.push(piece)), /Stream differs/);
    }
  });
});
