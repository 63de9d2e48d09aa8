/**
 * The steps of an identity by which rules are found: `/ns/NAMESPACE/…` and `/ns/NAMESPACE/…/sa/ACCOUNT`. An identity
 * with several such steps is looked up by each.
 */
import type { PostingsSink } from './postings.ts';
import type { TextLookup } from './text-lookup.ts';

const NAMESPACE_STEP = '/ns/';
const ACCOUNT_STEP = '/sa/';

/** Rules on namespaces, by what follows each `/ns/`. */
export function findNamespaces(lookup: TextLookup | undefined, identity: string, sink: PostingsSink): void {
  if (lookup === undefined) return;
  let at = identity.indexOf(NAMESPACE_STEP);
  while (at !== -1) {
    lookup.findPrefixes(identity, at + NAMESPACE_STEP.length, sink);
    at = identity.indexOf(NAMESPACE_STEP, at + 1);
  }
}

/** Rules on service accounts, by each `ns/sa`. */
export function findAccounts(lookup: TextLookup | undefined, identity: string, sink: PostingsSink): void {
  if (lookup === undefined) return;
  let at = identity.indexOf(NAMESPACE_STEP);
  while (at !== -1) {
    const namespace = stepText(identity, at + NAMESPACE_STEP.length);
    let accountAt = identity.indexOf(ACCOUNT_STEP, at + NAMESPACE_STEP.length);
    while (accountAt !== -1) {
      lookup.findWhole(`${namespace}/${stepText(identity, accountAt + ACCOUNT_STEP.length)}`, sink);
      accountAt = identity.indexOf(ACCOUNT_STEP, accountAt + 1);
    }
    at = identity.indexOf(NAMESPACE_STEP, at + 1);
  }
}

/** Up to the next slash. */
function stepText(identity: string, from: number): string {
  const end = identity.indexOf('/', from);
  return end === -1 ? identity.slice(from) : identity.slice(from, end);
}
