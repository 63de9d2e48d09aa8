/**
 * `x-forwarded-client-cert` as Istio's inbound listeners set it (APPEND_FORWARD with subject, URI and DNS):
 * what the peer forwards, then one element about the peer itself. The last element is always ours.
 *
 * On plaintext the field is removed: its presence proves mTLS. An incoming value that does not parse is
 * dropped, for an open quote in it would swallow our element.
 */
import type { PeerIdentity } from '../core/peer-identity.ts';
import { getFieldValues, removeField, setField } from '../http/fields.ts';
import { CONTINUE } from '../http/filter.ts';
import type { Filter, RequestContext, Verdict } from '../http/filter.ts';

const NAME = 'x-forwarded-client-cert';

export class XfccFilter implements Filter {
  readonly name = 'xfcc';
  readonly #ownSpiffeId: () => string;
  /** Elements by peer: a connection's peer never changes. */
  readonly #elements = new WeakMap<PeerIdentity, string>();

  /** `ownSpiffeId` is asked once a connection. */
  constructor(ownSpiffeId: () => string) {
    this.#ownSpiffeId = ownSpiffeId;
  }

  onRequest(request: RequestContext): Verdict {
    const { fields } = request.head;
    const { peer } = request.connection;
    if (peer === null) {
      removeField(fields, NAME);
      return CONTINUE;
    }
    let element = this.#elements.get(peer);
    if (element === undefined) {
      element = xfccElement(this.#ownSpiffeId(), peer);
      this.#elements.set(peer, element);
    }
    const received = getFieldValues(fields, NAME);
    if (received.length === 0) {
      fields.push(NAME, element);
      return CONTINUE;
    }
    const kept = received.filter(isXfcc);
    setField(fields, NAME, [...kept, element].join(','));
    return CONTINUE;
  }
}

/** Our element. SPIFFE IDs and DNS names have no character that needs quotes: others are refused at the handshake. */
export function xfccElement(ownSpiffeId: string, peer: PeerIdentity): string {
  let element = `By=${ownSpiffeId};Hash=${peer.hash};Subject="${quoted(peer.subject)}";URI=${peer.spiffeId}`;
  for (const name of peer.dnsNames) element += `;DNS=${name}`;
  return element;
}

/** Inside double quotes: `"` and `\` escaped, anything that no field value may have replaced. */
function quoted(text: string): string {
  let out = '';
  for (const char of text) {
    if (char === '"' || char === '\\') out += `\\${char}`;
    else out += char >= ' ' && char <= '~' ? char : '?';
  }
  return out;
}

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const SEMICOLON = 59;
const EQUALS = 61;

/** Whether a value is a list of `key=value;…` elements with every quote closed. One pass. */
export function isXfcc(value: string): boolean {
  let at = 0;
  for (;;) {
    const keyStart = at;
    while (at < value.length && isKeyChar(value.charCodeAt(at))) at++;
    if (at === keyStart || value.charCodeAt(at) !== EQUALS) return false;
    at++;
    if (value.charCodeAt(at) === QUOTE) {
      at = endOfQuoted(value, at + 1);
      if (at === -1) return false;
    } else {
      while (at < value.length && value.charCodeAt(at) !== COMMA && value.charCodeAt(at) !== SEMICOLON) {
        if (value.charCodeAt(at) === QUOTE) return false;
        at++;
      }
    }
    if (at === value.length) return true;
    const separator = value.charCodeAt(at);
    if (separator !== COMMA && separator !== SEMICOLON) return false;
    at++;
    if (separator === COMMA) while (value.charCodeAt(at) === 32) at++;
  }
}

/** The offset after the closing quote, -1 if there is none. */
function endOfQuoted(value: string, from: number): number {
  for (let at = from; at < value.length; at++) {
    const code = value.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return -1;
}

function isKeyChar(code: number): boolean {
  return (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}
