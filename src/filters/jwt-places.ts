/**
 * Where one rule looks for tokens, and what it finds there (Envoy's extractor): nothing set means `Authorization:
 * Bearer ` and the parameter `access_token`. Places are looked at in Envoy's order: headers by name and prefix, then
 * parameters, then cookies.
 */
import type { JwtRule } from '../core/jwt-plan.ts';
import { getFieldValues, removeField } from '../http/fields.ts';
import type { RequestHead } from '../http/exchange.ts';
import { queryValues, withoutParameter } from './jwt-query.ts';

export type PlaceKind = 'header' | 'query' | 'cookie';

/** One text at one place. */
export interface FoundToken {
  readonly kind: PlaceKind;
  /** Of the field, the parameter or the cookie. */
  readonly name: string;
  /** Which one of that name. */
  readonly index: number;
  readonly token: string;
}

export interface TokenPlaces {
  readonly headers: readonly { readonly name: string; readonly prefix: string }[];
  readonly params: readonly string[];
  readonly cookies: readonly string[];
}

type HeadPart = Pick<RequestHead, 'fields' | 'path'>;

const DEFAULT_PLACES: TokenPlaces = {
  headers: [{ name: 'authorization', prefix: 'Bearer ' }],
  params: ['access_token'],
  cookies: [],
};

export function placesOf(rule: JwtRule): TokenPlaces {
  const { fromCookies, fromHeaders, fromParams } = rule;
  if (fromCookies.length + fromHeaders.length + fromParams.length === 0) return DEFAULT_PLACES;
  const headers = new Map(fromHeaders.map(({ name, prefix }) => [name + prefix, { name, prefix }]));
  return {
    headers: [...headers].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, place]) => place),
    params: [...new Set(fromParams.map(bytesOf))].toSorted(),
    cookies: [...new Set(fromCookies.map(bytesOf))].toSorted(),
  };
}

/** In the order of the places. */
export function findTokens(places: TokenPlaces, head: HeadPart): FoundToken[] {
  const found: FoundToken[] = [];
  const add = (kind: PlaceKind, name: string, index: number, token: string): void => {
    found.push({ kind, name, index, token });
  };
  for (const { name, prefix } of places.headers) {
    fieldValues(head, name).forEach((value, index) => {
      const token = tokenIn(value, prefix);
      if (token !== null) add('header', name, index, token);
    });
  }
  if (head.path.includes('?')) {
    for (const name of places.params)
      queryValues(head.path, name).forEach((value, index) => add('query', name, index, value));
  }
  for (const name of places.cookies)
    cookieValues(head, name).forEach((value, index) => add('cookie', name, index, value));
  return found;
}

/** Takes a token from what is forwarded: the whole field, all parameters of that name; a cookie stays, as in Envoy. */
export function removeToken({ kind, name }: FoundToken, head: RequestHead): void {
  if (kind === 'header') removeField(head.fields, name);
  else if (kind === 'query') head.path = withoutParameter(head.path, name);
}

/** Several `Authorization` fields are one in Envoy; of other names each is a value of its own. */
function fieldValues({ fields }: HeadPart, name: string): readonly string[] {
  const values = getFieldValues(fields, name);
  return name === 'authorization' && values.length > 1 ? [values.join(',')] : values;
}

const IN_TOKENS = /[A-Za-z0-9_-]/;

/** The prefix may stand anywhere in the value; what is before it, and what cannot begin a token, is skipped. */
function tokenIn(value: string, prefix: string): string | null {
  if (prefix === '') return value;
  const at = value.indexOf(prefix);
  if (at === -1) return null;
  const rest = value.slice(at + prefix.length);
  const start = rest.search(IN_TOKENS);
  return start === -1 ? '' : rest.slice(start);
}

/** Values of the cookies of that name, quotes taken off; blanks are trimmed around a cookie, as in Envoy, not within. */
function cookieValues({ fields }: HeadPart, name: string): string[] {
  const values: string[] = [];
  for (const field of getFieldValues(fields, 'cookie')) {
    for (const part of field.split(';')) {
      const cookie = withoutBlanks(part);
      if (!cookie.startsWith(name) || cookie[name.length] !== '=') continue;
      const value = cookie.slice(name.length + 1);
      const isQuoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
      values.push(isQuoted ? value.slice(1, -1) : value);
    }
  }
  return values;
}

function withoutBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (text[start] === ' ') start++;
  while (end > start && text[end - 1] === ' ') end--;
  return text.slice(start, end);
}

/** Names as they stand in a head: its text is latin1. */
function bytesOf(name: string): string {
  return Buffer.from(name).toString('latin1');
}
