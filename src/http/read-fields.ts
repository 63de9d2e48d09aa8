/**
 * Turns a scanned head into fields, and takes out on the way what speaks of this hop only: framing
 * (RFC 9112 §6) and connection options (RFC 9110 §7.6.1).
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { Fields } from './fields.ts';
import { nextMember } from './list-members.ts';
import type { HeadScanner } from './head-scanner.ts';
import { aliasesProtectedName, isForbiddenInTrailers, isProtectedName } from './protected-names.ts';

export interface HeadProblem {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

/** What a head says besides the fields that go on. One object a connection, filled again by each head. */
export class HopFacts {
  host: string | null = null;
  /** -1: absent. */
  contentLength = -1;
  chunked = false;
  close = false;
  keepAlive = false;
  upgradeAsked = false;
  upgrade = '';
  expect = '';
  acceptsTrailers = false;
  /** Seconds of `keep-alive: timeout=N`; 0: not said. */
  keepAliveSeconds = 0;
  /** Names that Connection lists besides close, keep-alive, te and upgrade. */
  listed: string[] = [];

  clear(): void {
    this.host = null;
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgradeAsked = false;
    this.upgrade = '';
    this.expect = '';
    this.acceptsTrailers = false;
    this.keepAliveSeconds = 0;
    if (this.listed.length > 0) this.listed = [];
  }
}

const NO_NAMES: ReadonlySet<string> = new Set();

/**
 * Fills `fields` and `hop` from a whole head. `text` is its one latin1 decode, `origin` the offset of its
 * first character. Answers what makes the head unacceptable, or null.
 */
export function readFields(
  scanner: HeadScanner,
  text: string,
  origin: number,
  fields: Fields,
  hop: HopFacts,
  protectedNames: ReadonlySet<string> = NO_NAMES,
): HeadProblem | null {
  hop.clear();
  const spans = scanner.spans;
  const names = scanner.hasUpper ? text.toLowerCase() : text;
  for (let i = 0, n = scanner.fieldCount * 4; i < n; i += 4) {
    const name = names.substring(spans[i]! - origin, spans[i + 1]! - origin);
    const value = text.substring(spans[i + 2]! - origin, spans[i + 3]! - origin);
    if (isHopName(name)) {
      const problem = takeHopField(name, value, hop);
      if (problem !== null) return problem;
      continue;
    }
    if (scanner.hasUnderscore && name.includes('_') && aliasesProtectedName(name, protectedNames)) continue;
    fields.push(name, value);
  }
  // Only what the peer itself sent is removed here; our own fields are added later, by the filters.
  if (hop.listed.length > 0) removeListed(fields, new Set(hop.listed));
  if (hop.chunked && hop.contentLength !== -1) {
    return { code: 'ambiguous_framing', detail: 'both Content-Length and Transfer-Encoding' };
  }
  return null;
}

/** Told apart by length first: most fields of a request need one comparison of numbers. */
function isHopName(name: string): boolean {
  switch (name.length) {
    case 2:
      return name === 'te';
    case 4:
      return name === 'host';
    case 6:
      return name === 'expect';
    case 7:
      return name === 'upgrade';
    case 10:
      return name === 'connection' || name === 'keep-alive';
    case 14:
      return name === 'content-length' || name === 'http2-settings';
    case 16:
      return name === 'proxy-connection';
    case 17:
      return name === 'transfer-encoding';
    default:
      return false;
  }
}

function takeHopField(name: string, value: string, hop: HopFacts): HeadProblem | null {
  switch (name) {
    case 'host':
      if (hop.host !== null) return { code: 'bad_host', detail: 'Host is repeated' };
      hop.host = value;
      return null;
    case 'content-length': {
      if (hop.contentLength !== -1)
        return { code: 'bad_content_length', detail: 'Content-Length is repeated' };
      const length = parseContentLength(value);
      if (length < 0)
        return { code: 'bad_content_length', detail: `Content-Length ${JSON.stringify(value.slice(0, 40))}` };
      hop.contentLength = length;
      return null;
    }
    case 'transfer-encoding':
      if (hop.chunked) return { code: 'bad_transfer_encoding', detail: 'Transfer-Encoding is repeated' };
      if (value.toLowerCase() !== 'chunked') {
        return {
          code: 'bad_transfer_encoding',
          detail: `Transfer-Encoding ${JSON.stringify(value.slice(0, 40))}`,
        };
      }
      hop.chunked = true;
      return null;
    case 'connection':
      takeConnectionOptions(value, hop);
      return null;
    case 'te':
      if (hasMember(value, 'trailers')) hop.acceptsTrailers = true;
      return null;
    case 'upgrade':
      hop.upgrade = hop.upgrade === '' ? value : `${hop.upgrade}, ${value}`;
      return null;
    case 'expect':
      hop.expect = hop.expect === '' ? value : `${hop.expect}, ${value}`;
      return null;
    case 'keep-alive':
      hop.keepAliveSeconds = keepAliveSeconds(value);
      return null;
    default:
      return null;
  }
}

/** `1*DIGIT` (RFC 9110 §8.6) up to 2^53-1; -1: anything else. */
export function parseContentLength(value: string): number {
  if (value.length === 0 || value.length > 16) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length <= Number.MAX_SAFE_INTEGER ? length : -1;
}

function takeConnectionOptions(value: string, hop: HopFacts): void {
  if (value === 'keep-alive') {
    hop.keepAlive = true;
    return;
  }
  const options = value.toLowerCase();
  for (let member = nextMember(options, 0); member !== null; member = nextMember(options, member.next)) {
    const option = member.name;
    if (option === 'close') hop.close = true;
    else if (option === 'keep-alive') hop.keepAlive = true;
    else if (option === 'upgrade') hop.upgradeAsked = true;
    else if (option !== 'te') hop.listed.push(option);
  }
}

function removeListed(fields: Fields, names: ReadonlySet<string>): void {
  let to = 0;
  for (let from = 0; from < fields.length; from += 2) {
    if (names.has(fields[from]!)) continue;
    fields[to] = fields[from]!;
    fields[to + 1] = fields[from + 1]!;
    to += 2;
  }
  fields.length = to;
}

/** Whether a comma-separated list has that member, whatever its case and parameters. */
function hasMember(value: string, wanted: string): boolean {
  const list = value.toLowerCase();
  for (let member = nextMember(list, 0); member !== null; member = nextMember(list, member.next)) {
    if (member.name === wanted) return true;
  }
  return false;
}

/** The seconds of `timeout=N` (RFC 2068 §19.7.1.1, as apps still send it); 0 where there is none. */
function keepAliveSeconds(value: string): number {
  const list = value.toLowerCase();
  for (let member = nextMember(list, 0); member !== null; member = nextMember(list, member.next)) {
    if (!member.name.startsWith('timeout=')) continue;
    const seconds = parseContentLength(member.name.slice('timeout='.length));
    return seconds > 0 && seconds < 1_000_000 ? seconds : 0;
  }
  return 0;
}

/**
 * The fields of trailers, or what is wrong with them: framing, routing and what we set are refused, other
 * fields that have no place there are left out (RFC 9110 §6.5.1).
 */
export function readTrailers(
  scanner: HeadScanner,
  text: string,
  origin: number,
  fields: Fields,
): HeadProblem | null {
  const spans = scanner.spans;
  const names = scanner.hasUpper ? text.toLowerCase() : text;
  for (let i = 0, n = scanner.fieldCount * 4; i < n; i += 4) {
    const name = names.substring(spans[i]! - origin, spans[i + 1]! - origin);
    if (isProtectedName(name) || (scanner.hasUnderscore && aliasesProtectedName(name, NO_NAMES))) {
      return { code: 'bad_trailer', detail: `field ${JSON.stringify(name)} in trailers` };
    }
    if (isForbiddenInTrailers(name)) continue;
    fields.push(name, text.substring(spans[i + 2]! - origin, spans[i + 3]! - origin));
  }
  return null;
}
