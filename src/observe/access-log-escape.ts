/**
 * Makes values that peers chose harmless in a line of text and in JSON.
 *
 * Text: `"`, `\` and everything outside printable ASCII becomes `\xHH` (nginx's form), beyond one byte `\uHHHH`:
 * a value cannot end its quotes, its line or the encoding. JSON: always valid, always well-formed Unicode.
 */
import { isUtf8 } from 'node:buffer';

const UNSAFE = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
const UNSAFE_ALL = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;
const NOT_HOST = /[^\w.:*-]/;
const NOT_HOST_ALL = /[^\w.:*-]/g;
const SPACE = /\s/;
const SPACE_ALL = /\s/g;
const BEYOND_LATIN1 = /[^\0-\xff]/;
// Control characters that JSON allows and terminals obey, and the two line ends of older JavaScript.
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const JSON_UNFRIENDLY = /[\x7f-\x9f\u2028\u2029]/g;

function hexEscape(char: string): string {
  const code = char.charCodeAt(0);
  return code < 256
    ? `\\x${code.toString(16).toUpperCase().padStart(2, '0')}`
    : `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** For text lines. */
export function escapeText(value: string): string {
  return UNSAFE.test(value) ? value.replace(UNSAFE_ALL, hexEscape) : value;
}

/** A JSON string, quotes included. Header bytes that are UTF-8 are shown as such, else as Latin-1. */
export function escapeJson(value: string): string {
  if (!UNSAFE.test(value)) return `"${value}"`;
  let text = value;
  if (!BEYOND_LATIN1.test(value)) {
    const bytes = Buffer.from(value, 'latin1');
    if (isUtf8(bytes)) text = bytes.toString('utf8');
  }
  return JSON.stringify(text.toWellFormed()).replace(JSON_UNFRIENDLY, unicodeEscape);
}

/** A server name as Envoy shows it: what no host name may hold becomes `_`. */
export function sanitizeServerName(value: string): string {
  return NOT_HOST.test(value) ? value.replace(NOT_HOST_ALL, '_') : value;
}

/** Details as Envoy shows them: in one word. */
export function withoutSpaces(value: string): string {
  return SPACE.test(value) ? value.replace(SPACE_ALL, '_') : value;
}
