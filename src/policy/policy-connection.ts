/**
 * One connection as rules see it, with what is worked out of its facts once and not for every request.
 */
import { parseIp, unmapIp } from './matchers/ip-address.ts';
import type { IpAddress } from './matchers/ip-address.ts';
import type { Postings } from './lookup/postings.ts';
import type { PolicyConnectionFacts } from './policy-request.ts';

export class PolicyConnection {
  readonly facts: PolicyConnectionFacts;
  /** The direct peer; null: no IP address. */
  readonly peer: IpAddress | null;
  readonly destination: IpAddress | null;
  /** By index: which rules its identities, addresses, port and SNI could match. Dropped with the index. */
  #postings: WeakMap<object, readonly Postings[]> | null = null;

  constructor(facts: PolicyConnectionFacts) {
    this.facts = facts;
    this.peer = unmapIp(parseIp(facts.remoteIp));
    this.destination = unmapIp(parseIp(facts.destinationIp));
  }

  /** What `index` finds for this connection, looked up at the first request only. */
  postingsOf(index: {
    findForConnection(connection: PolicyConnection): readonly Postings[];
  }): readonly Postings[] {
    this.#postings ??= new WeakMap();
    const known = this.#postings.get(index);
    if (known !== undefined) return known;
    const found = index.findForConnection(this);
    this.#postings.set(index, found);
    return found;
  }
}
