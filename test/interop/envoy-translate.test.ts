/** A real Envoy takes every translation; POSTERN_ENVOY names the binary. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { AuthorizationPlan } from '../../src/core/authorization-plan.ts';
import type { MtlsMode, PortProtocol } from '../../src/mesh/plan.ts';
import type { InlineSecrets } from '../../src/translate/downstream-tls.ts';
import { TestCa } from '../support/test-ca.ts';
import { jwtRule } from '../support/test-tokens.ts';
import {
  policies,
  policy,
  port,
  provider,
  rule,
  snapshotOf,
  type SnapshotParts,
} from '../translate/plan-fixture.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { staticCluster, translatedBootstrap, validateWithEnvoy } from './envoy-translated.ts';

const HTTPBIN_ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';

/** Every field and every kind of value of AuthorizationPolicy. */
const EVERY_FIELD = rule({
  from: [
    {
      principals: ['cluster.local/ns/foo/sa/sleep', '*', '*/sa/a', 'cluster.local/ns/foo/*', 'x.y/ns/(/sa/+'],
      notPrincipals: ['cluster.local/ns/foo/sa/admin'],
      requestPrincipals: [
        '*',
        'a/b',
        'a',
        '*b',
        '*/b',
        '*a/b',
        'a*',
        'a/*',
        'a/b*',
        '*a/b*',
        'https://a.com/b',
      ],
      notRequestPrincipals: ['*', 'a/b'],
      remoteIpBlocks: ['10.0.0.0/8', '1.2.3.4', '::1', '2001:db8::/32'],
      notRemoteIpBlocks: ['0.0.0.0/0'],
      ipBlocks: ['127.0.0.1'],
      notIpBlocks: ['192.168.0.0/16'],
      namespaces: ['foo', 'foo*', '*', 'a.b', '*a*'],
      notNamespaces: ['bar'],
    },
    { serviceAccounts: ['sleep', 'foo/sleep', 'a.b'], notServiceAccounts: ['bar/x'] },
    { trustDomains: ['cluster.local', '*', '*.local', 'cluster*'], notTrustDomains: ['evil'] },
  ],
  to: [
    {
      hosts: ['a.com', '*.com', 'a*', '*', 'A.com:*'],
      notHosts: ['b.com'],
      ports: ['8080', '1', '65535'],
      notPorts: ['22'],
      methods: ['GET', '*', 'P*', '*T'],
      notMethods: ['DELETE'],
      paths: ['/a', '/a/*', '*/b', '*', '/x/{*}/y', '/x/{**}', '/x/{*}/{**}/z', '{*}', '/a//{**}', '/a*b'],
      notPaths: ['/admin*', '/x/{*}'],
    },
    { methods: ['POST'] },
  ],
  when: [
    { key: 'request.headers[X-Role]', values: ['a', 'a*', '*a', '*', ''], notValues: ['z'] },
    { key: 'request.headers[:path]', values: ['/a'] },
    { key: 'source.ip', values: ['10.0.0.0/8'], notValues: ['10.1.1.1'] },
    { key: 'remote.ip', values: ['10.0.0.0/8'] },
    { key: 'source.namespace', values: ['foo'], notValues: ['bar'] },
    { key: 'source.serviceAccount', values: ['foo/sleep'] },
    { key: 'source.trustDomain', values: ['cluster.local'] },
    { key: 'source.principal', values: ['cluster.local/ns/foo/sa/sleep'], notValues: ['*'] },
    { key: 'request.auth.principal', values: ['a/b'], notValues: ['c/d'] },
    { key: 'request.auth.audiences', values: ['a', 'b*'], notValues: ['c'] },
    { key: 'request.auth.presenter', values: ['a'] },
    { key: 'request.auth.claims[groups]', values: ['a', '*'], notValues: ['b'] },
    { key: 'request.auth.claims[a][b]', values: ['a'] },
    { key: 'request.auth.claims[a[b]]', values: ['a'] },
    { key: 'destination.ip', values: ['10.0.0.0/8'], notValues: ['::1'] },
    { key: 'destination.port', values: ['8080'], notValues: ['22'] },
    { key: 'connection.sni', values: ['a', '*.b', 'a*', '*'], notValues: ['c'] },
    { key: 'experimental.envoy.filters.a.b[c]', values: ['v', '[w]'], notValues: ['x'] },
  ],
});

const ONE = rule({ to: [{ paths: ['/x*'] }] });
const JWKS = JSON.stringify({ keys: [{ kty: 'oct', k: 'AQID' }] });

const AUTHORIZATIONS: Readonly<Record<string, AuthorizationPlan>> = {
  ...Object.fromEntries(
    (['ALLOW', 'DENY', 'AUDIT'] as const).flatMap((action) => [
      [`${action} with every field`, policies(policy({ action, rules: [EVERY_FIELD, rule({})] }))],
      [`${action} without rules`, policies(policy({ action }))],
      [`${action} in dry run`, policies(policy({ action, dryRun: true, rules: [EVERY_FIELD] }))],
      [
        `${action} enforced and in dry run`,
        policies(policy({ action, name: 'a', rules: [ONE] }), policy({ action, dryRun: true, rules: [ONE] })),
      ],
    ]),
  ),
  'ALLOW of which no rule is left': policies(
    policy({ rules: [rule({ when: [{ key: 'what', values: ['x'] }] })] }),
  ),
  'CUSTOM with a gRPC provider': {
    policies: [policy({ action: 'CUSTOM', provider: 'ext', rules: [ONE, rule({})] })],
    providers: {
      ext: provider({
        failOpen: true,
        statusOnError: 503,
        timeoutMs: 250,
        body: { maxRequestBytes: 1024, allowPartialMessage: true, packAsBytes: true },
      }),
    },
  },
  'CUSTOM with an HTTP provider': {
    policies: [policy({ action: 'CUSTOM', provider: 'ext', rules: [ONE] })],
    providers: {
      ext: provider({
        kind: 'http',
        pathPrefix: '/check',
        body: { maxRequestBytes: 10, allowPartialMessage: false, packAsBytes: false },
        includeRequestHeadersInCheck: ['x-a', 'x-b-*', '*-c'],
        includeAdditionalHeadersInCheck: ['x-z', '1', 'x-y', '2'],
        headersToUpstreamOnAllow: ['x-a', 'x-b*'],
        headersToDownstreamOnDeny: ['x-a'],
        headersToDownstreamOnAllow: ['*-a'],
      }),
    },
  },
  'CUSTOM with two providers, a broken one, and dry run': {
    policies: [
      policy({ action: 'CUSTOM', provider: 'ab', name: 'ab', rules: [ONE] }),
      policy({ action: 'CUSTOM', provider: 'a', name: 'a', rules: [ONE] }),
      policy({ action: 'CUSTOM', provider: 'a', name: 'dry', dryRun: true, rules: [ONE] }),
      policy({ action: 'CUSTOM', provider: 'bad', name: 'bad', providerProblem: 'no such', rules: [ONE] }),
    ],
    providers: { a: provider({ name: 'a' }), ab: provider({ name: 'ab' }) },
  },
};

/** A name that Envoy opens in the folder of its own that it runs in. */
const LOG = 'access.log';

const SNAPSHOTS: Readonly<Record<string, SnapshotParts>> = {
  ...Object.fromEntries(
    Object.entries(AUTHORIZATIONS).map(([name, authorization]) => [name, { authorization }]),
  ),
  'a JWT rule with every field': {
    jwt: {
      rules: [
        jwtRule({
          issuer: 'https://a.com/b',
          audiences: ['x', 'https://y/'],
          jwks: JWKS,
          fromHeaders: [
            { name: 'x-token', prefix: 'Token ' },
            { name: 'x-plain', prefix: '' },
          ],
          fromParams: ['t'],
          fromCookies: ['c'],
          outputPayloadToHeader: 'x-payload',
          outputClaimToHeaders: [{ header: 'x-sub', claim: 'sub' }],
          forwardOriginalToken: true,
          spaceDelimitedClaims: ['roles', 'scope'],
        }),
      ],
      keySets: [],
    },
  },
  'three JWT rules, one of any issuer, one never fetched': {
    jwt: {
      rules: [
        jwtRule({ jwks: JWKS }),
        jwtRule({ issuer: 'b', keySet: 'b u' }),
        jwtRule({ issuer: 'c', jwks: JWKS }),
      ],
      keySets: [{ name: 'b u', issuer: 'b', jwksUri: 'u', timeoutMs: 5000 }],
    },
  },
  'an access log as text': { accessLog: { path: LOG, encoding: 'TEXT', format: '' } },
  'an access log as JSON': { accessLog: { path: LOG, encoding: 'JSON', format: '' } },
  'aliases of the trust domain': {
    trustDomains: ['new', 'old'],
    authorization: policies(policy({ rules: [EVERY_FIELD] })),
  },
  ...Object.fromEntries(
    (['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const).map((pathNormalization) => [
      `path normalisation ${pathNormalization}`,
      { pathNormalization },
    ]),
  ),
};

const PROTOCOLS: readonly PortProtocol[] = ['http', 'http2', 'tcp', 'auto'];
const MODES: readonly MtlsMode[] = ['STRICT', 'PERMISSIVE', 'DISABLE'];

const CLUSTERS = [
  staticCluster('sds-grpc', 9, 'http2'),
  staticCluster('inbound|8080||', 9),
  staticCluster('InboundPassthroughCluster', 9),
  ...['ext', 'a', 'ab'].map((name) =>
    staticCluster(`outbound|9000||${name}.foo.svc.cluster.local`, 9, 'http2'),
  ),
];

describe('translations in a real Envoy', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let secrets: InlineSecrets;

  before(async () => {
    const ca = await TestCa.create('cluster.local');
    const own = await ca.issue({ spiffeId: HTTPBIN_ID });
    secrets = { certificateChain: own.chainPem, privateKey: own.keyPem, trustBundle: ca.rootPem };
  });

  for (const [name, parts] of Object.entries(SNAPSHOTS)) {
    it(`are taken: ${name}`, async () => {
      const listeners = [...PROTOCOLS.entries()].flatMap(([at, protocol]) => {
        const snapshot = snapshotOf({ ...parts, ports: [port(protocol)] });
        return { name: `l${at}`, snapshot, port: 8080, secrets };
      });
      assert.equal(await validateWithEnvoy(translatedBootstrap({ listeners, clusters: CLUSTERS })), '');
    });
  }

  it('are taken in every mode on every protocol, with secrets inline and by SDS', async () => {
    const listeners = MODES.flatMap((mode) =>
      PROTOCOLS.flatMap((protocol) =>
        [secrets, null].map((given) => ({
          name: `${mode} ${protocol} ${given === null ? 'sds' : 'inline'}`,
          snapshot: snapshotOf({ ports: [port(protocol, mode)], passthrough: mode }),
          port: 8080,
          secrets: given,
        })),
      ),
    );
    const others = listeners.map((listener) => ({ ...listener, name: `${listener.name} other`, port: 9999 }));
    const all = [...listeners, ...others];
    assert.equal(await validateWithEnvoy(translatedBootstrap({ listeners: all, clusters: CLUSTERS })), '');
  });
});
