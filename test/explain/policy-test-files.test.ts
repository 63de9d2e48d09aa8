/** Files of policy tests: what they may say, how cases are judged, what counts as covered. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readPolicyTest } from '../../src/explain/read-policy-test.ts';
import { runPolicyTest } from '../../src/explain/run-policy-test.ts';
import type { PolicyTestResult } from '../../src/explain/run-policy-test.ts';
import { policy, SLEEP, targetOf } from './ask.ts';

const HEAD = 'config: [a.yaml]\nworkload: {namespace: foo, name: httpbin, labels: {app: httpbin}}\n';

async function run(documents: string, cases: readonly string[]): Promise<PolicyTestResult> {
  const text = `${HEAD}cases:\n${cases.map((one) => `  - ${one}\n`).join('')}`;
  const { problems, test } = readPolicyTest(text, 't.yaml');
  assert.deepEqual(problems, []);
  return runPolicyTest(targetOf(documents), test!.cases);
}

describe('a file of policy tests', () => {
  it('holds documents, a workload and cases', () => {
    const { problems, test } = readPolicyTest(
      `config: mesh
workload: {namespace: foo, name: httpbin, serviceAccount: sa, labels: {app: httpbin}}
cases:
  - name: one
    request: {path: /a}
    expect: allow
  - name: two
    tcp: true
    expect: {verdict: deny, status: 403, policy: foo/p, rule: 1}
`,
      't.yaml',
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(test?.config, ['mesh']);
    assert.deepEqual(test.workload, {
      namespace: 'foo',
      name: 'httpbin',
      serviceAccount: 'sa',
      labels: { app: 'httpbin' },
    });
    assert.deepEqual(
      test.cases.map(({ expect, name, position, request }) => [
        name,
        position.line,
        request.http?.path,
        Object.values(expect),
      ]),
      [
        ['one', 4, '/a', ['allow', null, null, null]],
        ['two', 7, undefined, ['deny', 403, 'foo/p', 1]],
      ],
    );
  });

  it('may leave the name to the account, and the workload to a postern.yaml', () => {
    const cases = 'cases: [{name: a, expect: allow}]';
    const named = readPolicyTest(
      `config: [a]\nworkload: {namespace: foo, serviceAccount: sa}\n${cases}`,
      't',
    );
    assert.equal(named.test?.workload?.name, 'sa');
    assert.equal(readPolicyTest(`config: [postern.yaml]\n${cases}`, 't').test?.workload, null);
  });

  for (const [text, place, code, says] of [
    [`${HEAD}case: []`, '3:1', 'unknown_field', /did you mean "cases"/],
    [HEAD, '1:1', 'missing_field', /no case/],
    ['cases: [{name: a, expect: allow}]', '1:1', 'missing_field', /no documents/],
    [`${HEAD}cases: [{name: a, expekt: allow}]`, '3:19', 'unknown_field', /did you mean "expect"/],
    [`${HEAD}cases: [{expect: allow}]`, '3:9', 'missing_field', /no name/],
    [`${HEAD}cases: [{name: a}]`, '3:9', 'missing_field', /expects nothing/],
    [`${HEAD}cases: [{name: a, expect: undecided}]`, '3:27', 'bad_value', /allow, deny/],
    [`${HEAD}cases: [{name: a, expect: {}}]`, '3:19', 'missing_field', /add verdict/],
    [`${HEAD}cases: [{name: a, expect: {verdict: , rule: }}]`, '3:19', 'missing_field', /add verdict/],
    [`${HEAD}cases: [{name: a, expect: {verdct: deny}}]`, '3:28', 'unknown_field', /did you mean "verdict"/],
    [`${HEAD}cases: [{name: a, expect: {policy: p}}]`, '3:36', 'bad_value', /NAMESPACE\/NAME/],
    [`${HEAD}cases: [{name: a, expect: {rule: -1}}]`, '3:34', 'out_of_range', /0 to 511/],
    [`${HEAD}cases: [{name: a, expect: allow, request: {pth: /}}]`, '3:44', 'unknown_field', /"path"/],
    [
      'config: [a]\nworkload: {name: a}\ncases: [{name: a, expect: allow}]',
      '2:1',
      'missing_field',
      /namespace/,
    ],
    [
      'config: [a]\nworkload: {namespace: a, nme: b}\ncases: [{name: a, expect: allow}]',
      '2:1',
      'missing_field',
      /name is missing/,
    ],
    [`${HEAD}cases: [{name: a, expect: allow}]\n---\na: b`, '5:1', 'not_a_document', /second document/],
    ['', '1:1', 'empty', /no test/],
  ] as const) {
    it(`is refused at ${place} for ${JSON.stringify(text.replace(HEAD, ''))}`, () => {
      const { problems, test } = readPolicyTest(text, 't.yaml');
      assert.equal(test, null);
      const problem = problems.find((one) => one.code === code);
      assert.equal(problem && `${problem.line}:${problem.column}`, place, JSON.stringify(problems));
      assert.match(`${problem?.message}; ${problem?.fix}`, says);
    });
  }
});

describe('a case', () => {
  const GET = policy(
    'get',
    '{rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {methods: [PUT]}}]}]}',
  );

  it('holds where all that it states came', async () => {
    const { cases } = await run(GET, [
      '{name: a, expect: allow}',
      '{name: b, expect: {verdict: allow, policy: foo/get, rule: 0}}',
      '{name: c, request: {method: PUT}, expect: {rule: 1}}',
      '{name: d, request: {method: POST}, expect: {verdict: deny, status: 403}}',
    ]);
    assert.deepEqual(
      cases.map(({ ok }) => ok),
      [true, true, true, true],
    );
  });

  it('fails where one of them did not, and tells what came, where it stands and why', async () => {
    const { cases } = await run(GET, [
      '{name: verdict, expect: deny}',
      '{name: status, request: {method: POST}, expect: {status: 401}}',
      '{name: policy, expect: {policy: foo/other}}',
      '{name: rule, expect: {policy: foo/get, rule: 1}}',
      '{name: none, request: {method: POST}, expect: {policy: foo/get}}',
    ]);
    assert.deepEqual(
      cases.map(({ ok }) => ok),
      [false, false, false, false, false],
    );
    assert.deepEqual(cases[0]?.expected, { verdict: 'deny' });
    assert.deepEqual(cases[0]?.got, { verdict: 'allow', status: null, policy: 'foo/get', rule: 0 });
    assert.match(cases[0]?.reason ?? '', /^allowed by ALLOW foo\/get rule 0/);
    assert.deepEqual(cases[1]?.position, { file: 't.yaml', line: 5, column: 5 });
  });

  it('that is undecided fails, whatever it expects', async () => {
    const jwt = `---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: a, jwksUri: "https://a.example/keys"}]}
`;
    // {"alg":"ES256"}.{"iss":"a"}
    const token = 'eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJhIn0.AAAA';
    for (const expect of ['allow', 'deny', '{rule: 0}']) {
      const { cases } = await run(jwt, [`{name: a, jwt: {token: ${token}}, expect: ${expect}}`]);
      assert.deepEqual([cases[0]?.ok, cases[0]?.got.verdict], [false, 'undecided'], expect);
    }
  });
});

describe('coverage', () => {
  it('is of the rules of policies that apply, by what decided', async () => {
    const documents =
      policy('deny', '{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}') +
      policy(
        'get',
        '{rules: [{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {paths: ["/*"]}}]}]}',
      ) +
      policy('other', '{selector: {matchLabels: {app: other}}, rules: [{}]}');
    const { rules, uncovered } = await run(documents, ['{name: a, expect: allow}']);
    assert.equal(rules, 3);
    // Rule 1 matches as well, and rule 0 decides.
    assert.deepEqual(uncovered, [
      { policy: 'foo/deny', rule: 0 },
      { policy: 'foo/get', rule: 1 },
    ]);
    const all = await run(documents, [
      '{name: a, expect: allow}',
      '{name: b, request: {path: /a}, expect: deny}',
      '{name: c, request: {method: PUT}, expect: allow}',
    ]);
    assert.deepEqual(all.uncovered, []);
  });

  it('counts a match of AUDIT and dry run, which cannot decide more than that', async () => {
    const documents =
      policy('audit', '{action: AUDIT, rules: [{to: [{operation: {paths: [/a]}}]}]}') +
      policy('dry', '{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}', true);
    assert.equal((await run(documents, ['{name: a, expect: allow}'])).uncovered.length, 2);
    const both = await run(documents, ['{name: a, request: {path: /a}, expect: allow}']);
    assert.deepEqual(both.uncovered, []);
  });

  it('asks nothing of AUDIT in dry run, which does nothing', async () => {
    const documents = policy('audit', '{action: AUDIT, rules: [{}]}', true);
    const { rules, uncovered } = await run(documents, ['{name: a, expect: allow}']);
    assert.deepEqual([rules, uncovered], [0, []]);
  });

  it('does not take a RequestAuthentication for an AuthorizationPolicy of its name', async () => {
    const documents = `${policy('same', `{rules: [{from: [{source: {principals: ["*"]}}]}]}`)}---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: same, namespace: foo}
spec: {jwtRules: [{issuer: a, jwksUri: "https://a.example/keys"}]}
`;
    const { cases, uncovered } = await run(documents, [
      `{name: a, ${SLEEP}, jwt: {token: junk}, expect: {status: 401, policy: foo/same, rule: 0}}`,
    ]);
    assert.equal(cases[0]?.ok, true);
    assert.deepEqual(uncovered, [{ policy: 'foo/same', rule: 0 }]);
  });
});
