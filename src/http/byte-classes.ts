/**
 * One table for every byte of a head: what RFC 9110 §5.6.2 and RFC 9112 §3.2 allow where.
 *
 * The scanners index it once a byte; the bits say of which kinds the byte is.
 */

/** tchar: method and field name characters. */
export const TOKEN = 1;
/** Upper-case letter. */
export const UPPER = 2;
/** Characters of a request target: visible ASCII. Raw non-ASCII is refused, as Envoy's codec does. */
export const TARGET = 4;
/** Characters of a field value: HTAB, SP, visible ASCII and obs-text. */
export const VALUE = 8;
/** `_`: a name that has it may alias one with `-`. */
export const UNDERSCORE = 16;
/** Hexadecimal digit. */
export const HEX = 32;

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;

function makeTable(): Uint8Array {
  const table = new Uint8Array(256);
  const mark = (from: number, to: number, bits: number): void => {
    for (let byte = from; byte <= to; byte++) table[byte]! |= bits;
  };
  mark(0x21, 0x7e, TARGET | VALUE);
  mark(0x80, 0xff, VALUE);
  mark(SP, SP, VALUE);
  mark(HTAB, HTAB, VALUE);
  mark(0x30, 0x39, TOKEN | HEX);
  mark(0x41, 0x5a, TOKEN | UPPER);
  mark(0x61, 0x7a, TOKEN);
  mark(0x41, 0x46, HEX);
  mark(0x61, 0x66, HEX);
  for (const char of "!#$%&'*+-.^_`|~") table[char.charCodeAt(0)]! |= TOKEN;
  table[0x5f]! |= UNDERSCORE;
  return table;
}

export const BYTE_CLASSES: Uint8Array = makeTable();
