/**
 * One rule: any of its sources, any of its operations, all of its conditions. `match` and `explain` both ask these
 * clauses and nothing else.
 */
import type { Clause, UnusableClause } from './clause.ts';
import type { MatchedRule, RuleTrace } from './decision.ts';
import type { IndexKey } from './fields/field.ts';
import type { RequestView } from './request-view.ts';

/** Clauses that must all hold. */
export type Conjunction = readonly Clause[];

export interface RuleParts {
  /** Empty: any source. */
  readonly from: readonly Conjunction[];
  /** Empty: any operation. */
  readonly to: readonly Conjunction[];
  readonly when: Conjunction;
  /** Every field in the order of the policy. */
  readonly stated: readonly (Clause | UnusableClause)[];
  /** It has a field without which it must not match: it never does. */
  readonly dropped: boolean;
}

export class CompiledRule {
  /** What a decision names; one object for all decisions. */
  readonly matched: MatchedRule;
  readonly dropped: boolean;
  readonly #from: readonly Conjunction[];
  readonly #to: readonly Conjunction[];
  readonly #when: Conjunction;
  readonly #stated: RuleParts['stated'];

  constructor(matched: MatchedRule, parts: RuleParts) {
    this.matched = matched;
    this.dropped = parts.dropped;
    this.#from = parts.from;
    this.#to = parts.to;
    this.#when = parts.when;
    this.#stated = parts.stated;
  }

  matches(view: RequestView): boolean {
    return holdAll(this.#when, view) && holdAny(this.#to, view) && holdAny(this.#from, view);
  }

  explain(view: RequestView): RuleTrace {
    return {
      index: this.matched.rule,
      matched: !this.dropped && this.matches(view),
      fields: this.#stated.map((clause) => clause.trace(view)),
    };
  }

  /**
   * Ways to find this rule by an index: the rule can match only where each of these lists has a key that is hit. None:
   * it has to be looked at every time.
   */
  covers(): readonly (readonly IndexKey[])[] {
    const single = this.#when.filter((clause) => !clause.negated).map((clause) => clause.field.keys);
    return [...single, ...coversOf(this.#from), ...coversOf(this.#to)];
  }
}

function holdAll(clauses: Conjunction, view: RequestView): boolean {
  for (const clause of clauses) {
    if (!clause.holds(view)) return false;
  }
  return true;
}

function holdAny(alternatives: readonly Conjunction[], view: RequestView): boolean {
  if (alternatives.length === 0) return true;
  for (const clauses of alternatives) {
    if (holdAll(clauses, view)) return true;
  }
  return false;
}

/**
 * One alternative: each of its fields. Several: the same place of each, so that an index may choose the path of all
 * of them; where one has no field to be found by, there is no cover.
 */
function coversOf(alternatives: readonly Conjunction[]): (readonly IndexKey[])[] {
  const choices = alternatives.map((clauses) =>
    clauses.filter((clause) => !clause.negated).map((clause) => clause.field.keys),
  );
  const fewest = Math.min(...choices.map((choice) => choice.length));
  if (choices.length === 0 || fewest === 0) return [];
  if (choices.length === 1) return choices[0] ?? [];
  const covers: IndexKey[][] = [];
  for (let i = 0; i < fewest; i++) {
    covers.push(choices.flatMap((choice) => choice[i] ?? []));
  }
  return covers;
}
