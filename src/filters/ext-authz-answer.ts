/** What an authorization provider answered, whatever the protocol, before it is checked and applied. */

/** `append-to` joins the values with a comma and does nothing where the field is absent; `add` writes one more. */
export type HeaderAction = 'add' | 'append-to' | 'add-if-absent' | 'set' | 'set-if-exists';

export interface HeaderChange {
  /** As the provider wrote it. */
  readonly name: string;
  /** Its bytes, each a character. */
  readonly value: string;
  readonly action: HeaderAction;
}

export interface AllowAnswer {
  readonly kind: 'allow';
  readonly requestHeaders: readonly HeaderChange[];
  readonly headersToRemove: readonly string[];
  readonly responseHeaders: readonly HeaderChange[];
  readonly queryToSet: readonly { readonly key: string; readonly value: string }[];
  readonly queryToRemove: readonly string[];
}

export interface DenyAnswer {
  readonly kind: 'deny';
  readonly status: number;
  readonly headers: readonly HeaderChange[];
  readonly body: Buffer;
}

/** It could not be asked, or answered with no decision. */
export interface ErrorAnswer {
  readonly kind: 'error';
  readonly why: string;
  /** What the provider wants the client to see in place of statusOnError; null: nothing. */
  readonly response: DenyAnswer | null;
}

/** Whoever was to be judged is gone; nothing is counted. */
export interface GoneAnswer {
  readonly kind: 'gone';
}

export type CheckAnswer = AllowAnswer | DenyAnswer | ErrorAnswer | GoneAnswer;

export const NOTHING_CHANGES: AllowAnswer = {
  kind: 'allow',
  requestHeaders: [],
  headersToRemove: [],
  responseHeaders: [],
  queryToSet: [],
  queryToRemove: [],
};

export function errorAnswer(why: string): ErrorAnswer {
  return { kind: 'error', why, response: null };
}

/** Bytes of one answer: what a provider can make this proxy hold for one check. */
export const MAX_ANSWER_BYTES = 4_194_304;

/** The body of the request as the provider is shown it. */
export interface CheckedBody {
  readonly bytes: Buffer;
  /** There is more of it than the provider takes. */
  readonly partial: boolean;
}

/** Tells whether the provider saw all of the body; the client's own is dropped with all `x-envoy-*`. */
export const PARTIAL_BODY_HEADER = 'x-envoy-auth-partial-body';

/** Ends a check; nothing is called after it. */
export type CancelCheck = () => void;
