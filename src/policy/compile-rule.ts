/**
 * One rule of a policy, compiled for HTTP or for TCP (Istio's authz/model/model.go).
 */
import type {
  PolicyCondition,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from '../core/authorization-plan.ts';
import { Clause, UnusableClause } from './clause.ts';
import { HTTP_ONLY, compileField } from './compile-field.ts';
import type { FieldContext, FieldKind, StatedField } from './compile-field.ts';
import type { Conjunction, RuleParts } from './compiled-rule.ts';
import { parseConditionKey } from './condition-key.ts';

type Row<Part> = readonly [name: keyof Part & string, kind: FieldKind, negated: boolean];

const SOURCE_FIELDS: readonly Row<PolicySource>[] = [
  ['principals', 'principals', false],
  ['notPrincipals', 'principals', true],
  ['requestPrincipals', 'requestPrincipals', false],
  ['notRequestPrincipals', 'requestPrincipals', true],
  ['serviceAccounts', 'serviceAccounts', false],
  ['notServiceAccounts', 'serviceAccounts', true],
  ['trustDomains', 'trustDomains', false],
  ['notTrustDomains', 'trustDomains', true],
  ['namespaces', 'namespaces', false],
  ['notNamespaces', 'namespaces', true],
  ['remoteIpBlocks', 'remoteIpBlocks', false],
  ['notRemoteIpBlocks', 'remoteIpBlocks', true],
  ['ipBlocks', 'ipBlocks', false],
  ['notIpBlocks', 'ipBlocks', true],
];

const OPERATION_FIELDS: readonly Row<PolicyOperation>[] = [
  ['hosts', 'hosts', false],
  ['notHosts', 'hosts', true],
  ['methods', 'methods', false],
  ['notMethods', 'methods', true],
  ['paths', 'paths', false],
  ['notPaths', 'paths', true],
  ['ports', 'ports', false],
  ['notPorts', 'ports', true],
];

/** Whether a rule has a field of HTTP's, so that it means something else on a TCP chain. */
export function hasHttpField(rule: PolicyRule): boolean {
  return (
    rule.from.some((source) => hasHttpRow(source, SOURCE_FIELDS)) ||
    rule.to.some((operation) => hasHttpRow(operation, OPERATION_FIELDS)) ||
    rule.when.some(({ key }) => HTTP_ONLY.has(parseConditionKey(key)?.kind ?? 'header'))
  );
}

function hasHttpRow<Part extends Readonly<Record<keyof Part, readonly string[]>>>(
  part: Part,
  rows: readonly Row<Part>[],
): boolean {
  return rows.some(([name, kind]) => HTTP_ONLY.has(kind) && part[name].length > 0);
}

export function compileRule(rule: PolicyRule, context: FieldContext): RuleParts {
  const compiler = new RuleCompiler(context);
  const from = rule.from.map((source, index) =>
    compiler.part(source, SOURCE_FIELDS, `from[${index}].source`),
  );
  const to = rule.to.map((operation, index) =>
    compiler.part(operation, OPERATION_FIELDS, `to[${index}].operation`),
  );
  const when = rule.when.flatMap((condition, index) => compiler.condition(condition, `when[${index}]`));
  return { from, to, when, stated: compiler.stated, dropped: compiler.dropped };
}

class RuleCompiler {
  readonly stated: (Clause | UnusableClause)[] = [];
  dropped = false;
  readonly #context: FieldContext;

  constructor(context: FieldContext) {
    this.#context = context;
  }

  part<Part extends Readonly<Record<keyof Part, readonly string[]>>>(
    part: Part,
    rows: readonly Row<Part>[],
    prefix: string,
  ): Conjunction {
    const clauses: Clause[] = [];
    for (const [name, kind, negated] of rows) {
      const values: readonly string[] = part[name];
      if (values.length === 0) continue;
      clauses.push(...this.#compile(`${prefix}.${name}`, { kind, path: [], values, negated }));
    }
    return clauses;
  }

  condition(condition: PolicyCondition, prefix: string): Conjunction {
    const key = parseConditionKey(condition.key);
    const clauses: Clause[] = [];
    for (const negated of [false, true]) {
      const values = negated ? condition.notValues : condition.values;
      if (values.length === 0) continue;
      const name = `${prefix}.${condition.key}${negated ? '.notValues' : ''}`;
      if (key === null) this.#setUnusable(name, values);
      else clauses.push(...this.#compile(name, { ...key, values, negated }));
    }
    return clauses;
  }

  #compile(name: string, stated: StatedField): Clause[] {
    const { field, isWhole } = compileField(stated, this.#context);
    if (field === null) {
      this.#setUnusable(name, stated.values);
      return [];
    }
    // An ALLOW rule of which any value is bad is dropped, as a whole.
    if (!isWhole && this.#context.action === 'ALLOW') this.dropped = true;
    const clause = new Clause(name, stated.values, stated.negated, field);
    this.stated.push(clause);
    return [clause];
  }

  #setUnusable(name: string, values: readonly string[]): void {
    const passedOver = this.#context.action !== 'ALLOW';
    if (!passedOver) this.dropped = true;
    this.stated.push(new UnusableClause(name, values, passedOver));
  }
}
