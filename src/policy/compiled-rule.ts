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
  /** Conditions, and source and operation where there is but one: in one list, since rules are met cold. */
  readonly #all: Conjunction;
  /** Sources or operations where there are several. */
  readonly #either: readonly (readonly Conjunction[])[];
  readonly #stated: RuleParts['stated'];

  constructor(matched: MatchedRule, parts: RuleParts) {
    const { from, to, when, stated, dropped } = parts;
    this.matched = matched;
    this.dropped = dropped;
    this.#all = [...when, ...onlyOf(to), ...onlyOf(from)];
    this.#either = from.length < 2 && to.length < 2 ? NONE : [to, from].filter(({ length }) => length > 1);
    this.#stated = stated;
  }

  matches(view: RequestView): boolean {
    if (!holdAll(this.#all, view)) return false;
    for (const alternatives of this.#either) {
      if (!holdAny(alternatives, view)) return false;
    }
    return true;
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
    return [...keysOf(this.#all), ...this.#either.flatMap(coversOf)];
  }
}

const NONE: readonly never[] = [];

function onlyOf(alternatives: readonly Conjunction[]): Conjunction {
  return alternatives.length === 1 ? (alternatives[0] ?? NONE) : NONE;
}

function holdAll(clauses: Conjunction, view: RequestView): boolean {
  for (const clause of clauses) {
    if (!clause.holds(view)) return false;
  }
  return true;
}

function holdAny(alternatives: readonly Conjunction[], view: RequestView): boolean {
  for (const clauses of alternatives) {
    if (holdAll(clauses, view)) return true;
  }
  return false;
}

/** What each field that is not negated is found by. */
function keysOf(clauses: Conjunction): (readonly IndexKey[])[] {
  return clauses.filter((clause) => !clause.negated).map((clause) => clause.field.keys);
}

/**
 * The first field of each alternative, the second of each and so on, so that an index may choose the paths of all of
 * them; where one has no field to be found by, there is no cover.
 */
function coversOf(alternatives: readonly Conjunction[]): (readonly IndexKey[])[] {
  const choices = alternatives.map(keysOf);
  // No spread: a rule may have more alternatives than a call takes arguments.
  let fewest = Infinity;
  for (const choice of choices) fewest = Math.min(fewest, choice.length);
  return Array.from({ length: fewest }, (_, place) => choices.flatMap((choice) => choice[place] ?? []));
}
