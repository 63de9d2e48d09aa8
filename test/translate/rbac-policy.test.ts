/** Rules of AuthorizationPolicies as policies of Envoy's RBAC. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyRule } from '../../src/core/authorization-plan.ts';
import { claimPathIn, headerNameIn, metadataKeyIn } from '../../src/translate/condition-keys.ts';
import { translateRule } from '../../src/translate/rbac-policy.ts';
import { rule } from './plan-fixture.ts';

type Action = 'ALLOW' | 'DENY';

function translate(one: PolicyRule, layer: 'http' | 'tcp' = 'http', action: Action = 'ALLOW'): unknown {
  const context = { namespace: 'foo', trustDomains: ['cluster.local'], layer, isAllow: action === 'ALLOW' };
  return translateRule(one, context);
}

const ANY = { any: true };
const ANY_PERMISSION = { andRules: { rules: [ANY] } };
const ANY_PRINCIPAL = { andIds: { ids: [ANY] } };
const port = (destinationPort: number): object => ({ orRules: { rules: [{ destinationPort }] } });
const GET = { orRules: { rules: [{ header: { name: ':method', stringMatch: { exact: 'GET' } } }] } };
const FROM_SLEEP = {
  orIds: { ids: [{ authenticated: { principalName: { exact: 'spiffe://cluster.local/ns/foo/sa/sleep' } } }] },
};

describe('a translated rule', () => {
  it('without fields is any permission of any principal', () => {
    assert.deepEqual(translate(rule({})), { permissions: [ANY_PERMISSION], principals: [ANY_PRINCIPAL] });
  });

  it('has a permission for each operation and a principal for each source, with the conditions in each', () => {
    const one = rule({
      from: [{ principals: ['cluster.local/ns/foo/sa/sleep'] }, { ipBlocks: ['10.0.0.1'] }],
      to: [{ methods: ['GET'], notPorts: ['22'] }, { ports: ['80'] }],
      when: [
        { key: 'destination.port', values: ['8080'] },
        { key: 'source.principal', values: ['cluster.local/ns/foo/sa/sleep'] },
      ],
    });
    assert.deepEqual(translate(one), {
      permissions: [
        { andRules: { rules: [GET, { notRule: port(22) }, port(8080)] } },
        { andRules: { rules: [port(80), port(8080)] } },
      ],
      principals: [
        { andIds: { ids: [FROM_SLEEP, FROM_SLEEP] } },
        {
          andIds: {
            ids: [
              { orIds: { ids: [{ directRemoteIp: { addressPrefix: '10.0.0.1', prefixLen: 32 } }] } },
              FROM_SLEEP,
            ],
          },
        },
      ],
    });
  });

  it('says that values match and notValues do not', () => {
    const one = rule({ to: [{ ports: ['1', '2'], notPorts: ['3'] }] });
    assert.deepEqual(translate(one), {
      permissions: [
        {
          andRules: {
            rules: [
              { orRules: { rules: [{ destinationPort: 1 }, { destinationPort: 2 }] } },
              { notRule: port(3) },
            ],
          },
        },
      ],
      principals: [ANY_PRINCIPAL],
    });
  });

  const HTTP_ONLY: readonly PolicyRule[] = [
    rule({ to: [{ hosts: ['a'] }] }),
    rule({ to: [{ notHosts: ['a'] }] }),
    rule({ to: [{ methods: ['GET'] }] }),
    rule({ to: [{ paths: ['/a'] }] }),
    rule({ from: [{ requestPrincipals: ['*'] }] }),
    rule({ from: [{ notRequestPrincipals: ['*'] }] }),
    ...[
      'request.headers[a]',
      'request.auth.principal',
      'request.auth.audiences',
      'request.auth.presenter',
      'request.auth.claims[a]',
    ].map((key) => rule({ when: [{ key, values: ['a'] }] })),
  ];

  it('of ALLOW is left out on TCP where a field is of HTTP', () => {
    for (const one of HTTP_ONLY) {
      assert.equal(translate(one, 'tcp', 'ALLOW'), null, JSON.stringify(one));
      assert.notEqual(translate(one, 'http', 'ALLOW'), null, JSON.stringify(one));
    }
  });

  it('of the other actions loses that field on TCP, and matches every connection if nothing is left', () => {
    for (const one of HTTP_ONLY) {
      assert.deepEqual(
        translate(one, 'tcp', 'DENY'),
        { permissions: [ANY_PERMISSION], principals: [ANY_PRINCIPAL] },
        JSON.stringify(one),
      );
    }
    const mixed = rule({ to: [{ methods: ['GET'], ports: ['80'] }] });
    assert.deepEqual(translate(mixed, 'tcp', 'DENY'), {
      permissions: [{ andRules: { rules: [port(80)] } }],
      principals: [ANY_PRINCIPAL],
    });
  });

  it('keeps the good values of a field, but for ALLOW', () => {
    const one = rule({ to: [{ ports: ['x', '80'] }] });
    assert.equal(translate(one, 'http', 'ALLOW'), null);
    assert.deepEqual(translate(one, 'http', 'DENY'), {
      permissions: [{ andRules: { rules: [port(80)] } }],
      principals: [ANY_PRINCIPAL],
    });
  });

  it('is left out for every action where a condition is not known', () => {
    const one = rule({ when: [{ key: 'destination.user', values: ['a'] }] });
    assert.equal(translate(one, 'http', 'ALLOW'), null);
    assert.equal(translate(one, 'http', 'DENY'), null);
  });
});

describe('the key of a condition', () => {
  it('names a header', () => {
    assert.equal(headerNameIn('request.headers[X-Role]'), 'X-Role');
    assert.equal(headerNameIn('request.headers'), null);
    assert.equal(headerNameIn('request.headers[a'), null);
  });

  it('names a claim, nested or literal', () => {
    assert.deepEqual(claimPathIn('request.auth.claims[a]'), ['a']);
    assert.deepEqual(claimPathIn('request.auth.claims[a.b]'), ['a.b']);
    assert.deepEqual(claimPathIn('request.auth.claims[a][b][c]'), ['a', 'b', 'c']);
    assert.deepEqual(claimPathIn('request.auth.claims[a[b]]'), ['a[b]']);
    assert.equal(claimPathIn('request.auth.claims.a'), null);
  });

  it('names a place of metadata', () => {
    assert.deepEqual(metadataKeyIn('experimental.envoy.filters.a.b[c]'), {
      filter: 'envoy.filters.a.b',
      key: 'c',
    });
    assert.equal(metadataKeyIn('experimental.envoy.filters.a.b'), null);
  });
});
