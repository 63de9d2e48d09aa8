/**
 * Tokens in the query: parameters found by name as Envoy finds them (percent-escapes decoded, `access%5ftoken` is
 * `access_token`), and cut out of the path with every other byte left as it was.
 */

const PERCENT = 0x25;

/** Values of the parameters of that name, in order; a parameter without `=` has the value ''. */
export function queryValues(path: string, name: string): string[] {
  const values: string[] = [];
  for (let at = path.indexOf('?'); at !== -1 && at < path.length;) {
    const end = endOfParameter(path, at + 1);
    const parameter = path.slice(at + 1, end);
    if (isNamed(parameter, name)) values.push(percentDecoded(parameter.slice(endOfName(parameter) + 1)));
    at = end;
  }
  return values;
}

/** The path without the parameters of that name; without `?` if none is left. */
export function withoutParameter(path: string, name: string): string {
  const query = path.indexOf('?');
  let kept = '';
  let removed = false;
  for (let at = query; at !== -1 && at < path.length;) {
    const end = endOfParameter(path, at + 1);
    const parameter = path.slice(at + 1, end);
    if (isNamed(parameter, name)) removed = true;
    else kept += (kept === '' ? '?' : '&') + parameter;
    at = end;
  }
  return removed ? path.slice(0, query) + kept : path;
}

function endOfParameter(path: string, from: number): number {
  const end = path.indexOf('&', from);
  return end === -1 ? path.length : end;
}

function endOfName(parameter: string): number {
  const equals = parameter.indexOf('=');
  return equals === -1 ? parameter.length : equals;
}

/** Never looks behind the parameter: many of them must not cost the square of their number. */
function isNamed(parameter: string, name: string): boolean {
  const end = endOfName(parameter);
  if (end === name.length) return parameter.startsWith(name);
  // Only an escape can make a longer text the same name.
  return end > name.length && percentDecoded(parameter.slice(0, end)) === name;
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
