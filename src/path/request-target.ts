/**
 * The request target in its four forms (RFC 9112 §3.2), refusing whatever two readers could see differently.
 *
 * A fragment is cut before anything else is looked at, so that no policy and no upstream ever meets one.
 * Only printable ASCII is a target here: Envoy's codec refuses the same bytes.
 */
import { authorityDefect } from './host.ts';

/** What a target says, and in which form it said it. */
export type RequestTarget =
  | { readonly kind: 'origin'; readonly path: string }
  | {
      readonly kind: 'absolute';
      /** Path with query; `/` where the URI has none. */
      readonly path: string;
      readonly authority: string;
      readonly scheme: 'http' | 'https';
    }
  | { readonly kind: 'asterisk'; readonly path: '*' }
  | { readonly kind: 'authority'; readonly authority: string }
  | TargetProblem;

/** Why a target is refused. */
export interface TargetProblem {
  readonly kind: 'problem';
  readonly code: 'bad_target';
  readonly detail: string;
}

const SLASH = 0x2f;
const HASH = 0x23;

/**
 * Whether the target is an origin-form that needs no parsing: it is then path and query as it stands.
 *
 * One scan, no allocation. True implies that `parseRequestTarget` answers this very string as the path.
 */
export function isOrdinaryTarget(method: string, target: string): boolean {
  if (target.charCodeAt(0) !== SLASH || method === 'CONNECT') return false;
  for (let i = 1; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f || code === HASH) return false;
  }
  return true;
}

/** Parses a target of which nothing is known. `target` is the latin1 text between the request line's spaces. */
export function parseRequestTarget(method: string, target: string): RequestTarget {
  for (let i = 0; i < target.length; i++) {
    const code = target.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) {
      return problem(`byte 0x${code.toString(16).padStart(2, '0')} at ${i} of the request target`);
    }
  }
  return parsePrintableTarget(method, target);
}

/** Parses a target whose every byte the caller has already proved to be in 0x21–0x7e. */
export function parsePrintableTarget(method: string, target: string): RequestTarget {
  if (target === '') return problem('the request target is empty');
  if (method === 'CONNECT') return parseAuthorityForm(target);
  if (target === '*') {
    if (method !== 'OPTIONS') return problem(`"*" is a target of OPTIONS only, not of "${method}"`);
    return { kind: 'asterisk', path: '*' };
  }
  const hash = target.indexOf('#');
  const bare = hash === -1 ? target : target.slice(0, hash);
  return bare.charCodeAt(0) === SLASH ? { kind: 'origin', path: bare } : parseAbsoluteForm(method, bare);
}

function parseAbsoluteForm(method: string, target: string): RequestTarget {
  const prefix = target.slice(0, 8).toLowerCase();
  const scheme = prefix === 'https://' ? 'https' : prefix.startsWith('http://') ? 'http' : null;
  if (scheme === null) return problem('the request target is neither a path nor an http or https URI');
  const start = scheme.length + 3;
  let end = start;
  while (end < target.length && target.charCodeAt(end) !== SLASH && target[end] !== '?') end++;
  const authority = target.slice(start, end);
  const defect = authorityDefect(authority);
  if (defect !== null) return problem(`the authority of the request target has ${defect}`);
  const rest = target.slice(end);
  // OPTIONS of a URI without a path is about the server: its last hop says `*` (RFC 9112 §3.2.4).
  const empty = method === 'OPTIONS' && rest === '' ? '*' : `/${rest}`;
  const path = rest.charCodeAt(0) === SLASH ? rest : empty;
  return { kind: 'absolute', path, authority, scheme };
}

function parseAuthorityForm(target: string): RequestTarget {
  const defect = authorityDefect(target);
  if (defect !== null) return problem(`the target of CONNECT has ${defect}`);
  // CONNECT has no scheme and therefore no default port (RFC 9112 §3.2.3).
  if (!/:[0-9]+$/.test(target)) return problem('the target of CONNECT has no port');
  return { kind: 'authority', authority: target };
}

function problem(detail: string): TargetProblem {
  return { kind: 'problem', code: 'bad_target', detail };
}
