/**
 * One field of a rule with its values compiled: whether a request has any of them, what it has, and by which keys of
 * the index it is found. Negation is not known here (`clause.ts`).
 */
import type { IpBlock } from '../matchers/ip-block.ts';
import type { TextKey } from '../matchers/text-matcher.ts';
import type { RequestView } from '../request-view.ts';

export interface Field {
  /** Any value matches. */
  hit(view: RequestView): boolean;
  /** What the request has, for explanations. */
  got(view: RequestView): readonly string[];
  /** The field can hit only where at least one of these does. */
  readonly keys: readonly IndexKey[];
}

/** What of a connection or a request is looked up. */
export type TextSubject =
  | 'identity'
  /** What follows a `/ns/` of an identity. */
  | 'namespace'
  /** `ns/sa` of an identity. */
  | 'account'
  | 'sni'
  | 'port'
  | 'path'
  | 'host'
  | 'method'
  /** Issuer, slash, subject. */
  | 'requestPrincipal';

export type BlockSubject = 'peer' | 'client' | 'destination';

export type IndexKey =
  | { readonly by: 'text'; readonly subject: TextSubject; readonly key: TextKey }
  | { readonly by: 'header'; readonly name: string; readonly key: TextKey }
  | { readonly by: 'claim'; readonly path: readonly string[]; readonly key: TextKey }
  | { readonly by: 'block'; readonly subject: BlockSubject; readonly block: IpBlock };

export function textKeys(subject: TextSubject, keys: readonly TextKey[]): IndexKey[] {
  return keys.map((key) => ({ by: 'text', subject, key }));
}
