import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerBody, BODY_BYTES } from '../../bench/load/answer.ts';
import { ResponseReader } from '../../bench/load/response-reader.ts';

function answer(head: string, body: Buffer = answerBody()): Buffer {
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), body]);
}

const GOOD = answer(`HTTP/1.1 200 OK\r\nserver: x\r\nContent-Length: ${BODY_BYTES}`);

describe('bench response reader', () => {
  it('takes an answer cut at any one place, twice on a connection', () => {
    for (let cut = 1; cut < GOOD.length; cut += 1) {
      const reader = new ResponseReader();
      for (let turn = 0; turn < 2; turn += 1) {
        assert.equal(reader.push(GOOD.subarray(0, cut)), false, `cut at ${cut}`);
        assert.equal(reader.push(GOOD.subarray(cut)), true, `cut at ${cut}`);
      }
    }
  });

  it('takes an answer byte by byte', () => {
    const reader = new ResponseReader();
    const complete = [...GOOD].map((byte) => reader.push(Buffer.from([byte])));
    assert.deepEqual([complete.indexOf(true), complete.length], [GOOD.length - 1, GOOD.length]);
  });

  it('refuses a body with any one byte changed', () => {
    for (let at = GOOD.length - BODY_BYTES; at < GOOD.length; at += 1) {
      const wrong = Buffer.from(GOOD);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      assert.throws(() => new ResponseReader().push(wrong), /body differs/, `byte ${at}`);
    }
  });

  const wrongs: readonly (readonly [string, Buffer, RegExp])[] = [
    [
      'another status',
      answer(`HTTP/1.1 503 No\r\ncontent-length: ${BODY_BYTES}`),
      /"HTTP\/1.1 503 No", not 200/,
    ],
    ['another length', answer('HTTP/1.1 200 OK\r\ncontent-length: 7'), /content-length is "7"/],
    ['no length', answer('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked'), /content-length is "absent"/],
    ['bytes after its end', Buffer.concat([GOOD, Buffer.from('x')]), /1 bytes too many/],
    ['a head without end', Buffer.alloc(20_000, 0x61), /head is over/],
  ];
  for (const [what, bytes, error] of wrongs) {
    it(`refuses ${what}`, () => {
      assert.throws(() => new ResponseReader().push(bytes), error);
    });
  }
});
