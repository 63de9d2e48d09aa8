/**
 * Texts as they are compared with bytes off the wire: request heads are read as Latin-1, policies are UTF-8, and the
 * bytes must be equal. A head with bytes above 0x7F is thereby matched like any other.
 */

/** A policy's value as its UTF-8 bytes look when read as Latin-1. */
export function wireText(value: string): string {
  return isAscii(value) ? value : Buffer.from(value, 'utf8').toString('latin1');
}

/** A to Z in lower case and nothing else: host names compare by ASCII alone. The same string if there are none. */
export function lowerAscii(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 65 && code <= 90) return lowerFrom(text, i);
  }
  return text;
}

function lowerFrom(text: string, start: number): string {
  let lower = text.slice(0, start);
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i);
    lower += code >= 65 && code <= 90 ? String.fromCharCode(code + 32) : text.charAt(i);
  }
  return lower;
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}
