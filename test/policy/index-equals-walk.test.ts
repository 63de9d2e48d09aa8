import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { PlannedPolicy, PolicyAction } from '../../src/core/authorization-plan.ts';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import type { RuleSet } from '../../src/policy/decision.ts';
import type { PolicyConnection } from '../../src/policy/policy-connection.ts';
import type { PolicyRequest } from '../../src/policy/policy-request.ts';
import { connectionOf, planOf, policyOf, requestOf, tokenOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

// Few words, so that what is generated meets; wildcards at every place.
const IDENTITIES = [
  'spiffe://cluster.local/ns/foo/sa/a',
  'spiffe://cluster.local/ns/foo/sa/ab',
  'spiffe://cluster.local/ns/bar/sa/a',
  'spiffe://old/ns/foo/sa/a',
  'spiffe://old/ns/ns/ns/foo/x/sa/a/y',
  'dns.example',
];
const PATHS = ['/', '/a', '/a/b', '/ab', '/abc/d', '/a/b/c', '/a//b', '/a/b?x=/a'];
const HOSTS = ['a.com', 'A.com', 'a.com:80', 'a.com.', 'b.a.com', 'b.a.com.:80'];
const IPS = ['10.0.0.1', '10.0.1.1', '10.1.0.1', '::1', '2001:db8::1', '::ffff:10.0.0.1', 'none'];
const WORDS = ['a', 'ab', 'b', 'b,a', 'a,b', ''];

const wild = (texts: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...texts), fc.nat(12), fc.constantFrom('whole', 'prefix', 'suffix', 'any'))
    .map(([text, cut, kind]) => {
      if (kind === 'prefix') return `${text.slice(0, cut)}*`;
      if (kind === 'suffix') return `*${text.slice(-cut)}`;
      return kind === 'any' || text === '' ? '*' : text;
    });
const some = (value: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.array(value, { minLength: 1, maxLength: 3 });

const PRINCIPALS = some(wild(IDENTITIES.map((identity) => identity.replace('spiffe://', ''))));
const NAMESPACES = some(fc.constantFrom('foo', 'bar', 'ns', '*', 'f*', '*o', 'f*o', 'ns/f*', 'x'));
const ACCOUNTS = some(fc.constantFrom('a', 'ab', 'bar/a', 'foo/ab', 'foo/b'));
const DOMAINS = some(fc.constantFrom('cluster.local', 'old', '*', 'o*', '*local', 'x'));
const BLOCKS = some(
  fc.constantFrom(
    '10.0.0.1',
    '10.0.0.0/24',
    '10.0.0.0/8',
    '0.0.0.0/0',
    '::1',
    '2001:db8::/32',
    '::/0',
    '9.0.0.0/8',
  ),
);
const REQUEST_PRINCIPALS = some(
  fc.constantFrom('*', 'a/b', 'a/*', '*/b', 'a*', '*b', 'a', '*a/b', 'a/b*', 'x/a/b', '*x/a/b', 'x/*'),
);
const SOURCE_FIELDS: Readonly<Record<string, fc.Arbitrary<string[]>>> = {
  principals: PRINCIPALS,
  namespaces: NAMESPACES,
  serviceAccounts: ACCOUNTS,
  trustDomains: DOMAINS,
  requestPrincipals: REQUEST_PRINCIPALS,
  ipBlocks: BLOCKS,
  remoteIpBlocks: BLOCKS,
};
const OPERATION_FIELDS: Readonly<Record<string, fc.Arbitrary<string[]>>> = {
  hosts: some(wild(HOSTS)),
  ports: some(fc.constantFrom('80', '8000')),
  methods: some(fc.constantFrom('GET', 'PUT', 'G*', '*T', '*')),
  paths: some(fc.oneof(wild(PATHS), fc.constantFrom('/{*}', '/a/{**}', '/{*}/b', '/{**}/c', '/a/{*}/c'))),
};
const CONDITIONS: Readonly<Record<string, fc.Arbitrary<string[]>>> = {
  'source.ip': BLOCKS,
  'remote.ip': BLOCKS,
  'destination.ip': BLOCKS,
  'source.namespace': NAMESPACES,
  'source.serviceAccount': ACCOUNTS,
  'source.trustDomain': DOMAINS,
  'source.principal': PRINCIPALS,
  'request.auth.principal': REQUEST_PRINCIPALS,
  'request.auth.audiences': some(wild(WORDS)),
  'request.auth.claims[a][b]': some(wild(WORDS)),
  'request.headers[x-role]': some(wild(WORDS)),
  'request.headers[user-agent]': some(wild(WORDS)),
  'request.headers[host]': some(wild(HOSTS)),
  'request.headers[:path]': some(wild(PATHS)),
  'destination.port': some(fc.constantFrom('80', '8000')),
  'connection.sni': some(wild(['a.com', 'b.com'])),
  'experimental.envoy.filters.x[y]': some(wild(WORDS)),
};

/** An object with some of the fields, or with the `not` of some. */
function partOf(
  fields: Readonly<Record<string, fc.Arbitrary<string[]>>>,
): fc.Arbitrary<Record<string, string[]>> {
  const one = fc.constantFrom(...Object.keys(fields)).chain((name) =>
    fc.tuple(fc.integer({ min: 0, max: 3 }), fields[name] ?? fc.constant([])).map(([negate, values]) => {
      const field = negate === 0 ? `not${name.charAt(0).toUpperCase()}${name.slice(1)}` : name;
      return { [field]: values };
    }),
  );
  return fc.array(one, { minLength: 1, maxLength: 3 }).map((parts) => Object.assign({}, ...parts));
}

const condition = fc
  .constantFrom(...Object.keys(CONDITIONS))
  .chain((key) =>
    fc
      .tuple(fc.integer({ min: 0, max: 3 }), CONDITIONS[key] ?? fc.constant([]))
      .map(([negate, values]) => (negate === 0 ? { key, notValues: values } : { key, values })),
  );

const rule: fc.Arbitrary<RuleText> = fc.record({
  from: fc.array(partOf(SOURCE_FIELDS), { maxLength: 2 }),
  to: fc.array(partOf(OPERATION_FIELDS), { maxLength: 2 }),
  when: fc.array(condition, { maxLength: 2 }),
});

const policy: fc.Arbitrary<PlannedPolicy> = fc
  .record({
    rules: fc.array(rule, { maxLength: 4 }),
    namespace: fc.constantFrom('foo', 'istio-system'),
    name: fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', '-', '1') }),
    action: fc.constantFrom<PolicyAction>('ALLOW', 'DENY', 'AUDIT', 'CUSTOM'),
  })
  .map(({ rules, ...rest }) => policyOf(rules, rest));

const connection: fc.Arbitrary<PolicyConnection> = fc
  .record({
    identities: fc.array(fc.constantFrom(...IDENTITIES), { maxLength: 2 }),
    remoteIp: fc.constantFrom(...IPS),
    destinationIp: fc.constantFrom(...IPS),
    destinationPort: fc.constantFrom(80, 8000),
    sni: fc.constantFrom('', 'a.com', 'x.b.com'),
  })
  .map(connectionOf);

const claim = fc.oneof(
  fc.constantFrom<unknown>(...WORDS, 1, null, true),
  fc.array(fc.constantFrom<unknown>(...WORDS, 2), { maxLength: 3 }),
);
const token = fc
  .record({
    iss: fc.constantFrom('a', 'x/a', '', 'ab'),
    sub: fc.constantFrom('b', '', 'bb'),
    aud: claim,
    a: fc.oneof(claim, fc.record({ b: claim })),
  })
  .map(tokenOf);

const field = fc.oneof(
  fc.tuple(fc.constantFrom('x-role', 'user-agent', 'other'), fc.constantFrom(...WORDS)),
  fc.tuple(fc.constant('x-forwarded-for'), fc.constantFrom('10.0.1.1', 'x, ::1', '9.9.9.9', '')),
);

const request: fc.Arbitrary<PolicyRequest> = fc
  .record({
    method: fc.constantFrom('GET', 'PUT', 'POST'),
    path: fc.constantFrom(...PATHS),
    authority: fc.constantFrom(...HOSTS),
    fields: fc.array(field, { maxLength: 4 }).map((fields) => fields.flat()),
    token: fc.option(token),
  })
  .map(requestOf);

/** Every rule, one after another, and of those that match the smallest key. */
function walk(set: RuleSet, to: PolicyConnection, of: PolicyRequest | null): string | null {
  const keys = set
    .explain(to, of)
    .flatMap(({ key, rules }) =>
      rules.filter(({ matched }) => matched).map(({ index }) => `${key}-rule[${index}]`),
    );
  return keys.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))[0] ?? null;
}

describe('the index', () => {
  it('finds what a walk over all rules finds', () => {
    let found = 0;
    let missed = 0;
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 10 }),
        fc.array(fc.tuple(connection, request), { minLength: 6, maxLength: 6 }),
        (policies, visits) => {
          const { http, tcp } = compilePolicies(planOf(...policies), ['cluster.local', 'old']);
          for (const { custom, audit, deny, allow } of [http, tcp]) {
            for (const set of [audit, deny, allow, custom[0]?.rules ?? null]) {
              if (set === null) continue;
              const prefix = set.action === 'CUSTOM' ? 'istio-ext-authz--' : '';
              for (const [to, of] of visits) {
                const seen = custom === tcp.custom ? null : of;
                const expected = walk(set, to, seen);
                // The second time by what the connection remembers.
                for (const matched of [set.match(to, seen), set.match(to, seen)]) {
                  assert.equal(matched?.key ?? null, expected === null ? null : prefix + expected);
                }
                if (expected === null) missed++;
                else found++;
              }
            }
          }
        },
      ),
      { numRuns: 250 },
    );
    assert.ok(found > 2_000 && missed > 2_000, `found ${found}, missed ${missed}`);
  });
});
