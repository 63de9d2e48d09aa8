/**
 * Judges the value of Host and of a URI's authority (RFC 9110 §7.2, RFC 3986 §3.2), and compares two of them.
 *
 * Refused is what parsers read differently: user-info, a path, a list, white space, a bare IPv6 address.
 * Case, port and a trailing dot stay as they came; matching deals with them.
 */
import { isIPv6 } from 'node:net';

/** Why a Host is refused. */
export interface HostProblem {
  readonly code: 'bad_host';
  readonly detail: string;
}

const COLON = 0x3a;
const PERCENT = 0x25;

/** 1: a character of a registered name or IPv4 address (RFC 3986 §3.2.2), but never a comma. */
const NAME_BYTES: Uint8Array = new Uint8Array(256);
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=%") {
  NAME_BYTES[char.charCodeAt(0)] = 1;
}

/** null: the value may stand as Host. Costs one scan. */
export function checkHost(value: string): HostProblem | null {
  const defect = authorityDefect(value);
  return defect === null ? null : { code: 'bad_host', detail: `Host has ${defect}` };
}

/** What is wrong with an authority, as the end of a sentence; null: nothing. */
export function authorityDefect(value: string): string | null {
  if (value.charCodeAt(0) === 0x5b) return literalDefect(value);
  let i = 0;
  for (; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code > 0xff || NAME_BYTES[code] === 0) break;
    if (code === PERCENT && !(isHex(value.charCodeAt(i + 1)) && isHex(value.charCodeAt(i + 2)))) {
      return 'a "%" that begins no escape';
    }
  }
  if (i < value.length && value.charCodeAt(i) !== COLON) return nameDefect(value, i);
  if (i === 0) return 'no host';
  return i === value.length ? null : portDefect(value, i);
}

/**
 * Whether two authorities name the same origin: without regard to case, an absent port being the scheme's own.
 *
 * Nothing else is equal: a trailing dot, an escape or another spelling of an IPv6 address makes a difference,
 * since an upstream may see one there. Both must have passed `authorityDefect`.
 */
export function sameAuthority(a: string, b: string, scheme: 'http' | 'https'): boolean {
  if (a === b) return true;
  const hostA = hostOf(a);
  const hostB = hostOf(b);
  if (hostA.length !== hostB.length || hostA.toLowerCase() !== hostB.toLowerCase()) return false;
  const defaultPort = scheme === 'http' ? 80 : 443;
  return (portOf(a) ?? defaultPort) === (portOf(b) ?? defaultPort);
}

/** `[::1]` of `[::1]:80`, `a.b` of `a.b:80`. */
function hostOf(authority: string): string {
  const colon = portColon(authority);
  return colon === -1 ? authority : authority.slice(0, colon);
}

function portOf(authority: string): number | null {
  const colon = portColon(authority);
  return colon === -1 || colon === authority.length - 1 ? null : Number(authority.slice(colon + 1));
}

function portColon(authority: string): number {
  const bracket = authority.lastIndexOf(']');
  return authority.indexOf(':', bracket + 1);
}

function literalDefect(value: string): string | null {
  const end = value.indexOf(']');
  const address = end === -1 ? '' : value.slice(1, end);
  // A zone (`%eth0`) means something on one host only (RFC 9844); node:net would take it.
  if (!isIPv6(address) || address.includes('%')) return 'brackets without an IPv6 address';
  if (end === value.length - 1) return null;
  return value.charCodeAt(end + 1) === COLON ? portDefect(value, end + 1) : 'characters after "]"';
}

/** The port may be empty (RFC 3986 §3.2.3): it is then the default. */
function portDefect(value: string, colon: number): string | null {
  let port = 0;
  for (let i = colon + 1; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return value.includes('@') ? 'user-info' : 'a port that is not a number';
    port = port * 10 + digit;
    if (port > 65_535) return 'a port above 65535';
  }
  return null;
}

function nameDefect(value: string, at: number): string {
  switch (value.charAt(at)) {
    case '@':
      return 'user-info';
    case ',':
      return 'a comma';
    case '/':
    case '\\':
    case '?':
    case '#':
      return 'a path';
    case ' ':
    case '\t':
      return 'white space';
    default:
      return `byte 0x${value.charCodeAt(at).toString(16).padStart(2, '0')}`;
  }
}

function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x66);
}
