import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExplanationBudget } from '../../src/filters/explanation-budget.ts';
import { closestRule, reasonOfMatch, reasonOfNoMatch } from '../../src/filters/rbac-reason.ts';
import type { FieldTrace, PolicyTrace } from '../../src/policy/decision.ts';

type Field = readonly [
  field: string,
  wanted: string | readonly string[],
  got: string | readonly string[],
  matched?: true,
];

const list = (value: string | readonly string[]): readonly string[] =>
  typeof value === 'string' ? [value] : value;

/** One policy foo/NAME; each rule is its fields. */
function policy(name: string, ...rules: readonly (readonly Field[])[]): PolicyTrace {
  return {
    key: `ns[foo]-policy[${name}]`,
    namespace: 'foo',
    name,
    scope: 'namespace',
    rules: rules.map((fields, index) => {
      const traces: FieldTrace[] = fields.map(([field, wanted, got, matched = false]) => ({
        field,
        wanted: list(wanted),
        got: list(got),
        matched,
      }));
      return { index, matched: traces.every((field) => field.matched), fields: traces };
    }),
  };
}

const METHODS_MET: Field = ['to[0].operation.methods', 'GET', 'GET', true];
const PATHS_MISSED: Field = ['to[0].operation.paths', '/info*', '/admin'];

describe('why nothing matched', () => {
  for (const [name, traces, expected] of [
    [
      'names the closest rule and what it missed',
      [
        policy('allow-post', [['to[0].operation.methods', 'POST', 'GET'], PATHS_MISSED]),
        policy('allow-get', [METHODS_MET, PATHS_MISSED]),
      ],
      '2 ALLOW policies apply, no rule matched; closest: foo/allow-get rule 0, missed on paths: wanted /info*, got /admin',
    ],
    [
      'counts only the nearest of alternatives',
      [
        policy(
          'a',
          [
            ['from[0].source.principals', 'td/ns/a/sa/a', 'spiffe://td/ns/foo/sa/b'],
            ['from[0].source.ipBlocks', '10.0.0.0/8', '127.0.0.1'],
            ['from[1].source.namespaces', 'foo', 'spiffe://td/ns/foo/sa/b', true],
            ['to[0].operation.ports', '80', '8080'],
          ],
          [
            ['from[0].source.namespaces', 'bar', 'spiffe://td/ns/foo/sa/b'],
            ['to[0].operation.ports', '80', '8080'],
          ],
        ),
      ],
      '1 ALLOW policy applies, no rule matched; closest: foo/a rule 0, missed on ports: wanted 80, got 8080',
    ],
    [
      'says what was not wanted, and of what there was nothing',
      [
        policy('a', [
          ['from[0].source.notPrincipals', '*', 'spiffe://td/x'],
          ['when[0].request.headers[x-role]', ['admin', 'root'], []],
        ]),
      ],
      '1 ALLOW policy applies, no rule matched; closest: foo/a rule 0, missed on notPrincipals: wanted none of *, got spiffe://td/x; request.headers[x-role]: wanted admin, root, got nothing',
    ],
    [
      'quotes what could read as its own words',
      [policy('a', [['when[0].request.headers[x-a]', 'a', 'b; closest: foo/b rule 0, "x"']])],
      '1 ALLOW policy applies, no rule matched; closest: foo/a rule 0, missed on request.headers[x-a]: wanted a, got "b; closest: foo/b rule 0, \\"x\\""',
    ],
    [
      'an empty value is a value',
      [policy('a', [['when[0].request.headers[x-a]', 'a', '']])],
      '1 ALLOW policy applies, no rule matched; closest: foo/a rule 0, missed on request.headers[x-a]: wanted a, got ""',
    ],
    ['a policy without rules', [policy('a')], '1 ALLOW policy applies, and it has no rule that could match'],
    [
      'policies without rules',
      [policy('a'), policy('b')],
      '2 ALLOW policies apply, and they have no rule that could match',
    ],
  ] as const) {
    it(name, () => {
      assert.equal(reasonOfNoMatch('ALLOW', traces), expected);
    });
  }

  it('never shows credentials, whether wanted or got', () => {
    for (const header of ['authorization', 'Cookie', 'x-api-key', 'x-auth-token', 'proxy-authorization']) {
      const reason = reasonOfNoMatch('ALLOW', [
        policy('a', [[`when[0].request.headers[${header}]`, 'wanted-secret', 'got-secret']]),
      ]);
      assert.doesNotMatch(reason, /secret/);
      assert.match(reason, /wanted \[redacted\], got \[redacted\]/);
    }
    for (const value of ['eyJhbGciOiJub25lIn0.e30.', 'Bearer abcdef', 'x=eyJhbGciOi'])
      assert.ok(
        !reasonOfNoMatch('ALLOW', [policy('a', [['when[0].request.headers[x-a]', 'a', value]])]).includes(
          value,
        ),
      );
  });

  it('stays short whatever is sent and written', () => {
    const many = Array.from({ length: 500 }, (_, at) => `/value/${at}`);
    const fields = Array.from({ length: 64 }, (_, at): Field => [
      `when[${at}].request.headers[x-${at}]`,
      many,
      '\ud800'.repeat(60_000),
    ]);
    const reason = reasonOfNoMatch('ALLOW', [policy('a', fields)]);
    assert.ok(reason.length < 3_000, String(reason.length));
    assert.match(reason, /wanted \/value\/0, \/value\/1, \/value\/2, … \(497 more\)/);
    assert.match(reason, /and 61 more$/);
  });
});

describe('why a rule matched', () => {
  const matched = {
    key: 'ns[foo]-policy[deny-admin]-rule[1]',
    namespace: 'foo',
    name: 'deny-admin',
    rule: 1,
  };

  it('names what it matched on', () => {
    const traces = [
      policy('deny-admin', [PATHS_MISSED], [['to[0].operation.paths', '/admin*', '/admin/x', true]]),
      policy('other', [METHODS_MET]),
    ];
    assert.equal(
      reasonOfMatch('DENY', matched, traces),
      'DENY foo/deny-admin rule 1: paths wanted /admin*, got /admin/x',
    );
  });

  it('says so of a rule without fields, and names the rule where there is no trace', () => {
    assert.equal(
      reasonOfMatch('DENY', matched, [policy('deny-admin', [PATHS_MISSED], [])]),
      'DENY foo/deny-admin rule 1, which matches everything',
    );
    assert.equal(reasonOfMatch('DENY', matched, []), 'DENY foo/deny-admin rule 1');
  });
});

describe('the closest rule', () => {
  it('is none where no policy has a rule', () => {
    assert.equal(closestRule([policy('a')]), null);
  });

  it('is with equal misses the one that more of matched, then the first', () => {
    const traces = [
      policy('a', [PATHS_MISSED]),
      policy('b', [METHODS_MET, PATHS_MISSED]),
      policy('c', [METHODS_MET, PATHS_MISSED]),
    ];
    assert.equal(closestRule(traces)?.policy.name, 'b');
  });
});

describe('the budget of explanations', () => {
  it('ends with 100 walks in 10 s, or with 100 ms after the first 10, and comes back', () => {
    let nowMs = 0;
    const budget = new ExplanationBudget(() => nowMs);
    for (let walk = 0; walk < 100; walk++)
      assert.equal(
        budget.spend(() => 'x'),
        'x',
      );
    assert.equal(
      budget.spend(() => 'x'),
      null,
    );
    nowMs = 10_000;
    const slow = (): string => {
      nowMs += 60;
      return 'y';
    };
    for (let walk = 0; walk < 10; walk++) assert.equal(budget.spend(slow), 'y');
    assert.equal(budget.spend(slow), null);
    nowMs = 20_000;
    assert.equal(budget.spend(slow), 'y');
  });
});
