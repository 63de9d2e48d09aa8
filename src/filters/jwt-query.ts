/**
 * Tokens in the query: parameters found by name as Envoy finds them (percent-escapes decoded, `access%5ftoken` is
 * `access_token`), and cut out of the path with every other byte left as it was.
 */

const PERCENT = 0x25;

/** Values of the parameters of that name, in order; a parameter without `=` has the value ''. */
export function queryValues(path: string, name: string): string[] {
  const values: string[] = [];
  let at = path.indexOf('?');
  if (at === -1) return values;
  while (at < path.length) {
    const end = endOfParameter(path, at + 1);
    const equals = path.indexOf('=', at + 1);
    const nameEnd = equals === -1 || equals > end ? end : equals;
    if (isNamed(path, at + 1, nameEnd, name)) values.push(percentDecoded(path.slice(nameEnd + 1, end)));
    at = end;
  }
  return values;
}

/** The path without the parameters of that name; without `?` if none is left. */
export function withoutParameter(path: string, name: string): string {
  const query = path.indexOf('?');
  if (query === -1) return path;
  let kept = '';
  let at = query;
  let removed = false;
  while (at < path.length) {
    const end = endOfParameter(path, at + 1);
    const equals = path.indexOf('=', at + 1);
    const nameEnd = equals === -1 || equals > end ? end : equals;
    if (isNamed(path, at + 1, nameEnd, name)) removed = true;
    else kept += (kept === '' ? '?' : '&') + path.slice(at + 1, end);
    at = end;
  }
  return removed ? path.slice(0, query) + kept : path;
}

function endOfParameter(path: string, from: number): number {
  const end = path.indexOf('&', from);
  return end === -1 ? path.length : end;
}

function isNamed(path: string, start: number, end: number, name: string): boolean {
  if (end - start === name.length) return path.startsWith(name, start);
  // Only an escape can make a longer text the same name.
  if (end - start < name.length) return false;
  const escape = path.indexOf('%', start);
  return escape !== -1 && escape < end && percentDecoded(path.slice(start, end)) === name;
}

/** As latin1 text of the bytes; what is no escape stays. */
export function percentDecoded(text: string): string {
  if (!text.includes('%')) return text;
  let out = '';
  for (let at = 0; at < text.length; at++) {
    const byte = text.charCodeAt(at) === PERCENT ? hexByte(text, at + 1) : -1;
    if (byte === -1) out += text[at];
    else {
      out += String.fromCharCode(byte);
      at += 2;
    }
  }
  return out;
}

function hexByte(text: string, at: number): number {
  const digits = text.slice(at, at + 2);
  return /^[0-9a-fA-F]{2}$/.test(digits) ? Number.parseInt(digits, 16) : -1;
}
