/**
 * SPIFFE IDs and trust domains as values that only a strict parser makes (SPIFFE-ID §2).
 *
 * Nothing is normalised: what differs by one byte is another identity or none.
 */
import { quoteText } from './quote-text.ts';

declare const trustDomainBrand: unique symbol;

/** The name of a trust domain, `cluster.local`; only `parseTrustDomain` and `parseSpiffeId` make one. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

/** Why a text is not a SPIFFE ID or trust domain: half a sentence, with the offending part quoted. */
export interface SpiffeIdProblem {
  readonly problem: string;
}

const SCHEME = 'spiffe://';
const MAX_ID_BYTES = 2048;
const MAX_TRUST_DOMAIN_BYTES = 255;

/** Bit 1: allowed in a trust domain; bit 2: allowed in a path segment. By byte value. */
const CLASSES = new Uint8Array(128);
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789.-_') CLASSES[char.charCodeAt(0)] = 3;
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') CLASSES[char.charCodeAt(0)] = 2;

const SLASH = 0x2f;
const DOT = 0x2e;

/** One parsed SPIFFE ID: `spiffe://cluster.local/ns/foo/sa/sleep`. */
export class SpiffeId {
  readonly text: string;
  readonly trustDomain: TrustDomain;
  /** `/ns/foo/sa/sleep`, or '' for the trust domain itself. */
  readonly path: string;

  private constructor(text: string, trustDomain: TrustDomain) {
    this.text = text;
    this.trustDomain = trustDomain;
    this.path = text.slice(SCHEME.length + trustDomain.length);
  }

  /** Throws where `tryParse` answers with a problem: for programs that hold a literal. */
  static parse(text: string): SpiffeId {
    const parsed = SpiffeId.tryParse(text);
    if (parsed instanceof SpiffeId) return parsed;
    throw new TypeError(`Cannot parse SPIFFE ID ${quoteText(text)}: ${parsed.problem}`);
  }

  static tryParse(text: string): SpiffeId | SpiffeIdProblem {
    if (text.length > MAX_ID_BYTES) return { problem: `it is longer than ${MAX_ID_BYTES} bytes` };
    if (!text.startsWith(SCHEME)) return { problem: 'it does not start with "spiffe://"' };
    const slash = text.indexOf('/', SCHEME.length);
    const trustDomain = text.slice(SCHEME.length, slash === -1 ? text.length : slash);
    if (!isTrustDomain(trustDomain)) return { problem: trustDomainProblem(trustDomain) ?? '' };
    const problem = pathProblem(text, SCHEME.length + trustDomain.length);
    return problem === null ? new SpiffeId(text, trustDomain) : { problem };
  }

  /** The identity that Istio gives a service account. */
  static ofServiceAccount(trustDomain: string, namespace: string, serviceAccount: string): SpiffeId {
    return SpiffeId.parse(`${SCHEME}${trustDomain}/ns/${namespace}/sa/${serviceAccount}`);
  }

  equals(other: SpiffeId): boolean {
    return this.text === other.text;
  }

  toString(): string {
    return this.text;
  }
}

/** Parses a whole SPIFFE ID, which may be one without a path (the trust domain's own). */
export function parseSpiffeId(text: string): SpiffeId | SpiffeIdProblem {
  return SpiffeId.tryParse(text);
}

/** Parses the bare name of a trust domain, as MeshConfig writes it. */
export function parseTrustDomain(text: string): TrustDomain | SpiffeIdProblem {
  return isTrustDomain(text) ? text : { problem: trustDomainProblem(text) ?? '' };
}

/** The parts of an Istio service-account path, `/ns/NS/sa/SA` exactly; null for any other path. */
export function serviceAccountOf(path: string): { namespace: string; serviceAccount: string } | null {
  if (!path.startsWith('/ns/')) return null;
  const namespaceEnd = path.indexOf('/', 4);
  if (namespaceEnd === -1 || !path.startsWith('/sa/', namespaceEnd)) return null;
  const serviceAccount = path.slice(namespaceEnd + 4);
  if (serviceAccount.includes('/')) return null;
  return { namespace: path.slice(4, namespaceEnd), serviceAccount };
}

function isTrustDomain(text: string): text is TrustDomain {
  return trustDomainProblem(text) === null;
}

function trustDomainProblem(text: string): string | null {
  if (text.length === 0) return 'the trust domain is empty';
  if (text.length > MAX_TRUST_DOMAIN_BYTES)
    return `the trust domain is longer than ${MAX_TRUST_DOMAIN_BYTES} bytes`;
  for (let i = 0; i < text.length; i++) {
    // Codes past 127 read undefined, and undefined & 1 is 0.
    if ((CLASSES[text.charCodeAt(i)]! & 1) === 0)
      return `the trust domain has ${quoteText(text.charAt(i))}, allowed are a-z 0-9 . - _`;
  }
  return null;
}

function pathProblem(text: string, start: number): string | null {
  let segmentStart = start + 1;
  for (let i = start + 1; i <= text.length; i++) {
    const code = i === text.length ? SLASH : text.charCodeAt(i);
    if (code !== SLASH) {
      if ((CLASSES[code]! & 2) === 0)
        return `the path has ${quoteText(text.charAt(i))}, allowed are a-z A-Z 0-9 . - _`;
      continue;
    }
    const length = i - segmentStart;
    if (length === 0)
      return i === text.length ? 'the path ends with a slash' : 'the path has an empty segment';
    if (length <= 2 && text.charCodeAt(segmentStart) === DOT && text.charCodeAt(i - 1) === DOT)
      return `the path has the segment "${text.slice(segmentStart, i)}"`;
    segmentStart = i + 1;
  }
  return null;
}
