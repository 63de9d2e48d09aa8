/**
 * One field of a rule as it is evaluated: its values, plain or negated. A `not` field holds where none of its values
 * matches, which is always so where there is nothing to match.
 */
import type { FieldTrace } from './decision.ts';
import type { Field } from './fields/field.ts';
import type { RequestView } from './request-view.ts';

export class Clause {
  /** `from[0].source.principals` */
  readonly name: string;
  readonly wanted: readonly string[];
  readonly negated: boolean;
  readonly field: Field;

  constructor(name: string, wanted: readonly string[], negated: boolean, field: Field) {
    this.name = name;
    this.wanted = wanted;
    this.negated = negated;
    this.field = field;
  }

  holds(view: RequestView): boolean {
    return this.field.hit(view) !== this.negated;
  }

  trace(view: RequestView): FieldTrace {
    return {
      field: this.name,
      wanted: this.wanted,
      got: this.field.got(view),
      matched: this.holds(view),
    };
  }
}

/**
 * A field that cannot be evaluated here: HTTP's on a TCP chain, or values that nothing can be made of. The rule of an
 * ALLOW policy then never matches; in other policies the field is passed over (Istio's model.go checkError).
 */
export class UnusableClause {
  readonly name: string;
  readonly wanted: readonly string[];
  readonly passedOver: boolean;

  constructor(name: string, wanted: readonly string[], passedOver: boolean) {
    this.name = name;
    this.wanted = wanted;
    this.passedOver = passedOver;
  }

  trace(): FieldTrace {
    return { field: this.name, wanted: this.wanted, got: [], matched: this.passedOver };
  }
}
