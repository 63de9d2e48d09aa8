/**
 * Builds the head of a request from a scanned one (RFC 9112 §3, §6), or says why it is refused.
 *
 * The rules that keep two readers from seeing two requests are here: one Host that equals the target's
 * authority, one framing, no target form that the method does not have.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import { checkHost, sameAuthority } from '../path/host.ts';
import { parsePrintableTarget } from '../path/request-target.ts';
import type { HttpVersion, RequestHead } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { HeadScanner } from './head-scanner.ts';
import { BODY_CHUNKED } from './message-reader.ts';
import { HopFacts, readFields } from './read-fields.ts';

export class Http1RequestHead implements RequestHead {
  readonly method: string;
  readonly rawTarget: string;
  path = '';
  authority = '';
  readonly version: HttpVersion;
  readonly fields: Fields = [];
  bodyLength = 0;
  statesEmptyBody = false;
  expectContinue = false;
  acceptsTrailers = false;
  /** The connection ends after this exchange. */
  lastOnConnection = false;
  /** An HTTP/1.0 client that asked for keep-alive and has to be told. */
  sayKeepAlive = false;

  constructor(method: string, rawTarget: string, version: HttpVersion) {
    this.method = method;
    this.rawTarget = rawTarget;
    this.version = version;
  }
}

export interface RequestProblem {
  readonly code: ErrorCodeName;
  readonly detail: string;
  readonly method: string;
  readonly rawTarget: string;
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** Of the head that is being built: one for all connections, or an idle one would keep its last head alive. */
const sharedHop = new HopFacts();

/** Builds the heads of one connection. */
export class RequestHeadBuilder {
  readonly #protectedNames: ReadonlySet<string>;

  constructor(protectedNames: ReadonlySet<string> = NO_NAMES) {
    this.#protectedNames = protectedNames;
  }

  build(scanner: HeadScanner, text: string, origin: number): Http1RequestHead | RequestProblem {
    const lineStart = skipEmptyLines(text);
    const method = text.substring(lineStart, scanner.methodEnd - origin);
    const rawTarget = text.substring(scanner.targetStart - origin, scanner.targetEnd - origin);
    const head = new Http1RequestHead(method, rawTarget, scanner.minorVersion === 1 ? '1.1' : '1.0');
    const hop = sharedHop;
    const problem =
      readFields(scanner, text, origin, head.fields, hop, this.#protectedNames) ??
      applyFraming(head, hop) ??
      applyTarget(head, hop.host) ??
      applyExpectations(head, hop);
    if (problem !== null) return { code: problem.code, detail: problem.detail, method, rawTarget };
    return head;
  }
}

interface Problem {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

function skipEmptyLines(text: string): number {
  let at = 0;
  while (text.charCodeAt(at) === 13) at += 2;
  return at;
}

function applyFraming(head: Http1RequestHead, hop: HopFacts): Problem | null {
  const old = head.version === '1.0';
  if (hop.chunked) {
    // HTTP/1.0 knows no chunks: such a message has faulty framing (RFC 9112 §6.1).
    if (old) return { code: 'bad_transfer_encoding', detail: 'Transfer-Encoding in HTTP/1.0' };
    head.bodyLength = BODY_CHUNKED;
  } else if (hop.contentLength > 0) head.bodyLength = hop.contentLength;
  else head.statesEmptyBody = hop.contentLength === 0;
  head.lastOnConnection = hop.close || (old && !hop.keepAlive);
  head.sayKeepAlive = old && !head.lastOnConnection;
  return null;
}

function applyTarget(head: Http1RequestHead, host: string | null): Problem | null {
  if (host === null) {
    if (head.version === '1.1') return { code: 'bad_host', detail: 'no Host' };
  } else {
    const problem = checkHost(host);
    if (problem !== null) return problem;
    head.authority = host;
  }
  // Nearly every target is a path without a fragment; the scanner has proved its bytes already.
  const target = head.rawTarget;
  if (target.charCodeAt(0) === 0x2f && head.method !== 'CONNECT' && !target.includes('#')) {
    head.path = target;
    return null;
  }
  const parsed = parsePrintableTarget(head.method, target);
  switch (parsed.kind) {
    case 'problem':
      return parsed;
    case 'authority':
      return { code: 'connect_refused', detail: `CONNECT ${parsed.authority}` };
    case 'asterisk':
    case 'origin':
      head.path = parsed.path;
      return null;
    case 'absolute':
      if (host !== null && !sameAuthority(host, parsed.authority, parsed.scheme)) {
        return {
          code: 'host_mismatch',
          detail: `Host ${JSON.stringify(host)} and target ${JSON.stringify(parsed.authority)}`,
        };
      }
      head.path = parsed.path;
      // The target's authority is the one that counts (RFC 9112 §3.2.2).
      head.authority = parsed.authority;
      return null;
    default:
      return parsed satisfies never;
  }
}

function applyExpectations(head: Http1RequestHead, hop: HopFacts): Problem | null {
  head.acceptsTrailers = hop.acceptsTrailers;
  if (hop.upgrade !== '' && hop.upgradeAsked && !isOnlyH2c(hop.upgrade)) {
    return { code: 'upgrade_refused', detail: `Upgrade ${JSON.stringify(hop.upgrade.slice(0, 80))}` };
  }
  if (hop.expect !== '' && head.version === '1.1') {
    if (hop.expect.toLowerCase() !== '100-continue') {
      return { code: 'expectation_failed', detail: `Expect ${JSON.stringify(hop.expect.slice(0, 80))}` };
    }
    head.expectContinue = head.bodyLength !== 0;
  }
  return null;
}

/** An offer of h2c may be ignored and the request answered as HTTP/1.1 (RFC 9110 §7.8), as Envoy does. */
function isOnlyH2c(upgrade: string): boolean {
  return upgrade.toLowerCase() === 'h2c';
}
