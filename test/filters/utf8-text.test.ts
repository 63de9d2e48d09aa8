import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assert as always, property, string } from 'fast-check';
import { utf8Text } from '../../src/filters/utf8-text.ts';

describe('bytes as text of UTF-8', () => {
  for (const [bytes, text] of [
    [[], ''],
    [[0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80], 'aé€😀'],
    [[0xff, 0x61], '!a'],
    [[0xc3], '!'],
    [[0xc3, 0x28], '!('],
    [[0xe2, 0x82], '!!'],
    [[0xe2, 0x82, 0x61], '!!a'],
    [[0xc0, 0xaf], '!!'],
    [[0xe0, 0x9f, 0xbf], '!!!'],
    [[0xed, 0xa0, 0x80], '!!!'],
    [[0xf0, 0x8f, 0xbf, 0xbf], '!!!!'],
    [[0xf4, 0x90, 0x80, 0x80], '!!!!'],
    [[0xf5, 0x80, 0x80, 0x80], '!!!!'],
    [[0xff, 0xef, 0xbb, 0xbf], '!\ufeff'],
  ] as const) {
    it(`reads ${Buffer.from(bytes).toString('hex')} as ${JSON.stringify(text)}`, () => {
      assert.equal(utf8Text(Buffer.from(bytes)), text);
    });
  }

  it('marks no byte of any text, and every byte of what is none', () => {
    always(
      property(string({ unit: 'binary' }), string({ unit: 'binary' }), (before, after) => {
        const bytes = Buffer.concat([Buffer.from(before), Buffer.from([0xff]), Buffer.from(after)]);
        assert.equal(utf8Text(bytes), `${Buffer.from(before).toString()}!${Buffer.from(after).toString()}`);
      }),
    );
  });

  it('takes little more time for bytes that are none than for text', () => {
    const size = 1 << 22;
    const timeOf = (bytes: Buffer): number => {
      const from = performance.now();
      assert.equal(utf8Text(bytes).length, size);
      return performance.now() - from;
    };
    // A hundred times as much where each byte was looked at by a call of its own.
    for (const fill of ['ff', 'c328', '61e282']) {
      timeOf(Buffer.alloc(size, fill, 'hex'));
      const tookMs = timeOf(Buffer.alloc(size, fill, 'hex'));
      assert.ok(tookMs < 700, `${fill}: ${tookMs} ms`);
    }
  });
});
