/**
 * All rules of one action, found by an index and named by the smallest key that matches, as Envoy's sorted map does.
 */
import type { PolicyAction, PolicyScope } from '../core/authorization-plan.ts';
import type { CompiledRule } from './compiled-rule.ts';
import type { MatchedRule, PolicyTrace, RuleSet } from './decision.ts';
import type { Postings, PostingsSink } from './lookup/postings.ts';
import { RuleIndex } from './lookup/rule-index.ts';
import type { PolicyConnection } from './policy-connection.ts';
import type { PolicyRequest } from './policy-request.ts';
import { RequestView } from './request-view.ts';

/** A policy with its rules in the order of `spec.rules`. */
export interface CompiledPolicy {
  /** `ns[foo]-policy[allow-get]` */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly scope: PolicyScope;
  readonly rules: readonly CompiledRule[];
}

export class CompiledRuleSet implements RuleSet, PostingsSink {
  readonly action: PolicyAction;
  readonly size: number;
  readonly #policies: readonly CompiledPolicy[];
  /** By rank: rules that can match, in the order of their keys. */
  readonly #rules: readonly CompiledRule[];
  readonly #index: RuleIndex;
  /** Used by one decision at a time: nothing here waits. */
  readonly #view = new RequestView();
  /** The lowest rank that matched so far. */
  #lowest = 0;

  constructor(action: PolicyAction, policies: readonly CompiledPolicy[]) {
    this.action = action;
    this.#policies = policies.toSorted((one, other) => compareKeys(one.key, other.key));
    this.#rules = policies
      .flatMap((policy) => policy.rules)
      .filter((rule) => !rule.dropped)
      .toSorted((one, other) => compareKeys(one.matched.key, other.matched.key));
    this.size = this.#rules.length;
    this.#index = new RuleIndex(this.#rules);
  }

  match(connection: PolicyConnection, request: PolicyRequest | null): MatchedRule | null {
    if (this.size === 0) return null;
    const view = this.#view;
    view.begin(connection, request);
    try {
      this.#lowest = this.size;
      for (const postings of connection.postingsOf(this.#index)) this.consider(postings);
      this.#index.findForRequest(view, this);
      return this.#rules[this.#lowest]?.matched ?? null;
    } finally {
      view.end();
    }
  }

  explain(
    connection: PolicyConnection,
    request: PolicyRequest | null,
    only?: MatchedRule,
  ): readonly PolicyTrace[] {
    const view = new RequestView();
    view.begin(connection, request);
    const policies =
      only === undefined
        ? this.#policies
        : this.#policies.filter(({ name, namespace }) => name === only.name && namespace === only.namespace);
    return policies.map(({ key, namespace, name, scope, rules }) => ({
      key,
      namespace,
      name,
      scope,
      rules: rules.map((rule) => rule.explain(view)),
    }));
  }

  /** Of the index: rules that could match, ascending. */
  consider(postings: Postings): void {
    for (const rank of postings) {
      if (rank >= this.#lowest) return;
      if (this.#rules[rank]?.matches(this.#view) === true) {
        this.#lowest = rank;
        return;
      }
    }
  }
}

/** By code units, which for names of resources is by bytes; `rule[10]` comes before `rule[2]`. */
function compareKeys(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
