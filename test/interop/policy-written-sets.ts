/**
 * Policy sets by hand: a set for each row of what AuthorizationPolicy and RequestAuthentication say in a table, so that
 * none depends on luck. Requests are drawn for them as for the generated ones; `targets` are sent besides.
 */
import { REQUEST_PRINCIPALS, TRUST_DOMAINS, type TrustDomains } from './policy-alphabet.ts';
import type { PolicySet } from './policy-set.ts';
import { both, from, policy, set, to, when, whenNot, withTokens } from './policy-written-rules.ts';

const EMPTY_FORMS: readonly PolicySet[] = [
  set('no policy', []),
  set('spec: {}', [policy('ALLOW', undefined)]),
  set('ALLOW everything', [policy('ALLOW', [{}])]),
  set('DENY everything', [policy('DENY', [{}])]),
  set('AUDIT everything', [policy('AUDIT', [{}]), policy('ALLOW', [to({ paths: ['/info*'] })])]),
  set('an ALLOW that never matches beside one that does', [
    policy('ALLOW', undefined),
    policy('ALLOW', [to({ methods: ['GET'] })], { name: 'z' }),
  ]),
  set('ALLOW in dry run only', [policy('ALLOW', [to({ paths: ['/info'] })], { dryRun: true })]),
  set('DENY in dry run beside ALLOW', [
    policy('DENY', [to({ methods: ['POST'] })], { dryRun: true }),
    policy('ALLOW', [to({ paths: ['/', '/info*'] })]),
  ]),
];

const SCOPES: readonly PolicySet[] = [
  set('DENY of the root namespace', [
    policy('DENY', [to({ paths: ['/admin*'] })], { namespace: 'istio-system' }),
  ]),
  set('DENY of the root namespace with a selector', [
    policy('DENY', [to({ paths: ['/admin*'] })], { namespace: 'istio-system', selector: { app: 'httpbin' } }),
  ]),
  set('DENY of another namespace', [policy('DENY', [{}], { namespace: 'bar' })]),
  set('DENY with labels of another workload', [
    policy('DENY', [{}], { selector: { app: 'httpbin', version: 'v2' } }),
  ]),
  set('ALLOW of the root namespace and DENY of our own', [
    policy('ALLOW', [from({ namespaces: ['foo'] })], { namespace: 'istio-system' }),
    policy('DENY', [to({ methods: ['POST'] })]),
  ]),
];

const INFO: Partial<PolicySet> = { targets: ['/info', '/info/x', '/info?x=1'] };

const NAMES: readonly PolicySet[] = [
  // `rule[10]` comes before `rule[2]`.
  ...both10And2('the smallest key decides'),
  set(
    'the smallest key of three policies decides',
    [
      policy('DENY', [to({ paths: ['/info*'] })], { name: 'p.x' }),
      policy('DENY', [to({ methods: ['GET'] })], { name: 'p-1' }),
      policy('DENY', [to({ hosts: ['a.com'] })], { name: 'p' }),
    ],
    INFO,
  ),
  set(
    'DENY goes before ALLOW',
    [policy('ALLOW', [to({ paths: ['/info*'] })]), policy('DENY', [to({ paths: ['/info/x', '/info?x=1'] })])],
    INFO,
  ),
];

function both10And2(name: string): readonly PolicySet[] {
  const rules = Array.from({ length: 12 }, (_, at) =>
    to({ paths: at === 2 || at === 10 ? ['/info'] : [`/${at}`] }),
  );
  return [
    set(`ALLOW: ${name}`, [policy('ALLOW', rules)], INFO),
    set(`DENY: ${name}`, [policy('DENY', rules)], INFO),
  ];
}

/** Sources are alternatives, so are operations; fields of one, and conditions, must all be met. */
const COMBINATIONS: readonly PolicySet[] = [
  ...both('two sources', {
    from: [{ source: { namespaces: ['bar'] } }, { source: { namespaces: ['foo'] } }],
  }),
  ...both('two operations', {
    to: [{ operation: { paths: ['/info*'] } }, { operation: { methods: ['POST'] } }],
  }),
  ...both('two fields', to({ paths: ['/info*'], methods: ['GET'] })),
  ...both('two conditions', {
    when: [
      { key: 'request.headers[x-role]', values: ['a'] },
      { key: 'request.headers[X-Team]', values: ['red'] },
    ],
  }),
  ...both('a condition beside an operation', {
    ...to({ paths: ['/info*'] }),
    ...when('request.headers[x-role]', 'a'),
  }),
  ...both('a field and its not-field', to({ paths: ['/info*'], notPaths: ['/info/x'] }), {
    targets: ['/info', '/info/x', '/inf'],
  }),
];

const KINDS = ['a', '*', 'a*', '*a', 'a*b', '*a*', '**'];

const role = (...values: readonly string[]): (readonly [string, string])[] =>
  values.map((value) => ['x-role', value]);
const ROLES = [
  role('b', 'a'),
  role('a', 'b'),
  role(''),
  role('a'),
  role('xa'),
  role('ax'),
  role('a*b'),
  role(),
];

const MATCH_KINDS: readonly PolicySet[] = [
  ...KINDS.flatMap((value) => both(`header "${value}"`, when('request.headers[x-role]', value))),
  ...both('header is absent', whenNot('request.headers[x-role]', '*'), { headers: ROLES }),
  ...['/a', '*', '/a*', '*a', '/a*b', '*a*', '/a/', '/A'].flatMap((value) =>
    both(`path "${value}"`, to({ paths: [value] }), {
      targets: ['/a', '/a/', '/A', '/xa', '/a*b', '/a-b', '/a*', '/ba*'],
    }),
  ),
  ...['a.com', 'A.com', '*', 'a.*', '*.com', 'a.com:*', '*:8080'].flatMap((value) =>
    both(`host "${value}"`, to({ hosts: [value] }), {
      hosts: ['a.com', 'A.com', 'a.com:8080', 'a.com:', 'b.a.com', 'a.com.', 'a.comm', 'xa.com:80'],
    }),
  ),
  ...['GET', '*', 'P*', '*T', 'get'].flatMap((value) => both(`method "${value}"`, to({ methods: [value] }))),
  ...[
    'cluster.local/ns/foo/sa/sleep',
    '*',
    'cluster.local/ns/foo/*',
    '*/sa/sleep',
    '*',
    'cluster.local/ns/*/sa/sleep',
  ].flatMap((value) => both(`principal "${value}"`, from({ principals: [value] }))),
  ...REQUEST_PRINCIPALS.flatMap((value) =>
    both(`request principal "${value}"`, from({ requestPrincipals: [value] }), withTokens),
  ),
  ...['foo', '*', 'f*', '*oo', 'f*o', 'fo'].flatMap((value) =>
    [
      both(`namespace "${value}"`, from({ namespaces: [value] })),
      both(`not namespace "${value}"`, from({ notNamespaces: [value] })),
    ].flat(),
  ),
  ...['sleep', 'foo/sleep', 'bar/sleep', 'slee', 'a'].flatMap((value) =>
    [
      both(`service account "${value}"`, from({ serviceAccounts: [value] })),
      both(`not service account "${value}"`, whenNot('source.serviceAccount', value)),
    ].flat(),
  ),
];

const CLAIMS: readonly PolicySet[] = [
  ['[groups]', 'x'],
  ['[groups]', '*'],
  ['[role]', 'd*'],
  ['[scope]', 'read'],
  ['[scope]', 'read write'],
  ['[a][b]', 'c'],
  ['[a][l]', 'x'],
  ['[x.y]', 'dot'],
  ['[n]', '1'],
  ['[a[b]]', 'c'],
].flatMap(([key, value]) =>
  [
    both(`claim ${key} is "${value}"`, when(`request.auth.claims${key}`, value!), withTokens),
    both(`claim ${key} is not "${value}"`, whenNot(`request.auth.claims${key}`, value!), withTokens),
  ].flat(),
);

const domains = (own: string, ...aliases: readonly string[]): TrustDomains => ({ own, aliases });

const sleepers = ({ aliases, own }: TrustDomains): readonly string[] =>
  [own].concat(aliases).map((domain) => `${domain}/ns/foo/sa/sleep`);

const MIGRATION: readonly PolicySet[] = (
  [
    [domains('td1'), 'cluster.local/ns/foo/sa/sleep'],
    [domains('td1', 'cluster.local'), 'cluster.local/ns/foo/sa/sleep'],
    [domains('new-td', 'old-td', 'some-trustdomain'), 'old-td/ns/foo/sa/sleep'],
    [domains('new-td', 'old-td', 'some-trustdomain'), '*-td/ns/foo/sa/sleep'],
    [domains('td1'), '*/ns/foo/sa/sleep'],
    [domains('td1'), 'other/ns/foo/sa/sleep'],
    [domains('td1'), 'cluster.local/ns/foo/*'],
    [domains('new-td', 'old-td'), 'some-trustdomain/ns/foo/sa/sleep'],
  ] as const
).flatMap(([trust, value]) =>
  [
    both(`${trust.own} ${trust.aliases.join()} "${value}"`, from({ principals: [value] }), {
      trust,
      callers: sleepers(trust),
    }),
    both(`${trust.own} ${trust.aliases.join()} not "${value}"`, from({ notPrincipals: [value] }), {
      trust,
      callers: sleepers(trust),
    }),
    both(`${trust.own} ${trust.aliases.join()} when "${value}"`, when('source.principal', value), {
      trust,
      callers: sleepers(trust),
    }),
  ].flat(),
);

const MIGRATED_DOMAINS: readonly PolicySet[] = [
  'old-td',
  'cluster.local',
  '*',
  'old*',
  '*-td',
  'new-td',
].flatMap((value) =>
  both(`trust domain "${value}"`, from({ trustDomains: [value] }), {
    trust: TRUST_DOMAINS[3]!,
    callers: sleepers(TRUST_DOMAINS[3]!),
  }),
);

const TEMPLATE_TARGETS = [
  '/',
  '/a',
  '/a/',
  '/a/b',
  '/a/b/',
  '/a/b/c',
  '/a//c',
  '/a/b/x/c',
  '/a/c',
  '/a/%7Bx%7D/c',
  '/a/{x}/c',
  '/a/[x]/c',
  '/a/%2F/c',
  '/a/b/c?x',
];

const TEMPLATES: readonly PolicySet[] = [
  '/{*}',
  '/{**}',
  '/a/{*}/c',
  '/a/{**}',
  '/a/{**}/c',
  '/{*}/{*}',
  '/a/{*}/{**}',
].flatMap((value) =>
  [
    both(`template "${value}"`, to({ paths: [value] }), { targets: TEMPLATE_TARGETS }),
    both(`template "${value}", not normalised`, to({ paths: [value] }), {
      normalization: 'NONE',
      targets: TEMPLATE_TARGETS,
    }),
  ].flat(),
);

const SPELLINGS = [
  '/app#foo',
  '/app/../admin',
  '/app//',
  '/app/%2f',
  '/xyz%30..//abc',
  '/app/%2E./admin',
  '/app\\admin',
  '/%2Fapp%5cadmin%5Cabc',
  '/app//../admin',
  '/admin%00',
  '/a/..;/b',
  '/a/..;x=1/b',
  '/a/%2e%2e;/b',
  '//',
  '///',
  '/a%%32e',
  '/a/b;x/c',
  '/a"b<c>',
  '/%7euser?x=/../',
];

const NORMALISATION: readonly PolicySet[] = (
  ['NONE', 'DEFAULT', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const
).flatMap((normalization) =>
  [['/admin*'], ['/app*', '/a/*'], ['*/b', '*/abc', '*//']].flatMap((paths) =>
    both(`${normalization} ${paths.join()}`, to({ paths }), { normalization, targets: SPELLINGS }),
  ),
);

/** Rules on TCP chains: those of ALLOW that name HTTP are dropped, others lose what names it. */
const TCP: readonly PolicySet[] = (
  [
    ['HTTP only', to({ methods: ['GET'] })],
    ['HTTP beside ports', to({ methods: ['GET'], ports: ['18080'] })],
    ['HTTP beside another port', to({ paths: ['/x'], ports: ['18081'] })],
    ['a header', when('request.headers[x-role]', 'a')],
    [
      'a claim beside a namespace',
      { ...from({ namespaces: ['foo'] }), ...when('request.auth.claims[a]', 'x') },
    ],
    ['a request principal', from({ requestPrincipals: ['*'] })],
    ['a not-field of HTTP', to({ notHosts: ['a.com'], notPorts: ['18081'] })],
    ['a namespace', from({ namespaces: ['foo'] })],
    ['an address', from({ ipBlocks: ['127.88.0.0/24'] })],
    ['an SNI', when('connection.sni', '*.example.com')],
  ] as const
).flatMap(([name, rule]) => both(`TCP: ${name}`, rule, { port: 'tcp' }));

const FORWARDED = [
  '127.88.0.1',
  '1.2.3.4',
  '1.2.3.4, 127.88.0.2',
  '127.88.0.1, 1.2.3.4',
  '2001:db8::7',
  'unknown',
].map((value) => [['x-forwarded-for', value] as const]);

const CONNECTION: readonly PolicySet[] = [
  ...['127.88.0.1', '127.88.0.0/31', '127.88.0.0/24', '0.0.0.0/0', '::/0', '128.0.0.0/1'].flatMap((value) =>
    [
      both(`peer ${value}`, from({ ipBlocks: [value] }), { headers: FORWARDED }),
      both(`client ${value}`, from({ remoteIpBlocks: [value] }), { headers: FORWARDED }),
      both(`source.ip ${value}`, when('source.ip', value), { headers: FORWARDED }),
    ].flat(),
  ),
  ...['127.77.0.0/16', '127.0.0.0/9', '10.0.0.0/8'].flatMap((value) =>
    both(`destination.ip ${value}`, when('destination.ip', value)),
  ),
  ...['a.example.com', '*.example.com', 'a.*', '*', 'A.example.com'].flatMap((value) =>
    both(`SNI ${value}`, when('connection.sni', value)),
  ),
  ...both('no SNI', whenNot('connection.sni', '*')),
  ...both('no identity', from({ notPrincipals: ['*'] })),
  ...both('no valid token', from({ notRequestPrincipals: ['*'] }), withTokens),
];

const TOKEN_RULES: readonly PolicySet[] = [
  set('a token is asked for', [policy('DENY', [from({ notRequestPrincipals: ['*'] })])], {
    tokenRules: [{ issuer: 'https://a.com', audiences: ['app'] }],
  }),
  set('forwarded tokens and claims as headers', [policy('ALLOW', [from({ requestPrincipals: ['*'] })])], {
    tokenRules: [
      {
        issuer: 'b',
        forwardOriginalToken: true,
        outputPayloadToHeader: 'x-payload',
        outputClaimToHeaders: [
          { header: 'x-groups', claim: 'groups' },
          { header: 'x-b', claim: 'a.b' },
          { header: 'x-n', claim: 'n' },
        ],
      },
    ],
  }),
  set('other places', [policy('ALLOW', [when('request.auth.claims[role]', 'dev')])], {
    tokenRules: [
      {
        issuer: 'b',
        fromHeaders: [{ name: 'x-token', prefix: 't=' }],
        fromParams: ['token'],
        fromCookies: ['session'],
      },
      { issuer: 'https://a.com', spaceDelimitedClaims: ['role'] },
    ],
  }),
];

export const WRITTEN_SETS: readonly PolicySet[] = [
  ...EMPTY_FORMS,
  ...SCOPES,
  ...NAMES,
  ...COMBINATIONS,
  ...MATCH_KINDS,
  ...CLAIMS,
  ...MIGRATION,
  ...MIGRATED_DOMAINS,
  ...TEMPLATES,
  ...NORMALISATION,
  ...TCP,
  ...CONNECTION,
  ...TOKEN_RULES,
];
