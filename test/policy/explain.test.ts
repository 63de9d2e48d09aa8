import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyTrace } from '../../src/policy/decision.ts';
import { connectionOf, httpRules, policyOf, requestOf, tokenOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

function explain(rules: readonly RuleText[], request = requestOf()): readonly PolicyTrace[] {
  return httpRules(policyOf(rules, { name: 'allow-get' })).allow?.explain(connectionOf(), request) ?? [];
}

describe('explain', () => {
  it('shows every field with what was wanted and what was got', () => {
    const rule: RuleText = {
      from: [{ principals: ['cluster.local/ns/foo/sa/sleep'], notNamespaces: ['bar'] }],
      to: [{ methods: ['GET'] }, { paths: ['/info*', '/x'], ports: ['80'] }],
      when: [{ key: 'request.headers[x-role]', values: ['admin'], notValues: ['user'] }],
    };
    const request = requestOf({ path: '/admin?x', fields: ['x-role', 'a', 'x-role', ''] });
    assert.deepEqual(explain([rule], request), [
      {
        key: 'ns[foo]-policy[allow-get]',
        namespace: 'foo',
        name: 'allow-get',
        scope: 'namespace',
        rules: [
          {
            index: 0,
            matched: false,
            fields: [
              {
                field: 'from[0].source.principals',
                wanted: ['cluster.local/ns/foo/sa/sleep'],
                got: ['cluster.local/ns/foo/sa/sleep'],
                matched: true,
              },
              {
                field: 'from[0].source.notNamespaces',
                wanted: ['bar'],
                got: ['cluster.local/ns/foo/sa/sleep'],
                matched: true,
              },
              { field: 'to[0].operation.methods', wanted: ['GET'], got: ['GET'], matched: true },
              { field: 'to[1].operation.paths', wanted: ['/info*', '/x'], got: ['/admin'], matched: false },
              { field: 'to[1].operation.ports', wanted: ['80'], got: ['8000'], matched: false },
              { field: 'when[0].request.headers[x-role]', wanted: ['admin'], got: ['a', ''], matched: false },
              {
                field: 'when[0].request.headers[x-role].notValues',
                wanted: ['user'],
                got: ['a', ''],
                matched: true,
              },
            ],
          },
        ],
      },
    ]);
  });

  const got: readonly (readonly [
    rule: RuleText,
    request: Parameters<typeof requestOf>[0],
    got: readonly string[],
  ])[] = [
    [{ from: [{ ipBlocks: ['1.1.1.1'] }] }, {}, ['10.0.0.9']],
    [
      { from: [{ remoteIpBlocks: ['1.1.1.1'] }] },
      { fields: ['x-forwarded-for', '2001:db8:0:0::1'] },
      ['2001:db8::1'],
    ],
    [{ when: [{ key: 'destination.ip', values: ['1.1.1.1'] }] }, {}, ['10.0.0.2']],
    [{ to: [{ hosts: ['a'] }] }, { authority: 'B.com:80' }, ['B.com:80']],
    [{ when: [{ key: 'connection.sni', values: ['a'] }] }, {}, ['']],
    [{ from: [{ requestPrincipals: ['*'] }] }, {}, []],
    [{ from: [{ requestPrincipals: ['*'] }] }, { token: tokenOf({ iss: 'i', sub: 's' }) }, ['i/s']],
    [
      { when: [{ key: 'request.auth.claims[a]', values: ['*'] }] },
      { token: tokenOf({ a: ['x', 1] }) },
      ['x', '1'],
    ],
    [{ when: [{ key: 'request.auth.claims[a]', values: ['*'] }] }, { token: tokenOf({}) }, []],
    [
      { when: [{ key: 'request.headers[via]', values: ['x'] }] },
      { fields: ['via', 'a', 'via', 'b'] },
      ['a,b'],
    ],
    [{ when: [{ key: 'experimental.envoy.filters.a[b]', values: ['x'] }] }, {}, []],
  ];
  for (const [rule, request, expected] of got) {
    it(`says what ${JSON.stringify(rule)} got: ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(explain([rule], requestOf(request))[0]?.rules[0]?.fields[0]?.got, expected);
    });
  }

  it('shows policies in the order of their keys, those without rules too', () => {
    const traces = httpRules(policyOf([{}], { name: 'b' }), policyOf([], { name: 'a' })).allow?.explain(
      connectionOf(),
      requestOf(),
    );
    assert.deepEqual(
      traces?.map(({ name, rules }) => [name, rules.length]),
      [
        ['a', 0],
        ['b', 1],
      ],
    );
  });
});
