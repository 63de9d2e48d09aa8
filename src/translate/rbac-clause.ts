/**
 * One field of a rule: values that are alternatives, and values that must not match, as RBAC permissions or principals.
 */
import type { EnvoyMessage } from './envoy-message.ts';

/** The two languages of Envoy's RBAC, which have the same words under different names. */
export interface RbacTerms {
  readonly any: EnvoyMessage;
  and(parts: readonly EnvoyMessage[]): EnvoyMessage;
  or(parts: readonly EnvoyMessage[]): EnvoyMessage;
  not(part: EnvoyMessage): EnvoyMessage;
}

export const PERMISSIONS: RbacTerms = {
  any: { any: true },
  and: (rules) => ({ andRules: { rules } }),
  or: (rules) => ({ orRules: { rules } }),
  not: (notRule) => ({ notRule }),
};

export const PRINCIPALS: RbacTerms = {
  any: { any: true },
  and: (ids) => ({ andIds: { ids } }),
  or: (ids) => ({ orIds: { ids } }),
  not: (notId) => ({ notId }),
};

export interface RbacClause {
  readonly values: readonly string[];
  readonly notValues: readonly string[];
  /** Alternatives as one message each; null: the value cannot be written. A field of HTTP cannot on TCP. */
  readonly each: (values: readonly string[]) => readonly (EnvoyMessage | null)[];
}

/**
 * What all clauses together ask for; null: the rule is to be left out.
 *
 * ALLOW leaves out the whole rule for one value that cannot be written, which allows less; the other actions leave out
 * that value, which makes the rule match more.
 */
export function conjunction(
  terms: RbacTerms,
  clauses: readonly RbacClause[],
  isAllow: boolean,
): EnvoyMessage | null {
  const parts: EnvoyMessage[] = [];
  for (const { each, notValues, values } of clauses) {
    const wanted = each(values);
    const unwanted = each(notValues);
    if (isAllow && [...wanted, ...unwanted].includes(null)) return null;
    const hits = wanted.filter((part) => part !== null);
    const misses = unwanted.filter((part) => part !== null);
    if (hits.length > 0) parts.push(terms.or(hits));
    if (misses.length > 0) parts.push(terms.not(terms.or(misses)));
  }
  return terms.and(parts.length === 0 ? [terms.any] : parts);
}
