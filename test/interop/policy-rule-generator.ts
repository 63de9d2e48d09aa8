/**
 * Rules of AuthorizationPolicy by fast-check: every field and its not-form, every key, all kinds of matches. Only what
 * passes validation. Rules are small, so that each clause has a chance to decide.
 */
import * as fc from 'fast-check';
import * as words from './policy-alphabet.ts';
import type { Condition, Fields, Rule } from './policy-set.ts';

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
const CONDITIONS: Readonly<Record<string, fc.Arbitrary<readonly [string, readonly string[]]>>> = {
  header: fc.oneof(...HEADER_CONDITIONS),
  claim: fc.oneof(...CLAIM_CONDITIONS),
  'source.ip': keyed('source.ip', pickOf(words.IP_BLOCKS)),
  'remote.ip': keyed('remote.ip', pickOf(words.REMOTE_IP_BLOCKS)),
  'source.namespace': keyed('source.namespace', pickOf(words.NAMESPACES)),
  'source.serviceAccount': keyed('source.serviceAccount', pickOf(words.SERVICE_ACCOUNTS)),
  'source.trustDomain': keyed('source.trustDomain', pickOf(words.TRUST_DOMAIN_VALUES)),
  'source.principal': keyed('source.principal', principals),
  'request.auth.principal': keyed('request.auth.principal', pickOf(words.REQUEST_PRINCIPALS)),
  'request.auth.audiences': keyed('request.auth.audiences', pickOf(words.AUDIENCES)),
  'request.auth.presenter': keyed('request.auth.presenter', pickOf(words.PRESENTERS)),
  'destination.ip': keyed('destination.ip', destinationIps),
  'destination.port': keyed('destination.port', ports),
  'connection.sni': keyed('connection.sni', pickOf(words.SNI_VALUES)),
  experimental: fc
    .constantFrom(...words.EXPERIMENTAL_KEYS)
    .chain((key) => keyed(key, pickOf(['v', '[v]', '*']))),
};

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
  .tuple(fc.oneof(...Object.values(CONDITIONS)), fc.constantFrom('values', 'notValues', 'both'), fc.nat())
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

/** What CUSTOM may look at: it is evaluated before any identity of a token or a peer is of account. */
export const CUSTOM_RULE: fc.Arbitrary<Rule> = fc.oneof(
  group(OPERATION).map((operation): Rule => ({ to: [{ operation }] })),
  fc
    .oneof(CONDITIONS['header']!, CONDITIONS['remote.ip']!, CONDITIONS['connection.sni']!)
    .map(([key, values]): Rule => ({ when: [{ key, values }] })),
  SOURCE['ipBlocks']!.map((ipBlocks): Rule => ({ from: [{ source: { ipBlocks } }] })),
);

/** One rule for each clause that there is, with that clause alone. */
export const FOCUSED_RULES: readonly fc.Arbitrary<Rule>[] = [
  ...Object.entries(SOURCE).flatMap(([field, values]) =>
    [field, not(field)].map((name) => values.map((list): Rule => ({ from: [{ source: { [name]: list } }] }))),
  ),
  ...Object.entries(OPERATION).flatMap(([field, values]) =>
    [field, not(field)].map((name) =>
      values.map((list): Rule => ({ to: [{ operation: { [name]: list } }] })),
    ),
  ),
  ...Object.values(CONDITIONS).flatMap((made) => [
    made.map(([key, values]): Rule => ({ when: [{ key, values }] })),
    made.map(([key, notValues]): Rule => ({ when: [{ key, notValues }] })),
  ]),
];
