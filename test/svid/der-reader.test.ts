import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DerError, DerReader } from '../../src/svid/der-reader.ts';
import * as der from '../support/der-writer.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function readBoolean(bytes: string): boolean {
  const reader = new DerReader(hex(bytes));
  reader.next();
  return reader.boolean();
}

describe('DerReader', () => {
  it('walks elements and enters them', () => {
    const reader = new DerReader(der.sequence(der.integer('7f'), der.octets(Buffer.alloc(300, 1))));
    reader.expect(0x30, 'the list');
    reader.finish('the list');
    const inner = reader.enter();
    inner.expect(0x02, 'the number');
    assert.equal(inner.bytes[inner.unsignedStart()], 0x7f);
    assert.equal(inner.peek, 0x04);
    inner.next();
    assert.equal(inner.end - inner.start, 300);
    assert.ok(inner.atEnd);
    assert.equal(inner.peek, -1);
  });

  const refused: readonly (readonly [why: string, bytes: string])[] = [
    ['nothing', ''],
    ['a tag without a length', '30'],
    ['a long-form tag', '3f 81 00 00'],
    ['an indefinite length', '30 80 00 00'],
    ['a long length of 127', `04 81 7f ${'00'.repeat(127)}`],
    ['two length bytes for 128', `04 82 00 80 ${'00'.repeat(128)}`],
    ['three length bytes for 256', `04 83 00 01 00 ${'00'.repeat(256)}`],
    ['four length bytes', '04 84 00 00 00 01 00'],
    ['a reserved length', '04 ff 00'],
    ['a length cut off', '04 82 01'],
    ['content cut off by a byte', '04 03 00 00'],
    ['a length of 16 MiB less one', '04 83 ff ff ff 00'],
  ];
  for (const [why, bytes] of refused)
    it(`refuses ${why}`, () => {
      assert.throws(() => new DerReader(hex(bytes)).next(), DerError);
    });

  it('accepts each shortest length at its edges', () => {
    for (const length of [0, 127, 128, 255, 256, 65_535, 65_536]) {
      const reader = new DerReader(der.octets(Buffer.alloc(length)));
      reader.next();
      assert.equal(reader.end - reader.start, length);
      reader.finish('it');
    }
  });

  it('never lets an element reach past its parent', () => {
    const reader = new DerReader(hex('30 03 04 02 aa ff ff'));
    reader.next();
    assert.throws(() => reader.enter().next(), DerError);
  });

  it('refuses what follows the last element', () => {
    const reader = new DerReader(hex('05 00 05 00'));
    reader.next();
    assert.throws(() => reader.finish('it'), DerError);
  });

  it('refuses to nest past its depth', () => {
    let bytes = der.nothing();
    for (let i = 0; i < 20; i++) bytes = der.sequence(bytes);
    let reader = new DerReader(bytes);
    let depth = 0;
    assert.throws(() => {
      for (; depth < 20; depth++) {
        reader.next();
        reader = reader.enter();
      }
    }, DerError);
    assert.equal(depth, 16);
  });

  it('knows two BOOLEANs', () => {
    assert.equal(readBoolean('01 01 ff'), true);
    assert.equal(readBoolean('01 01 00'), false);
    for (const bytes of ['01 01 01', '01 01 fe', '01 00', '01 02 ff ff'])
      assert.throws(() => readBoolean(bytes), DerError, bytes);
  });

  it('refuses INTEGERs that are empty, negative or padded', () => {
    for (const bytes of ['02 00', '02 01 80', '02 02 00 7f', '02 02 ff 00', '02 02 00 00']) {
      const reader = new DerReader(hex(bytes));
      reader.next();
      assert.throws(() => reader.unsignedStart(), DerError, bytes);
    }
  });
});
