/**
 * JSON objects in tokens and key sets, read strictly: UTF-8, no member twice, no lone surrogate, and no deeper than
 * protobuf's JSON reader goes, so that two readers of one token see the same claims.
 */

/** As protobuf's. */
const MAX_DEPTH = 100;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export type JsonObject = Readonly<Record<string, unknown>>;

/** The object that these bytes are; null: they are not one, or not in a form that every reader reads alike. */
export function parseJsonObject(bytes: Uint8Array): JsonObject | null {
  try {
    return parseJsonObjectText(UTF8.decode(bytes));
  } catch {
    return null;
  }
}

export function parseJsonObjectText(text: string): JsonObject | null {
  if (!isSound(text)) return null;
  try {
    const value: unknown = JSON.parse(text);
    if (!isJsonObject(value)) return null;
    return isWellFormed(value) ? value : null;
  } catch {
    return null;
  }
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own member: `__proto__` and `constructor` are names like any other. */
export function memberOf(object: JsonObject, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/**
 * Whether depth and member names are in order. Tells nothing of text that is no JSON at all, but its depth is bounded
 * then too: the parser never meets what this refuses.
 */
function isSound(text: string): boolean {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        if (end === -1) return false;
        const names = open.at(-1);
        if (names instanceof Set && isName(text, end)) {
          const name = unescaped(text.slice(at, end));
          if (name === null || names.has(name)) return false;
          names.add(name);
        }
        at = end - 1;
        break;
      }
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (open.length === MAX_DEPTH) return false;
        open.push(text.charCodeAt(at) === OPEN_BRACE ? new Set() : null);
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        open.pop();
        break;
      default:
    }
  }
  return true;
}

/** The offset behind the closing quote of the string that begins at `start`; -1: it has none. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return -1;
}

function isName(text: string, end: number): boolean {
  let at = end;
  while (' \t\r\n'.includes(text[at] ?? '-')) at++;
  return text.charCodeAt(at) === COLON;
}

function unescaped(quoted: string): string | null {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return String(JSON.parse(quoted));
  } catch {
    return null;
  }
}

/** No lone surrogates, no numbers beyond a double's. No deeper than `MAX_DEPTH`. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, item]) => name.isWellFormed() && isWellFormed(item));
}
