/**
 * `trustDomains` and `source.trustDomain`: the part of a SPIFFE ID before its path, whole or with one star at its
 * beginning or end. `*` is any SPIFFE ID.
 */
import { PrefixText } from './text-matcher.ts';
import type { TextKey, TextMatcher } from './text-matcher.ts';

const SCHEME = 'spiffe://';

export function trustDomainMatcher(value: string): TextMatcher {
  if (value === '*') return new PrefixText(SCHEME);
  if (value.startsWith('*')) return new TrustDomainPattern('', value.slice(1));
  if (value.endsWith('*')) return new TrustDomainPattern(value.slice(0, -1), '');
  return new PrefixText(`${SCHEME}${value}/`);
}

/** `spiffe://<head>[^/]*<tail>/.*` */
class TrustDomainPattern implements TextMatcher {
  readonly key: TextKey;
  readonly #head: string;
  readonly #tail: string;

  constructor(head: string, tail: string) {
    this.key = { kind: 'prefix', text: SCHEME + head };
    this.#head = head;
    this.#tail = tail;
  }

  matches(identity: string): boolean {
    if (!identity.startsWith(SCHEME)) return false;
    const slash = identity.indexOf('/', SCHEME.length);
    return (
      slash - SCHEME.length >= this.#head.length + this.#tail.length &&
      identity.startsWith(this.#head, SCHEME.length) &&
      identity.startsWith(this.#tail, slash - this.#tail.length) &&
      !identity.includes('\n', slash)
    );
  }
}
