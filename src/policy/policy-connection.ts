/**
 * One connection as rules see it, with what is worked out of its facts once and not for every request.
 */
import type { PolicyConnectionFacts } from './policy-request.ts';

export class PolicyConnection {
  readonly facts: PolicyConnectionFacts;

  constructor(facts: PolicyConnectionFacts) {
    this.facts = facts;
  }
}
