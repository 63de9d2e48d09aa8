import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import type { Problem } from '../../src/config/problem.ts';
import type { AuthorizationPolicy } from '../../src/config/resources.ts';
import { foundProblems } from './found-problems.ts';

const HEAD =
  'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: foo}\n';
/** The spec begins on line 5. */
const policy = (spec: string): string => `${HEAD}spec:\n${spec}\n`;
const deny = (rules: string): string => policy(`  {action: DENY, rules: [${rules}]}`);
const allow = (rules: string): string => policy(`  {rules: [${rules}]}`);
const custom = (rules: string): string =>
  policy(`  {action: CUSTOM, provider: {name: opa}, rules: [${rules}]}`);
const source = (fields: string): string => `{from: [{source: {${fields}}}]}`;
const operation = (fields: string): string => `{to: [{operation: {${fields}}}]}`;
const when = (key: string, values = 'x'): string => `{when: [{key: "${key}", values: ["${values}"]}]}`;

/** A good value of a source's or operation's field. */
function valueOf(name: string): string {
  if (name.endsWith('Blocks')) return '10.0.0.0/8';
  return name === 'ports' ? '8080' : name === 'paths' ? '/a' : 'a';
}

/** Each field and its `not` twin. */
function both(names: readonly string[]): [string, string[]][] {
  return names.flatMap((name): [string, string[]][] => [
    [name, [valueOf(name)]],
    [`not${name[0]!.toUpperCase()}${name.slice(1)}`, [valueOf(name)]],
  ]);
}

const createdAt = (name: string, time: string): string =>
  `${HEAD.replace('name: p', `name: ${name}, creationTimestamp: "${time}"`)}spec: {}\n`;

function load(text: string): { read: AuthorizationPolicy; problems: readonly Problem[] } {
  const { resources, problems } = loadDocumentText(text, 'a.yaml');
  const [read] = resources.authorizationPolicies;
  assert.ok(read !== undefined);
  return { read, problems };
}

describe('AuthorizationPolicy', () => {
  it('is read with every field', () => {
    const sources = [
      'principals',
      'requestPrincipals',
      'namespaces',
      'trustDomains',
      'ipBlocks',
      'remoteIpBlocks',
    ];
    const operations = ['hosts', 'ports', 'methods', 'paths'];
    const accounts: [string, string[]][] = [
      ['serviceAccounts', ['a.b', 'ns/sa']],
      ['notServiceAccounts', ['c']],
    ];
    const text = policy(
      `  ${JSON.stringify({
        selector: { matchLabels: { app: 'a' } },
        action: 'DENY',
        rules: [
          {
            from: [{ source: Object.fromEntries(both(sources)) }, { source: Object.fromEntries(accounts) }],
            to: [{ operation: Object.fromEntries(both(operations)) }],
            when: [{ key: 'request.headers[X-A]', values: ['1'], notValues: ['2'] }],
          },
          {},
        ],
      })}`,
    );
    const { read, problems } = load(text);
    assert.deepEqual(problems, []);
    const { matchLabels, hasTargetRefs, action, provider, dryRun, rules } = read;
    assert.deepEqual(
      { matchLabels, hasTargetRefs, action, provider, dryRun },
      { matchLabels: { app: 'a' }, hasTargetRefs: false, action: 'DENY', provider: '', dryRun: false },
    );
    const [first, second, account] = [rules[0]?.from[0], rules[0]?.to[0], rules[0]?.from[1]];
    const empty = Object.fromEntries([...both(sources), ...accounts].map(([name]) => [name, []]));
    assert.deepEqual(first, { ...empty, ...Object.fromEntries(both(sources)) });
    assert.deepEqual(account, { ...empty, ...Object.fromEntries(accounts) });
    assert.deepEqual(second, Object.fromEntries(both(operations)));
    assert.deepEqual(rules[0]?.when, [{ key: 'request.headers[X-A]', values: ['1'], notValues: ['2'] }]);
    assert.deepEqual(rules[1], { from: [], to: [], when: [] });
  });

  const empty: [string, string, string, number][] = [
    ['no spec', HEAD, 'ALLOW', 0],
    ['spec: {}', `${HEAD}spec: {}\n`, 'ALLOW', 0],
    ['ALLOW with an empty list of rules', policy('  rules: []'), 'ALLOW', 0],
    ['AUDIT without rules', policy('  action: AUDIT'), 'AUDIT', 0],
    ['ALLOW of everything', policy('  rules: [{}]'), 'ALLOW', 1],
    ['DENY of everything', policy('  {action: DENY, rules: [{}]}'), 'DENY', 1],
  ];
  for (const [name, text, action, rules] of empty) {
    it(`takes ${name}`, () => {
      const { read, problems } = load(text);
      assert.deepEqual(problems, []);
      assert.deepEqual([read.action, read.rules.length], [action, rules]);
    });
  }

  it('keeps names of service accounts as text, whatever they would mean to a regular expression', () => {
    const names = ['a.b', 'foo/a+(b|c)', '[x]', 'a$'];
    const { read, problems } = load(deny(source(`serviceAccounts: ${JSON.stringify(names)}`)));
    assert.deepEqual(problems, []);
    assert.deepEqual(read.rules[0]?.from[0]?.serviceAccounts, names);
  });

  it('is warned of where a field has a name and no value, which to the API is no field', () => {
    const { read, problems } = load(
      policy(
        '  action:\n  selector:\n  rules:\n  - from:\n    to: [{operation: {methods: , paths: [/a]}}]\n' +
          '    when: [{key: source.ip, values: [10.0.0.1], notValues: }]',
      ),
    );
    assert.equal(read.action, 'ALLOW');
    assert.deepEqual(read.rules[0]?.from, []);
    assert.deepEqual(foundProblems(problems), [
      'warning empty 5:10 spec.action',
      'warning empty 6:12 spec.selector',
      'warning empty 8:10 spec.rules[0].from',
      'warning empty 9:32 spec.rules[0].to[0].operation.methods',
      'warning empty 10:60 spec.rules[0].when[0].notValues',
    ]);
  });

  const booleans: [string, boolean | null][] = [
    ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text): [string, boolean] => [text, true]),
    ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text): [string, boolean] => [text, false]),
    ['yes', null],
    ['tRUE', null],
    ['', null],
    ['constructor', null],
  ];
  for (const [text, dryRun] of booleans) {
    it(`reads the dry-run annotation "${text}" as Go does`, () => {
      const annotated = HEAD.replace('foo}', `foo, annotations: {istio.io/dry-run: "${text}"}}`);
      const { read, problems } = load(`${annotated}spec: {}\n`);
      assert.equal(read.dryRun, dryRun ?? false);
      const warned = ['warning bad_value 3:69 metadata.annotations.istio.io/dry-run'];
      assert.deepEqual(foundProblems(problems), dryRun === null ? warned : []);
    });
  }

  const keys: string[] = [
    'request.headers[User-Agent]',
    'request.headers[:path]',
    'request.headers[host]',
    'request.auth.principal',
    'request.auth.audiences',
    'request.auth.presenter',
    'request.auth.claims[a]',
    'request.auth.claims[a][b]',
    'request.auth.claims[a[b]]',
    'request.auth.claims[https://a.example/b c]',
    'source.namespace',
    'source.serviceAccount',
    'source.trustDomain',
    'source.principal',
    'connection.sni',
  ];
  for (const key of keys) {
    it(`takes the condition key ${key}`, () => {
      const { read, problems } = load(allow(when(key)));
      assert.deepEqual(problems, []);
      assert.deepEqual(read.rules[0]?.when, [{ key, values: ['x'], notValues: [] }]);
    });
  }
  for (const key of ['source.ip', 'remote.ip', 'destination.ip']) {
    it(`takes addresses and blocks for ${key}`, () => {
      for (const value of ['10.0.0.1', '10.0.0.0/8', 'fd00::1', 'fd00::/8', '0.0.0.0/0']) {
        assert.deepEqual(foundProblems(load(allow(when(key, value))).problems), [], value);
      }
      for (const value of [
        '10.0.0',
        '10.0.0.0/33',
        '10.0.0.0/',
        '010.0.0.1',
        'fe80::1%eth0',
        'fe80::%e/64',
        '*',
        'a',
      ]) {
        const found = foundProblems(load(allow(when(key, value))).problems);
        assert.deepEqual(
          found.map((one) => one.replace(/ \d+:\d+ /, ' ')),
          ['error bad_value spec.rules[0].when[0].values[0]'],
          value,
        );
      }
    });
  }

  const bad: [string, string, string[]][] = [
    // action and provider
    ['an action that is none', policy('  action: BLOCK'), ['error bad_value 5:11 spec.action']],
    ['DENY without rules', policy('  action: DENY'), ['error missing_field 4:1 spec.rules']],
    ['DENY with no rule', policy('  action: DENY\n  rules: []'), ['error missing_field 6:3 spec.rules']],
    [
      'CUSTOM without rules',
      policy('  action: CUSTOM\n  provider: {name: opa}'),
      ['error missing_field 4:1 spec.rules'],
    ],
    [
      'CUSTOM without provider',
      policy('  action: CUSTOM\n  rules: [{}]'),
      ['error missing_field 4:1 spec.provider'],
    ],
    [
      'CUSTOM with a provider without name',
      policy('  action: CUSTOM\n  provider: {}\n  rules: [{}]'),
      ['error missing_field 6:3 spec.provider'],
    ],
    ...['ALLOW', 'DENY', 'AUDIT'].map((action): [string, string, string[]] => [
      `a provider with ${action}`,
      policy(`  action: ${action}\n  provider: {name: opa}\n  rules: [{}]`),
      ['error conflict 6:3 spec.provider'],
    ]),
    ...['principals', 'requestPrincipals', 'namespaces', 'serviceAccounts', 'trustDomains']
      .flatMap((name) => [name, `not${name[0]!.toUpperCase()}${name.slice(1)}`])
      .map((name): [string, string, string[]] => [
        `CUSTOM with ${name}`,
        custom(`\n  ${source(`\n   ${name}: [a]`)}`),
        [`error conflict 7:4 spec.rules[0].from[0].source.${name}`],
      ]),
    ...[
      'source.namespace',
      'source.serviceAccount',
      'source.trustDomain',
      'source.principal',
      'request.auth.principal',
      'request.auth.audiences',
      'request.auth.presenter',
      'request.auth.claims[a]',
    ].map((key): [string, string, string[]] => [
      `CUSTOM with the key ${key}`,
      custom(`\n  ${when(key)}`),
      ['error conflict 6:17 spec.rules[0].when[0].key'],
    ]),
    // empty parts
    ['a rule that is null', allow('\n  null'), ['error wrong_type 6:3 spec.rules[0]']],
    [
      'from with an entry that is empty',
      allow('\n  {from: [{}]}'),
      ['error missing_field 6:11 spec.rules[0].from[0]'],
    ],
    [
      'from with an entry that is null',
      allow('\n  {from: [null]}'),
      ['error wrong_type 6:11 spec.rules[0].from[0]'],
    ],
    [
      'a source that states nothing',
      allow(`\n  ${source('')}`),
      ['error empty 6:12 spec.rules[0].from[0].source'],
    ],
    [
      'a source with an empty list alone',
      allow(`\n  ${source('principals: []')}`),
      ['error empty 6:12 spec.rules[0].from[0].source'],
    ],
    ['an empty from', allow('\n  {from: []}'), ['error empty 6:4 spec.rules[0].from']],
    [
      'to with an entry that is empty',
      allow('\n  {to: [{}]}'),
      ['error missing_field 6:9 spec.rules[0].to[0]'],
    ],
    [
      'an operation that states nothing',
      allow(`\n  ${operation('')}`),
      ['error empty 6:10 spec.rules[0].to[0].operation'],
    ],
    [
      'an operation that is null',
      allow('\n  {to: [{operation: null}]}'),
      ['error missing_field 6:9 spec.rules[0].to[0]'],
    ],
    ['an empty to', allow('\n  {to: []}'), ['error empty 6:4 spec.rules[0].to']],
    [
      'an empty list beside others',
      allow(`\n  ${operation('methods: [GET], hosts: []')}`),
      ['warning empty 6:38 spec.rules[0].to[0].operation.hosts'],
    ],
    ...[
      'principals',
      'requestPrincipals',
      'namespaces',
      'serviceAccounts',
      'trustDomains',
      'ipBlocks',
      'remoteIpBlocks',
    ]
      .flatMap((name) => [name, `not${name[0]!.toUpperCase()}${name.slice(1)}`])
      .map((name): [string, string, string[]] => [
        `an empty text in ${name}`,
        allow(`\n  ${source(`\n   ${name}: [a, ""]`.replace(/(Blocks: \[)a/, '$110.0.0.1'))}`),
        [
          `error bad_value 7:${name.endsWith('Blocks') ? name.length + 17 : name.length + 10} spec.rules[0].from[0].source.${name}[1]`,
        ],
      ]),
    ...['hosts', 'methods', 'paths', 'ports']
      .flatMap((name) => [name, `not${name[0]!.toUpperCase()}${name.slice(1)}`])
      .map((name): [string, string, string[]] => [
        `an empty text in ${name}`,
        allow(`\n  ${operation(`\n   ${name}: [""]`)}`),
        [`error bad_value 7:${name.length + 7} spec.rules[0].to[0].operation.${name}[0]`],
      ]),
    // values
    [
      'a port without quotes',
      allow(`\n  ${operation('ports: [80]')}`),
      ['error wrong_type 6:30 spec.rules[0].to[0].operation.ports[0]'],
    ],
    ...['0', '65536', '08', '80.0', '-1', 'http', '*'].map((port): [string, string, string[]] => [
      `the port ${port}`,
      allow(`\n  ${operation(`ports: ["1", "65535", "${port}"]`)}`),
      ['error bad_value 6:44 spec.rules[0].to[0].operation.ports[2]'],
    ]),
    [
      'a block that is none',
      deny(`\n  ${source('ipBlocks: [10.0.0.0/33]')}`),
      ['error bad_value 6:32 spec.rules[0].from[0].source.ipBlocks[0]'],
    ],
    [
      '17 service accounts',
      allow(`\n  ${source(`serviceAccounts: [${Array.from({ length: 17 }, (_, n) => `a${n}`).join()}]`)}`),
      ['error out_of_range 6:21 spec.rules[0].from[0].source.serviceAccounts'],
    ],
    ...['a*', '*', 'a/b/c', '/a', 'a/', 'x'.repeat(321)].map((name): [string, string, string[]] => [
      `the service account ${name.slice(0, 10)}`,
      allow(`\n  ${source(`serviceAccounts: [ok, foo/ok, "${name}"]`)}`),
      ['error bad_value 6:51 spec.rules[0].from[0].source.serviceAccounts[2]'],
    ]),
    ...['principals', 'notPrincipals', 'namespaces', 'notNamespaces'].flatMap((name) =>
      ['serviceAccounts', 'notServiceAccounts'].map((accounts): [string, string, string[]] => [
        `${accounts} beside ${name}`,
        allow(`\n  ${source(`${accounts}: [a], ${name}: [a]`)}`),
        [`error conflict 6:21 spec.rules[0].from[0].source.${accounts}`],
      ]),
    ),
    ...['a/b', 'a*b', '*a*', '**', ''].map((domain): [string, string, string[]] => [
      `the trust domain "${domain}"`,
      allow(`\n  ${source(`trustDomains: [a, "*", "*a", "a*", "${domain}"]`)}`),
      ['error bad_value 6:56 spec.rules[0].from[0].source.trustDomains[4]'],
    ]),
    [
      'a principal with its scheme',
      deny(`\n  ${source('principals: ["spiffe://td/ns/a/sa/b"]')}`),
      ['warning never_matches 6:34 spec.rules[0].from[0].source.principals[0]'],
    ],
    // conditions
    [
      'a condition without key',
      allow('\n  {when: [{values: [a]}]}'),
      ['error missing_field 6:11 spec.rules[0].when[0].key'],
    ],
    [
      'a condition with an empty key',
      allow('\n  {when: [{key: "", values: [a]}]}'),
      ['error missing_field 6:17 spec.rules[0].when[0].key'],
    ],
    [
      'a condition without values',
      allow('\n  {when: [{key: source.ip}]}'),
      ['error missing_field 6:11 spec.rules[0].when[0]'],
    ],
    [
      'a condition with an empty value',
      allow('\n  {when: [{key: source.namespace, notValues: [""]}]}'),
      ['error bad_value 6:47 spec.rules[0].when[0].notValues[0]'],
    ],
    [
      'a bad port',
      deny(`\n  ${when('destination.port', '0')}`),
      ['error bad_value 6:46 spec.rules[0].when[0].values[0]'],
    ],
    [
      'a bad service account',
      deny(`\n  ${when('source.serviceAccount', 'a*')}`),
      ['error bad_value 6:51 spec.rules[0].when[0].values[0]'],
    ],
    [
      'a bad trust domain',
      deny(`\n  ${when('source.trustDomain', 'a/b')}`),
      ['error bad_value 6:48 spec.rules[0].when[0].values[0]'],
    ],
    [
      'a principal with its scheme as condition',
      allow(`\n  ${when('source.principal', 'spiffe://a')}`),
      ['warning never_matches 6:46 spec.rules[0].when[0].values[0]'],
    ],
    ...[
      'request.headers',
      'request.headers[',
      'request.headers[]',
      'request.headers[a',
      'request.headers[a][b]',
      'request.headers[a b]',
      'Request.headers[a]',
      'request.auth.claims',
      'request.auth.claims[]',
      'request.auth.claims[a][]',
      'request.auth.claims[a]x',
      'request.auth.issuer',
      'destination.labels[version]',
      'destination.name',
      'destination.namespace',
      'destination.user',
      'experimental.envoy.filters.a',
      'experimental.envoy.filters.[a]',
      'source.ips',
      '__proto__',
    ].map((key): [string, string, string[]] => [
      `the key ${key}`,
      deny(`\n  {when: [{key: "source.ip", values: ["10.0.0.1"]}, {key: "${key}", values: [x]}]}`),
      ['error bad_value 6:59 spec.rules[0].when[1].key'],
    ]),
    // metadata that no filter here sets
    [
      'metadata in a DENY',
      deny(`\n  ${when('experimental.envoy.filters.a.b[c]')}`),
      ['error not_enforced 6:17 spec.rules[0].when[0].key'],
    ],
    [
      'metadata in an ALLOW',
      allow(`\n  ${when('experimental.envoy.filters.a.b[c]')}`),
      ['warning never_matches 6:17 spec.rules[0].when[0].key'],
    ],
    [
      'metadata as notValues of an ALLOW',
      allow('\n  {when: [{key: "experimental.envoy.filters.a.b[c]", notValues: [x]}]}'),
      ['error not_enforced 6:17 spec.rules[0].when[0].key'],
    ],
    // scope
    [
      'a selector with a star',
      policy('  selector: {matchLabels: {app: "a*"}}'),
      ['error bad_value 5:28 spec.selector.matchLabels.app'],
    ],
    [
      'a selector without labels',
      policy('  selector: {matchLabels: {}}'),
      ['warning empty 5:3 spec.selector'],
    ],
    [
      'selector and targetRef',
      policy('  selector: {matchLabels: {a: b}}\n  targetRef: {kind: Gateway, name: g}'),
      ['error conflict 6:3 spec.targetRef'],
    ],
    [
      'targetRef and targetRefs',
      policy('  targetRef: {kind: Gateway, name: g}\n  targetRefs: [{kind: Gateway, name: g}]'),
      ['error conflict 6:3 spec.targetRefs'],
    ],
    [
      '17 targetRefs',
      policy(`  targetRefs: [${'{kind: Service, name: s}, '.repeat(17)}]`),
      ['error out_of_range 5:3 spec.targetRefs'],
    ],
    [
      'a targetRef without name',
      policy('  targetRef: {kind: Gateway}'),
      ['error missing_field 5:3 spec.targetRef.name'],
    ],
    ['513 rules', policy(`  rules: [${'{}, '.repeat(513)}]`), ['error out_of_range 5:3 spec.rules']],
    // fields
    [
      'a misspelled field',
      allow(`\n  ${source('principal: [a]')}`),
      [
        'error empty 6:12 spec.rules[0].from[0].source',
        'error unknown_field 6:21 spec.rules[0].from[0].source.principal',
      ],
    ],
    [
      'one text for a list',
      allow(`\n  ${operation('paths: /a')}`),
      ['error wrong_type 6:29 spec.rules[0].to[0].operation.paths'],
    ],
    // TCP
    [
      'DENY with HTTP attributes only',
      deny(`\n  ${operation('methods: [GET], paths: [/a]')}`),
      ['warning denies_tcp 6:3 spec.rules[0]'],
    ],
    [
      'DENY without a token',
      deny(`\n  ${source('notRequestPrincipals: ["*"]')}`),
      ['warning denies_tcp 6:3 spec.rules[0]'],
    ],
    [
      'DENY with a header',
      deny(`\n  ${when('request.headers[a]')}`),
      ['warning denies_tcp 6:3 spec.rules[0]'],
    ],
    ['DENY with HTTP attributes and ports', deny(`\n  ${operation('methods: [GET], ports: ["80"]')}`), []],
    [
      'DENY with HTTP attributes and a peer',
      deny(`\n  {from: [{source: {namespaces: [a]}}], to: [{operation: {methods: [GET]}}]}`),
      [],
    ],
    ['ALLOW with HTTP attributes only', allow(`\n  ${operation('methods: [GET]')}`), []],
  ];
  for (const [name, text, expected] of bad) {
    it(`says of ${name} where it stands`, () => {
      assert.deepEqual(foundProblems(load(text).problems), expected);
    });
  }

  it('takes 512 rules, 16 targetRefs and 16 service accounts', () => {
    const accounts = Array.from({ length: 16 }, (_, n) => `a${n}`).join();
    const rules = `${'{}, '.repeat(511)}${source(`serviceAccounts: [${accounts}]`)}`;
    assert.deepEqual(load(policy(`  rules: [${rules}]`)).problems, []);
    const targeted = load(policy(`  targetRefs: [${'{kind: Service, name: s}, '.repeat(16)}]`));
    assert.deepEqual(targeted.problems, []);
    assert.equal(targeted.read.hasTargetRefs, true);
  });

  it('says what was found, and what to write', () => {
    const [ip, principal] = [
      load(deny(source('ipBlocks: [10.0.0.0/33]'))).problems[0],
      load(deny(source('principals: ["spiffe://td/ns/a/sa/b"]'))).problems[0],
    ];
    assert.equal(ip?.message, '"10.0.0.0/33" is neither an IP address nor a CIDR block');
    assert.equal(ip.fix, 'write 10.0.0.1 or 10.0.0.0/24');
    assert.equal(principal?.fix, 'write "td/ns/a/sa/b"');
    const [key] = load(deny(when('request.headres[a]'))).problems;
    assert.match(key?.fix ?? '', /did you mean "request.headers\[NAME\]"/);
  });

  it('comes oldest first', () => {
    const text = `${createdAt('late', '2026-02-01T00:00:00Z')}---\n${createdAt('early', '2026-01-01T00:00:00Z')}`;
    const { resources } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(
      resources.authorizationPolicies.map(({ name }) => name),
      ['early', 'late'],
    );
  });
});
