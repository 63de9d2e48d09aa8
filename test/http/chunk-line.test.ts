/** The line before a chunk: every byte at every kind of position, sizes and the cap on extensions. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChunkLine } from '../../src/http/chunk-line.ts';

/** The size, 'more', or the code of the refusal; in one piece and byte by byte, which must agree. */
function read(text: string, cap = 1_024): number | string {
  const bytes = Buffer.from(text, 'latin1');
  const whole = new ChunkLine(cap);
  whole.startBody();
  const next = whole.read(bytes, 0);
  const dripped = new ChunkLine(cap);
  dripped.startBody();
  let answer = -1;
  for (let i = 0; i < bytes.length && answer === -1; i++) answer = dripped.read(bytes.subarray(i, i + 1), 0);
  assert.equal(answer === -2, next === -2, 'cuts change the answer');
  assert.equal(answer === -1, next === -1, 'cuts change the answer');
  if (next === -1) return 'more';
  if (next === -2) return whole.error;
  assert.equal(next, text.indexOf('\n') + 1);
  assert.equal(dripped.size, whole.size);
  return whole.size;
}

describe('chunk sizes', () => {
  const cases: readonly (readonly [string, number | string])[] = [
    ['0\r\n', 0],
    ['5\r\n', 5],
    ['aF\r\n', 0xaf],
    ['000000005\r\n', 5],
    ['fffffffffffff\r\n', 2 ** 52 - 1],
    ['10000000000000\r\n', 'bad_chunk'],
    ['00000000000005\r\n', 'bad_chunk'],
    ['\r\n', 'bad_chunk'],
    ['-1\r\n', 'bad_chunk'],
    ['+1\r\n', 'bad_chunk'],
    ['0x5\r\n', 'bad_chunk'],
    [' 5\r\n', 'bad_chunk'],
    ['5 \r\n', 'bad_chunk'],
    ['5\n', 'bad_chunk'],
    ['5\r5', 'bad_chunk'],
    ['5_0\r\n', 'bad_chunk'],
    ['5\r', 'more'],
    ['5', 'more'],
    ['5;a', 'more'],
  ];
  for (const [line, answer] of cases) {
    it(`${JSON.stringify(line)} is ${answer}`, () => assert.equal(read(line), answer));
  }

  it('only hexadecimal digits, CR and ";" may follow a digit', () => {
    const taken: number[] = [];
    for (let byte = 0; byte < 256; byte++) {
      if (read(`5${String.fromCharCode(byte)}`) === 'more') taken.push(byte);
    }
    assert.equal(String.fromCharCode(...taken), '\r0123456789;ABCDEFabcdef');
  });
});

describe('chunk extensions', () => {
  const cases: readonly (readonly [string, number | string])[] = [
    ['5;a\r\n', 5],
    ['5;a=b\r\n', 5],
    ['5;a=b;c;d=e\r\n', 5],
    ['5;a="b c\\"d;\xff\t"\r\n', 5],
    ['5;a="b";c\r\n', 5],
    ['5;\r\n', 'bad_chunk'],
    ['5;;a\r\n', 'bad_chunk'],
    ['5;=b\r\n', 'bad_chunk'],
    ['5;a=\r\n', 'bad_chunk'],
    ['5;a b\r\n', 'bad_chunk'],
    ['5;a\nb\r\n', 'bad_chunk'],
    ['5;a="b\nc"\r\n', 'bad_chunk'],
    ['5;a="b\r\n', 'bad_chunk'],
    ['5;a="\\\r"\r\n', 'bad_chunk'],
    ['5;a="b"c\r\n', 'bad_chunk'],
    ['5;a="b" \r\n', 'bad_chunk'],
    ['5;a\x00\r\n', 'bad_chunk'],
  ];
  for (const [line, answer] of cases) {
    it(`${JSON.stringify(line)} is ${answer}`, () => assert.equal(read(line), answer));
  }

  it('exactly maxChunkExtensionBytes pass, one more is chunk_extension_too_large', () => {
    assert.equal(read(`5;${'a'.repeat(9)}\r\n`, 9), 5);
    assert.equal(read(`5;${'a'.repeat(10)}\r\n`, 9), 'chunk_extension_too_large');
  });

  it('the cap counts over all chunks of a body, and again for the next body', () => {
    const line = new ChunkLine(9);
    line.startBody();
    assert.ok(line.read(Buffer.from('5;aaaaa\r\n'), 0) > 0);
    line.startLine();
    assert.equal(line.read(Buffer.from('5;aaaaa\r\n'), 0), -2);
    assert.equal(line.error, 'chunk_extension_too_large');
    line.startBody();
    assert.ok(line.read(Buffer.from('5;aaaaa\r\n'), 0) > 0);
  });
});
