/** Values of AuthorizationPolicy fields as Envoy RBAC messages, kind by kind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathPermission } from '../../src/translate/path-permission.ts';
import * as rbac from '../../src/translate/rbac-values.ts';
import { expandTrustDomains, migratePrincipals } from '../../src/translate/trust-domain-aliases.ts';

const regex = (text: string): object => ({ safeRegex: { regex: text } });
const authenticated = (principalName: object): object => ({ authenticated: { principalName } });
const claim = (path: readonly string[], value: object): object => ({
  metadata: {
    filter: 'envoy.filters.http.jwt_authn',
    path: ['payload', ...path].map((key) => ({ key })),
    value,
  },
});

describe('a translated value', () => {
  for (const [field, each, rows] of [
    [
      'hosts',
      rbac.hosts,
      [
        ['a.com', { header: { name: ':authority', stringMatch: { exact: 'a.com', ignoreCase: true } } }],
        ['*.com', { header: { name: ':authority', stringMatch: { suffix: '.com', ignoreCase: true } } }],
        ['a.com:*', { header: { name: ':authority', stringMatch: { prefix: 'a.com:', ignoreCase: true } } }],
        ['*', { header: { name: ':authority', presentMatch: true } }],
      ],
    ],
    [
      'methods',
      rbac.methods,
      [
        ['GET', { header: { name: ':method', stringMatch: { exact: 'GET' } } }],
        ['*', { header: { name: ':method', presentMatch: true } }],
      ],
    ],
    [
      'ports',
      rbac.ports,
      [
        ['8080', { destinationPort: 8080 }],
        ['65536', null],
        ['http', null],
      ],
    ],
    [
      'destination.ip',
      rbac.destinationIps,
      [
        ['10.0.0.0/8', { destinationIp: { addressPrefix: '10.0.0.0', prefixLen: 8 } }],
        ['10.0.0.1', { destinationIp: { addressPrefix: '10.0.0.1', prefixLen: 32 } }],
        ['::1', { destinationIp: { addressPrefix: '::1', prefixLen: 128 } }],
        ['10.0.0.0/33', null],
        ['10.0.0.0/', null],
        ['10.0.0', null],
      ],
    ],
    [
      'connection.sni',
      rbac.serverNames,
      [
        ['*.b', { requestedServerName: { suffix: '.b' } }],
        ['*', { requestedServerName: regex('.+') }],
      ],
    ],
    [
      'principals',
      rbac.principals,
      [
        ['*', authenticated(regex('.+'))],
        ['td/ns/a/sa/b', authenticated({ exact: 'spiffe://td/ns/a/sa/b' })],
        ['td/ns/a/*', authenticated({ prefix: 'spiffe://td/ns/a/' })],
        ['*/sa/a.b', authenticated(regex(String.raw`spiffe://.*/sa/a\.b`))],
        ['*b*', authenticated(regex(String.raw`spiffe://.*b\*`))],
      ],
    ],
    [
      'namespaces',
      rbac.namespaces,
      [
        ['foo', authenticated(regex('.*/ns/foo/.*'))],
        ['a.*b', authenticated(regex(String.raw`.*/ns/a\..*b/.*`))],
      ],
    ],
    [
      'serviceAccounts',
      rbac.serviceAccounts('own'),
      [
        ['a', authenticated(regex('spiffe://.+/ns/own/(.+/|)sa/a(/.+)?'))],
        ['foo/a', authenticated(regex('spiffe://.+/ns/foo/(.+/|)sa/a(/.+)?'))],
      ],
    ],
    [
      'trustDomains',
      rbac.trustDomains,
      [
        ['td', authenticated({ prefix: 'spiffe://td/' })],
        ['*', authenticated({ prefix: 'spiffe://' })],
        ['*.td', authenticated(regex(String.raw`spiffe://[^/]*\.td/.*`))],
        ['td*', authenticated(regex('spiffe://td[^/]*/.*'))],
      ],
    ],
    [
      'request.headers[X]',
      rbac.headers('X'),
      [
        ['', { header: { name: 'X', stringMatch: { exact: '' } } }],
        ['a*', { header: { name: 'X', stringMatch: { prefix: 'a' } } }],
        ['*', { header: { name: 'X', presentMatch: true } }],
      ],
    ],
  ] as const) {
    for (const [value, wanted] of rows) {
      it(`of ${field}: "${value}"`, () => assert.deepEqual(each([value]), [wanted]));
    }
  }

  const any = { safeRegex: { regex: '.+' } };
  for (const [value, issuer, subject] of [
    ['*', any, any],
    ['foo/bar', { exact: 'foo' }, { exact: 'bar' }],
    ['https://a.com/bar', { exact: 'https://a.com' }, { exact: 'bar' }],
    ['foo', { exact: 'foo' }, { exact: '' }],
    ['*bar', any, { suffix: 'bar' }],
    ['*/bar', any, { exact: 'bar' }],
    ['*foo/bar', { suffix: 'foo' }, { exact: 'bar' }],
    ['foo*', { prefix: 'foo' }, any],
    ['foo/*', { exact: 'foo' }, any],
    ['foo/ba*', { exact: 'foo' }, { prefix: 'ba' }],
    ['*foo/ba*', { suffix: 'foo' }, { exact: 'ba*' }],
  ] as const) {
    it(`of requestPrincipals: "${value}"`, () => {
      const ids = [claim(['iss'], { stringMatch: issuer }), claim(['sub'], { stringMatch: subject })];
      assert.deepEqual(rbac.requestPrincipals([value]), [{ andIds: { ids } }]);
    });
  }

  it('of a claim is the text or a list that has it', () => {
    const either = {
      orMatch: { valueMatchers: [{ stringMatch: { exact: 'a' } }, { stringMatch: { prefix: 'b' } }] },
    };
    assert.deepEqual(rbac.claims(['x', 'y'])(['a', 'b*']), [
      claim(['x', 'y'], { orMatch: { valueMatchers: [{ listMatch: { oneOf: either } }, either] } }),
    ]);
  });

  it('of metadata is a text, or in brackets a member of a list', () => {
    assert.deepEqual(rbac.metadata('a.b', 'c')(['v', '[w]']), [
      {
        metadata: {
          filter: 'a.b',
          path: [{ key: 'c' }],
          value: {
            orMatch: {
              valueMatchers: [
                { stringMatch: { exact: 'v' } },
                { listMatch: { oneOf: { stringMatch: { exact: 'w' } } } },
              ],
            },
          },
        },
      },
    ]);
  });

  const type = 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';
  const one = String.raw`[a-zA-Z0-9\-._~%!$&'()*+,;:@=]+`;
  for (const [value, wanted] of [
    ['/a', { urlPath: { path: { exact: '/a' } } }],
    ['/a/*', { urlPath: { path: { prefix: '/a/' } } }],
    ['*/b', { urlPath: { path: { suffix: '/b' } } }],
    ['*', { urlPath: { path: { safeRegex: { regex: '.+' } } } }],
    ['/a*b', { urlPath: { path: { exact: '/a*b' } } }],
    [
      '/a/{*}/b/{**}',
      { uriTemplate: { name: 'uri-template', typedConfig: { '@type': type, pathTemplate: '/a/*/b/**' } } },
    ],
    ['{*}', { urlPath: { path: { safeRegex: { regex: one } } } }],
    ['/a.b//{*}', { urlPath: { path: { safeRegex: { regex: String.raw`/a\.b//${one}` } } } }],
  ] as const) {
    it(`of paths: "${value}"`, () => assert.deepEqual(pathPermission(value), wanted));
  }
});

describe('a trust domain with aliases', () => {
  for (const [known, value, wanted] of [
    [['td1'], 'cluster.local/ns/foo/sa/a', ['td1/ns/foo/sa/a']],
    [['td1', 'cluster.local'], 'cluster.local/ns/foo/sa/a', ['td1/ns/foo/sa/a', 'cluster.local/ns/foo/sa/a']],
    [
      ['new-td', 'old-td', 'some-td'],
      'old-td/ns/foo/sa/a',
      ['new-td/ns/foo/sa/a', 'old-td/ns/foo/sa/a', 'some-td/ns/foo/sa/a'],
    ],
    [
      ['new-td', 'old-td', 'some-trustdomain'],
      '*-td/ns/foo/sa/a',
      ['*-td/ns/foo/sa/a', 'some-trustdomain/ns/foo/sa/a'],
    ],
    [['td1'], '*/ns/foo/sa/a', ['*/ns/foo/sa/a']],
    [['td1'], 'other/ns/foo/sa/a', ['other/ns/foo/sa/a']],
    [['td1'], 'cluster.local/ns/foo/*', ['cluster.local/ns/foo/*']],
    [['td1'], '*', ['*']],
  ] as const) {
    it(`has "${value}" in ${known.join(', ')} as ${wanted.join(', ')}`, () => {
      assert.deepEqual(migratePrincipals([value], known), wanted);
    });
  }

  it('is all of them where it is named itself, and cluster.local is a name like any other', () => {
    assert.deepEqual(expandTrustDomains(['b', 'x'], ['a', 'b']), ['a', 'b', 'x']);
    assert.deepEqual(expandTrustDomains(['cluster.local', '*'], ['a', 'b']), ['cluster.local', '*']);
    assert.deepEqual(expandTrustDomains(['a', 'b'], ['a', 'b']), ['a', 'b']);
  });
});
