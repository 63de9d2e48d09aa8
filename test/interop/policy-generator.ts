/**
 * Policy sets by fast-check, over the whole schema: every field and its not-form, every key, all kinds of matches,
 * scopes, actions, dry run, empty forms, trust domains. Only what passes validation. Rules are small, so that each
 * clause has a chance to decide.
 */
import * as fc from 'fast-check';
import * as words from './policy-alphabet.ts';
import type { Condition, Fields, Policy, PolicySet, Rule, TokenRule } from './policy-set.ts';

type Values = fc.Arbitrary<readonly string[]>;

const pickOf = (values: readonly string[], max = 2): Values =>
  fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: max });

/** SPIFFE IDs of callers without the scheme, cut and starred in every way. */
const principal: fc.Arbitrary<string> = fc
  .record({
    domain: fc.constantFrom(...words.ALL_TRUST_DOMAINS, 'other'),
    path: fc.constantFrom(...words.ID_PATHS),
    form: fc.constantFrom(
      'exact',
      'exact',
      'exact',
      'any',
      'prefix',
      'prefix',
      'suffix',
      'suffix',
      'middle',
      'star domain',
      'part domain',
      'case',
      'short',
    ),
    cut: fc.nat(30),
  })
  .map(({ cut, domain, form, path }) => {
    const id = `${domain}/${path}`;
    switch (form) {
      case 'exact':
        return id;
      case 'any':
        return '*';
      case 'prefix':
        return `${id.slice(0, 4 + cut)}*`;
      case 'suffix':
        return `*${id.slice(cut)}`;
      case 'middle':
        return `${domain}/${path.replace('/sa/', '/*/')}`;
      case 'star domain':
        return `*/${path}`;
      case 'part domain':
        return `*${domain.slice(3)}/${path}`;
      case 'case':
        return id.toUpperCase();
      case 'short':
        return id.slice(0, -1);
      default:
        return form satisfies never;
    }
  });

const principals: Values = fc.uniqueArray(principal, { minLength: 1, maxLength: 2 });
const ports: Values = pickOf([String(words.WORKLOAD_PORT), '80', '18081', '1', '65535', '18079']);
const destinationIps: Values = pickOf([
  '127.77.0.0/16',
  '127.0.0.0/8',
  '127.77.0.0/20',
  '10.0.0.1',
  '::1',
  '127.78.0.0/16',
]);

const SOURCE: Readonly<Record<string, Values>> = {
  principals,
  requestPrincipals: pickOf(words.REQUEST_PRINCIPALS),
  namespaces: pickOf(words.NAMESPACES),
  serviceAccounts: pickOf(words.SERVICE_ACCOUNTS),
  trustDomains: pickOf(words.TRUST_DOMAIN_VALUES),
  ipBlocks: pickOf(words.IP_BLOCKS),
  remoteIpBlocks: pickOf(words.REMOTE_IP_BLOCKS),
};

const OPERATION: Readonly<Record<string, Values>> = {
  hosts: pickOf(words.HOSTS),
  ports,
  methods: pickOf(words.METHODS),
  paths: fc.oneof(
    { weight: 2, arbitrary: pickOf([...words.PATHS]) },
    { weight: 1, arbitrary: pickOf([...words.PATH_TEMPLATES]) },
  ),
};

const keyed = (key: string, values: Values): fc.Arbitrary<readonly [string, readonly string[]]> =>
  values.map((list) => [key, list] as const);

const HEADER_CONDITIONS = Object.entries(words.HEADERS).map(([name, { wanted }]) =>
  keyed(`request.headers[${name}]`, pickOf(wanted)),
);
const CLAIM_CONDITIONS = Object.entries(words.CLAIM_KEYS).map(([brackets, wanted]) =>
  keyed(`request.auth.claims${brackets}`, pickOf(wanted)),
);

/** By kind of key, so that each is as frequent as the others. */
const CONDITIONS: readonly fc.Arbitrary<readonly [string, readonly string[]]>[] = [
  fc.oneof(...HEADER_CONDITIONS),
  fc.oneof(...CLAIM_CONDITIONS),
  keyed('source.ip', pickOf(words.IP_BLOCKS)),
  keyed('remote.ip', pickOf(words.REMOTE_IP_BLOCKS)),
  keyed('source.namespace', pickOf(words.NAMESPACES)),
  keyed('source.serviceAccount', pickOf(words.SERVICE_ACCOUNTS)),
  keyed('source.trustDomain', pickOf(words.TRUST_DOMAIN_VALUES)),
  keyed('source.principal', principals),
  keyed('request.auth.principal', pickOf(words.REQUEST_PRINCIPALS)),
  keyed('request.auth.audiences', pickOf(words.AUDIENCES)),
  keyed('request.auth.presenter', pickOf(words.PRESENTERS)),
  keyed('destination.ip', destinationIps),
  keyed('destination.port', ports),
  keyed('connection.sni', pickOf(['a.example.com', '*.example.com', 'outbound_.80*', '*', 'A.example.com'])),
  fc.constantFrom(...words.EXPERIMENTAL_KEYS).chain((key) => keyed(key, pickOf(['v', '[v]', '*']))),
];

const not = (field: string): string => `not${field.charAt(0).toUpperCase()}${field.slice(1)}`;

/** One field, or its not-form, or both at once. */
function clause(fields: Readonly<Record<string, Values>>): fc.Arbitrary<Fields> {
  const each = Object.entries(fields).flatMap(([field, values]): fc.Arbitrary<Fields>[] => [
    values.map((list) => ({ [field]: list })),
    values.map((list) => ({ [not(field)]: list })),
    fc.tuple(values, values).map(([list, other]) => ({ [field]: list, [not(field)]: other })),
  ]);
  return fc.oneof(...each);
}

function group(fields: Readonly<Record<string, Values>>): fc.Arbitrary<Fields> {
  return fc.tuple(clause(fields), fc.option(clause(fields), { nil: {}, freq: 4 })).map(joined);
}

function joined([one, other]: readonly [Fields, Fields]): Fields {
  return { ...one, ...other };
}

/** Validation lets service accounts stand with neither principals nor namespaces. */
const source: fc.Arbitrary<Fields> = group(SOURCE).map((fields) => {
  const accounts = 'serviceAccounts' in fields || 'notServiceAccounts' in fields;
  const others = ['principals', 'notPrincipals', 'namespaces', 'notNamespaces'];
  if (!accounts || !others.some((field) => field in fields)) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !others.includes(field)));
});

const condition: fc.Arbitrary<Condition> = fc
  .tuple(fc.oneof(...CONDITIONS), fc.constantFrom('values', 'notValues', 'both'), fc.nat())
  .map(([[key, list], form]): Condition => {
    if (form === 'values') return { key, values: list };
    if (form === 'notValues') return { key, notValues: list };
    return list.length === 1
      ? { key, values: ['*'], notValues: list }
      : { key, values: list, notValues: list.slice(1) };
  })
  .map((made) => (isAddress(made.key) ? withoutStars(made) : made));

const isAddress = (key: string): boolean =>
  ['source.ip', 'remote.ip', 'destination.ip', 'destination.port', 'source.serviceAccount'].includes(key);

/** Addresses, ports and accounts have no wildcard. */
function withoutStars({ key, notValues, values }: Condition): Condition {
  if (values?.includes('*') !== true)
    return { key, ...(values && { values }), ...(notValues && { notValues }) };
  return { key, notValues: notValues ?? ['127.0.0.1'] };
}

const entries = (
  made: fc.Arbitrary<Fields>,
): { readonly none: fc.Arbitrary<readonly Fields[]>; readonly one: fc.Arbitrary<readonly Fields[]> } => ({
  none: fc.constant([]),
  one: fc.oneof({ weight: 4, arbitrary: fc.tuple(made) }, { weight: 1, arbitrary: fc.tuple(made, made) }),
});

const from = entries(source);
const to = entries(group(OPERATION));
const when = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(condition) },
  { weight: 1, arbitrary: fc.tuple(condition, condition) },
);

/** One of the three parts alone, most of the time: each part of a rule hides the others. */
export const rule: fc.Arbitrary<Rule> = fc
  .oneof(
    { weight: 7, arbitrary: fc.record({ from: from.one, to: to.none, when: fc.constant([]) }) },
    { weight: 5, arbitrary: fc.record({ from: from.none, to: to.one, when: fc.constant([]) }) },
    { weight: 8, arbitrary: fc.record({ from: from.none, to: to.none, when }) },
    { weight: 2, arbitrary: fc.record({ from: from.one, to: to.one, when: fc.constant([]) }) },
    { weight: 1, arbitrary: fc.record({ from: from.one, to: to.one, when }) },
    { weight: 1, arbitrary: fc.record({ from: from.none, to: to.one, when }) },
  )
  .map(ruleOf);

interface Parts {
  readonly from: readonly Fields[];
  readonly to: readonly Fields[];
  readonly when: readonly Condition[];
}

function ruleOf({ from: sources, to: operations, when: conditions }: Parts): Rule {
  return {
    ...(sources.length > 0 && { from: sources.map((fields) => ({ source: fields })) }),
    ...(operations.length > 0 && { to: operations.map((fields) => ({ operation: fields })) }),
    ...(conditions.length > 0 && { when: conditions }),
  };
}

const rules: fc.Arbitrary<readonly Rule[] | undefined> = fc.oneof(
  { weight: 16, arbitrary: fc.array(rule, { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.array(rule, { minLength: 11, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constant([{}]) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

const policy: fc.Arbitrary<Policy> = fc
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

const policies: fc.Arbitrary<readonly Policy[]> = fc
  .oneof(
    { weight: 5, arbitrary: fc.array(policy, { minLength: 1, maxLength: 1 }) },
    { weight: 4, arbitrary: fc.array(policy, { minLength: 2, maxLength: 2 }) },
    { weight: 1, arbitrary: fc.array(policy, { minLength: 3, maxLength: 5 }) },
  )
  .map(withoutDoubles);

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

export const policySet: fc.Arbitrary<PolicySet> = policies.chain((list) =>
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
    port: fc.oneof(
      { weight: 20, arbitrary: fc.constant('http' as const) },
      { weight: 2, arbitrary: fc.constantFrom('auto', 'tcp') },
    ),
    policies: fc.constant(list),
    tokenRules: tokenRules(list),
  }),
);

/** The same sets for the same seed. */
export function generateSets(count: number, seed: number): readonly PolicySet[] {
  const sets = fc.sample(policySet, { numRuns: count, seed });
  return sets.map((set, at) => named(set, `generated ${at} (seed ${seed})`));
}

function named(set: PolicySet, name: string): PolicySet {
  return { ...set, name };
}
