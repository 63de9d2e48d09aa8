/**
 * Policy sets by fast-check: rules of every kind, scopes, actions, dry run, empty forms, trust domains, token rules.
 * Only what passes validation.
 */
import * as fc from 'fast-check';
import * as words from './policy-alphabet.ts';
import { CUSTOM_RULE, FOCUSED_RULES, rule } from './policy-rule-generator.ts';
import type { Condition, Policy, PolicySet, Rule, TokenRule } from './policy-set.ts';

const rules: fc.Arbitrary<readonly Rule[] | undefined> = fc.oneof(
  { weight: 16, arbitrary: fc.array(rule, { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.array(rule, { minLength: 11, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constant([{}]) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    namespace: fc.oneof(
      { weight: 20, arbitrary: fc.constant('foo') },
      { weight: 5, arbitrary: fc.constant('istio-system') },
      { weight: 1, arbitrary: fc.constant('bar') },
    ),
    name: fc.constantFrom(...words.POLICY_NAMES),
    action: fc.oneof(
      { weight: 14, arbitrary: fc.constant('ALLOW' as const) },
      { weight: 9, arbitrary: fc.constant('DENY' as const) },
      { weight: 1, arbitrary: fc.constant('AUDIT' as const) },
    ),
    dryRun: fc.integer({ min: 0, max: 19 }).map((n) => n === 0),
    selector: fc.oneof(
      { weight: 16, arbitrary: fc.constant(null) },
      { weight: 4, arbitrary: fc.constant({ app: 'httpbin' }) },
      { weight: 1, arbitrary: fc.constant({ app: 'httpbin', version: 'v1' }) },
      { weight: 1, arbitrary: fc.constant({ app: 'other' }) },
    ),
    rules,
  })
  .map(valid);

/** DENY needs a rule; a key that nothing sets is an error where it would let more through. */
function valid(made: Policy): Policy {
  const empty = made.action === 'DENY' && made.rules === undefined;
  const strictRules = made.rules?.map((one) =>
    one.when === undefined ? one : { ...one, when: one.when.map((each) => strict(each, made.action)) },
  );
  return { ...made, rules: empty ? [{}] : strictRules };
}

function strict(one: Condition, action: Policy['action']): Condition {
  if (!one.key.startsWith('experimental.')) return one;
  return action === 'ALLOW'
    ? { key: one.key, values: one.values ?? ['v'] }
    : { key: one.key, notValues: one.notValues ?? ['v'] };
}

const customPolicy: fc.Arbitrary<Policy> = fc.record({
  namespace: fc.constant('foo'),
  name: fc.constantFrom('c', 'b'),
  action: fc.constant('CUSTOM' as const),
  provider: fc.constantFrom('permit', 'refuse'),
  dryRun: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  selector: fc.constant(null),
  rules: fc.array(CUSTOM_RULE, { minLength: 1, maxLength: 2 }),
});

const others: fc.Arbitrary<readonly Policy[]> = fc.oneof(
  { weight: 1, arbitrary: fc.array(customPolicy, { minLength: 1, maxLength: 2 }) },
  { weight: 6, arbitrary: fc.constant([]) },
  { weight: 4, arbitrary: fc.tuple(anyPolicy) },
  { weight: 1, arbitrary: fc.array(anyPolicy, { minLength: 2, maxLength: 4 }) },
);

/** One policy whose first rule is of that kind, often alone, and others. */
function policiesWith(first: fc.Arbitrary<Rule>, action: 'ALLOW' | 'DENY'): fc.Arbitrary<readonly Policy[]> {
  const more = fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 2, arbitrary: fc.tuple(rule) },
    { weight: 1, arbitrary: fc.array(rule, { minLength: 10, maxLength: 11 }) },
  );
  const made = fc
    .tuple(first, more, fc.constantFrom(...words.POLICY_NAMES))
    .map(([one, list, name]) => focused(name, action, [one].concat(list)));
  return fc.tuple(made, others).map(([policy, list]) => withoutDoubles([policy].concat(list)));
}

function focused(name: string, action: Policy['action'], stated: readonly Rule[]): Policy {
  return valid({ namespace: 'foo', name, action, dryRun: false, selector: null, rules: stated });
}

const POLICIES: readonly fc.Arbitrary<readonly Policy[]>[] = FOCUSED_RULES.flatMap((first) => [
  policiesWith(first, 'ALLOW'),
  policiesWith(first, 'DENY'),
]).concat(
  Array.from({ length: 20 }, () =>
    fc.tuple(anyPolicy, others).map(([policy, list]) => withoutDoubles([policy].concat(list))),
  ),
);

function withoutDoubles(list: readonly Policy[]): readonly Policy[] {
  return [...new Map(list.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
}

const usesTokens = (list: readonly Policy[]): boolean =>
  /equestPrincipals|request\.auth/.test(JSON.stringify(list));

const tokenRule = (issuer: string): fc.Arbitrary<TokenRule> =>
  fc.record(
    {
      issuer: fc.constant(issuer),
      audiences: fc.constantFrom(['app'], ['app', 'other'], ['http://app/']),
      fromHeaders: fc.constantFrom(
        [{ name: 'x-token' }],
        [{ name: 'Authorization', prefix: 'JWT ' }],
        [
          { name: 'Authorization', prefix: 'Bearer ' },
          { name: 'x-token', prefix: 't=' },
        ],
      ),
      fromParams: fc.constant(['token']),
      fromCookies: fc.constant(['session']),
      outputPayloadToHeader: fc.constant('x-payload'),
      outputClaimToHeaders: fc.constantFrom(
        [{ header: 'x-sub', claim: 'sub' }],
        [
          { header: 'x-groups', claim: 'groups' },
          { header: 'x-b', claim: 'a.b' },
        ],
      ),
      forwardOriginalToken: fc.boolean(),
      spaceDelimitedClaims: fc.constant(['role']),
    },
    { requiredKeys: ['issuer'] },
  );

/** Most optional fields are absent most of the time. */
function mostly(made: TokenRule, keep: number): TokenRule {
  const given = Object.entries(made).filter(([key], at) => key === 'issuer' || ((keep >> at) & 1) === 1);
  return Object.fromEntries(given) as unknown as TokenRule;
}

function mostlyPlainRule(issuer: string): fc.Arbitrary<TokenRule> {
  return fc
    .tuple(tokenRule(issuer), fc.nat(511), fc.nat(511), fc.nat(3))
    .map(([made, a, b, plain]) => mostly(made, plain === 0 ? a & b : 0));
}

function tokenRules(list: readonly Policy[]): fc.Arbitrary<readonly TokenRule[]> {
  const all = words.ISSUERS.map((issuer) => mostlyPlainRule(issuer));
  const stated = fc.oneof(
    { weight: 2, arbitrary: fc.tuple(...all) },
    { weight: 1, arbitrary: fc.tuple(all[1]!) },
    { weight: 1, arbitrary: fc.tuple(all[0]!) },
  );
  const wanted = usesTokens(list) ? 20 : 2;
  return fc.oneof(
    { weight: wanted, arbitrary: stated },
    { weight: usesTokens(list) ? 1 : 20, arbitrary: fc.constant([]) },
  );
}

const setOf = (list: readonly Policy[]): fc.Arbitrary<PolicySet> =>
  fc.record({
    name: fc.constant('generated'),
    trust: fc.constantFrom(...words.TRUST_DOMAINS),
    normalization: fc.oneof(
      { weight: 5, arbitrary: fc.constant('DEFAULT' as const) },
      { weight: 3, arbitrary: fc.constantFrom('NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES') },
    ),
    mode: fc.oneof(
      { weight: 8, arbitrary: fc.constant('PERMISSIVE' as const) },
      { weight: 1, arbitrary: fc.constantFrom('STRICT', 'DISABLE') },
    ),
    // A provider over HTTP cannot be asked about TCP.
    port: list.some(({ action }) => action === 'CUSTOM')
      ? fc.constant('http' as const)
      : fc.oneof(
          { weight: 20, arbitrary: fc.constant('http' as const) },
          { weight: 2, arbitrary: fc.constantFrom('auto', 'tcp') },
        ),
    policies: fc.constant(list),
    tokenRules: tokenRules(list),
  });

const SETS: readonly fc.Arbitrary<PolicySet>[] = POLICIES.map((policies) => policies.chain(setOf));

/** The same sets for the same seed; every clause has its turn. */
export function generateSets(count: number, seed: number): readonly PolicySet[] {
  const each = Math.ceil(count / SETS.length);
  const made = SETS.map((set, at) => fc.sample(set, { numRuns: each, seed: seed + at }));
  return Array.from({ length: count }, (_, at) => {
    const turn = Math.trunc(at / SETS.length);
    // Another order in each turn, so that a part of the sets has something of everything.
    const set = made[(at * 37 + turn) % SETS.length]![turn]!;
    return named(set, `generated ${at} (seed ${seed})`);
  });
}

function named(set: PolicySet, name: string): PolicySet {
  return { ...set, name };
}
