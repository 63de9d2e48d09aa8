/**
 * The filter interface: what stands between the codec and the upstream.
 *
 * A filter answers in the same turn, or with a promise that only then is awaited. A throw or a rejection
 * denies (500, `filter_failed`). Filters of one chain run in the order of the chain, responses in reverse.
 */
import type { Address } from '../core/address.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { VerifiedToken } from '../core/jwt-plan.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';
import type { RequestHead, ResponseHead } from './exchange.ts';

/** Go on to the next filter. */
export const CONTINUE: Continue = { kind: 'continue' };

export interface Continue {
  readonly kind: 'continue';
}

/** A refusal: the client sees status, body and headers; the log gets all of it. */
export interface Deny {
  readonly kind: 'deny';
  readonly code: ErrorCodeName;
  readonly status: number;
  /** '' for none; without a content-type among the headers it is plain text. */
  readonly body: string | Buffer;
  /** Added to the answer. */
  readonly headers: readonly string[];
  /** RESPONSE_CODE_DETAILS of the access log, e.g. `rbac_access_denied_matched_policy[none]`. */
  readonly details: string;
  /** Log only: the policy and rule, what was wanted and what was got. */
  readonly why: string;
}

export type Verdict = Continue | Deny;

/** What is known of a connection after its chain was chosen and its handshake is over. */
export interface ConnectionFacts {
  readonly id: number;
  readonly direction: 'inbound' | 'outbound';
  readonly protocol: 'http' | 'tcp';
  /** The destination as the client meant it: the workload's address and port. */
  readonly destination: Address;
  readonly remote: Address;
  readonly sni: string;
  /** The ALPN answer; '' for none. */
  readonly alpn: string;
  readonly tls: boolean;
  readonly tlsVersion: string;
  /** null: plaintext, or TLS that this proxy does not terminate. */
  readonly peer: PeerIdentity | null;
}

/** What a filter that answers with a promise can hear of while it is awaited. */
export interface FilterWait {
  /** Of the filter at work, who clears it with the answer: whoever asked is gone, and nobody waits any more. */
  whenGone?: (() => void) | null;
}

/** One request on its way through the filters. */
export interface RequestContext extends FilterWait {
  readonly connection: ConnectionFacts;
  readonly head: RequestHead;
  /** The path with query as received, before normalisation. */
  readonly originalPath: string;
  readonly requestId: string;
  /** Set by the JWT filter alone: the token that was verified; null where none came. */
  token: VerifiedToken | null;
  /**
   * Holds the body up to `maxBytes` and still forwards it whole afterwards. `truncated`: there is more than
   * that. Only a filter that calls this makes the proxy hold a body.
   */
  readBody(maxBytes: number): Promise<{ readonly bytes: Buffer; readonly truncated: boolean }>;
}

export interface Filter {
  /** Stable and unique within a chain; it is named in logs when the filter fails. */
  readonly name: string;
  /** Which connections it is for; absent: inbound ones, where the app is to be guarded. */
  readonly direction?: 'inbound' | 'outbound' | 'both';
  /** TCP chains: after the handshake, before the upstream is dialled. */
  onConnection?(connection: ConnectionFacts, wait: FilterWait): Verdict | Promise<Verdict>;
  onRequest?(request: RequestContext): Verdict | Promise<Verdict>;
  /** May change the head of the answer, our own denials included. */
  onResponse?(request: RequestContext, head: ResponseHead): void;
}
