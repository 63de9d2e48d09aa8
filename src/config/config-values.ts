/**
 * Values of settings as text (flags, environment) or as YAML, checked against their key's type.
 */
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { ConfigKey } from './config-key.ts';
import { MAX_LIFETIME_MS, parseDuration } from './duration.ts';
import { isTrustDomain, TRUST_DOMAIN_FIX } from './istio-names.ts';
import { nearestName } from './nearest-name.ts';
import type { ProblemCode } from './problem.ts';
import { shown } from './yaml-tree.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type ConfigValue = string | number | Endpoint | Readonly<Record<string, string>>;

export type ParsedValue =
  | { readonly value: ConfigValue }
  | { readonly code: ProblemCode; readonly message: string; readonly fix: string };

/** sockaddr_un holds 108 with the zero byte at the end. */
const MAX_SOCKET_PATH_BYTES = 107;
const NAME = /^[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/;
const HOST_NAME = /^(?=.{1,253}$)[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,62})(?:\.[a-zA-Z0-9][-a-zA-Z0-9]{0,62})*\.?$/;
const LABEL_KEY = /^[a-zA-Z0-9][-a-zA-Z0-9_./]{0,316}$/;

/** `folder` is what relative paths are relative to. */
export function parseConfigText(key: ConfigKey, text: string, folder: string): ParsedValue {
  switch (key.type) {
    case 'text':
      return text === '' ? bad('', 'is empty', 'write a value') : { value: text };
    case 'name':
      return NAME.test(text) ? { value: text } : bad(text, 'is not a name', 'use a-z, 0-9, "-" and "."');
    case 'path':
      if (text === '' || text.includes('\0')) return bad(text, 'is not a path', 'write a file name');
      return { value: resolve(folder, text) };
    case 'socket':
      if (!/^unix:[^\0]+$/.test(text)) return bad(text, 'is not a socket', 'write unix:PATH');
      return parseSocketPath(text.slice('unix:'.length), folder);
    case 'socketPath':
      if (text === '' || text.includes('\0')) return bad(text, 'is not a path', 'write a file name');
      if (text.startsWith('unix:')) return bad(text, 'is not a path', 'write it without "unix:"');
      return parseSocketPath(text, folder);
    case 'fileMode':
      return /^0?[0-7]{3}$/.test(text)
        ? { value: Number.parseInt(text, 8) }
        : bad(text, 'is not a file mode', 'write it in octal, like "0600"');
    case 'bind':
      if (isIP(text) !== 0 || text === 'localhost') return { value: text };
      return bad(text, 'is not an IP address', 'write an address like 127.0.0.1');
    case 'host':
      return isHost(text)
        ? { value: text }
        : bad(text, 'is not a host', 'write a host name or an IP address');
    case 'port':
      return parseWholeNumber(text, 0, 65_535);
    case 'integer':
      return parseWholeNumber(text, key.min ?? 0, key.max ?? Number.MAX_SAFE_INTEGER);
    case 'endpoint':
      return parseEndpoint(text);
    case 'fraction':
      return parseFraction(text, key.below ?? 1);
    case 'duration':
    case 'lifetime': {
      const durationMs = key.type === 'lifetime' ? parseDuration(text, MAX_LIFETIME_MS) : parseDuration(text);
      return durationMs === null
        ? bad(text, 'is not a duration', 'write it as 24h, 90s or 250ms')
        : { value: durationMs };
    }
    case 'trustDomain':
      return isTrustDomain(text) ? { value: text } : bad(text, 'is not a trust domain', TRUST_DOMAIN_FIX);
    case 'labels':
      return parseLabels(text);
    case 'choice':
      return parseChoice(text, key.values ?? []);
    case 'entries':
      return bad(text, 'is not a list', 'write the list into the file');
    default:
      return key.type satisfies never;
  }
}

function parseWholeNumber(text: string, min: number, max: number): ParsedValue {
  const fix = `write a number from ${min} to ${max}`;
  if (!/^(?:0|[1-9]\d{0,15})$/.test(text)) return bad(text, 'is not a whole number', fix, 'wrong_type');
  const value = Number(text);
  return value >= min && value <= max
    ? { value }
    : bad(text, `is outside ${min} to ${max}`, fix, 'out_of_range');
}

function parseFraction(text: string, below: number): ParsedValue {
  const fix = `write a number from 0 to less than ${below}`;
  if (!/^\d{0,9}\.?\d{1,15}$/.test(text)) return bad(text, 'is not a decimal number', fix, 'wrong_type');
  const value = Number(text);
  return value < below ? { value } : bad(text, `is not less than ${below}`, fix, 'out_of_range');
}

function parseSocketPath(text: string, folder: string): ParsedValue {
  const path = resolve(folder, text);
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return { value: path };
  const fix = 'move it to a folder with a shorter name, like /run/postern';
  return bad(
    path,
    `has ${bytes} bytes, and a Unix socket takes ${MAX_SOCKET_PATH_BYTES}`,
    fix,
    'out_of_range',
  );
}

function parseEndpoint(text: string): ParsedValue {
  const fix = 'write HOST:PORT, like 127.0.0.1:8080 or [::1]:8080';
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  if (bracketed === undefined ? !isHost(host) : isIP(host) !== 6) return bad(text, 'is not HOST:PORT', fix);
  return port >= 1 && port <= 65_535
    ? { value: { host, port } }
    : bad(text, 'has no port from 1 to 65535', fix, 'out_of_range');
}

/** `app=httpbin,version=v1`; empty for no labels. */
function parseLabels(text: string): ParsedValue {
  const pairs: [string, string][] = [];
  for (const part of text === '' ? [] : text.split(',')) {
    const equals = part.indexOf('=');
    const label = part.slice(0, equals).trim();
    if (equals === -1 || !isLabelKey(label)) return bad(text, 'is not a list of labels', 'write k=v,k=v');
    if (pairs.some(([known]) => known === label))
      return bad(text, `has the label "${label}" twice`, 'keep one of them');
    pairs.push([label, part.slice(equals + 1).trim()]);
  }
  return { value: Object.fromEntries(pairs) };
}

export function isLabelKey(text: string): boolean {
  return LABEL_KEY.test(text);
}

function parseChoice(text: string, values: readonly string[]): ParsedValue {
  if (values.includes(text)) return { value: text };
  const nearest = nearestName(text, values);
  const fix = nearest === null ? `write ${values.join(' or ')}` : `did you mean "${nearest}"?`;
  return bad(text, `is not ${values.join(' or ')}`, fix);
}

/** A host name or an IP address. */
export function isHost(text: string): boolean {
  // Digits and dots alone are an address; a wrong one is not a name.
  return isIP(text) !== 0 || (HOST_NAME.test(text) && !/^[\d.]+$/.test(text));
}

function bad(text: string, what: string, fix: string, code: ProblemCode = 'bad_value'): ParsedValue {
  return { code, message: text === '' ? `the value ${what}` : `"${shown(text)}" ${what}`, fix };
}
