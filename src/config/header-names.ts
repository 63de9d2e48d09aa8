/**
 * Which header fields a document may name, and which are not a document's to set: those that frame a message, and
 * those that this proxy writes itself.
 */
import type { ValueFault } from './policy-values.ts';
import { shown } from './yaml-tree.ts';

/** RFC 9110 token. */
const TOKEN = /^[-!#$%&'*+.^_`|~0-9a-zA-Z]+$/;
/** As `TOKEN`, without the `*` that stands for any text. */
const PATTERN = /^(?:\*[-!#$%&'+.^_`|~0-9a-zA-Z]+|[-!#$%&'+.^_`|~0-9a-zA-Z]+\*?)$/;

const OWNED = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'x-forwarded-client-cert',
  'x-forwarded-proto',
  'x-request-id',
]);

export function isHeaderName(text: string): boolean {
  return TOKEN.test(text);
}

/** A field that a document wants to be written. */
export function writtenHeaderFault(name: string): ValueFault | null {
  if (!isHeaderName(name)) return notAHeader(name);
  const lower = name.toLowerCase();
  if (!OWNED.has(lower) && !lower.startsWith('x-envoy-')) return null;
  const message = `"${shown(name)}" is a header that only the proxy itself may write`;
  return { code: 'conflict', message, fix: 'use a name of your own, like x-jwt-payload' };
}

export function headerNameFault(name: string): ValueFault | null {
  return isHeaderName(name) ? null : notAHeader(name);
}

/** `name`, `prefix*` or `*suffix`. */
export function headerPatternFault(text: string): ValueFault | null {
  if (PATTERN.test(text)) return null;
  const message =
    text === '' ? 'the header name is empty' : `"${shown(text)}" is not a header name or pattern`;
  return { code: 'bad_value', message, fix: 'write NAME, PREFIX* or *SUFFIX' };
}

/** A pattern of headers that are written into the request; one that is a name is nobody's to give away. */
export function writtenPatternFault(text: string): ValueFault | null {
  return headerPatternFault(text) ?? (text.includes('*') ? null : writtenHeaderFault(text));
}

function notAHeader(name: string): ValueFault {
  const message = name === '' ? 'the header name is empty' : `"${shown(name)}" is not a header name`;
  return { code: 'bad_value', message, fix: 'use letters, digits, "-" and "_"' };
}
