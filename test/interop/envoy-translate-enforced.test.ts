/** A real Envoy with translations enforces one of each kind; POSTERN_ENVOY names the binary. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { AuthorizationPlan, ExtAuthzProvider } from '../../src/core/authorization-plan.ts';
import type { JwtPlan } from '../../src/core/jwt-plan.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import { echoedHeader, startEchoApp, type EchoApp } from '../support/echo-app.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa } from '../support/test-ca.ts';
import { jwtRule } from '../support/test-tokens.ts';
import { policies, policy, port, provider, rule, snapshotOf } from '../translate/plan-fixture.ts';
import { startGrpcCheckServer, startHttpCheckServer, type CheckServer } from './check-server.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { startTranslatedEnvoy, staticCluster, type TranslatedEnvoy } from './envoy-translated.ts';

const HTTPBIN_ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const SLEEP_ID = 'spiffe://cluster.local/ns/foo/sa/sleep';

describe('an Envoy with translations', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let ca: TestCa;
  let app: EchoApp;
  let checks: Readonly<Record<'grpc' | 'http', CheckServer>>;
  let envoy: TranslatedEnvoy;
  let key: CryptoKey;
  const stack = new AsyncDisposableStack();

  before(async () => {
    ca = await TestCa.create('cluster.local');
    app = stack.use(await startEchoApp());
    checks = {
      grpc: stack.use(await startGrpcCheckServer(false)),
      http: stack.use(await startHttpCheckServer()),
    };
    const own = await ca.issue({ spiffeId: HTTPBIN_ID });
    const secrets = { certificateChain: own.chainPem, privateKey: own.keyPem, trustBundle: ca.rootPem };
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    key = privateKey;
    const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k' }] });
    const listeners = Object.entries(enforcedSnapshots()).map(([name, snapshot]) => ({
      name,
      snapshot,
      port: 8080,
      secrets,
      keySets: [{ name: 'fetched', jwks }],
    }));
    const clusters = [
      staticCluster('inbound|8080||', app.port),
      staticCluster('outbound|9000||grpc.foo.svc.cluster.local', checks.grpc.port, 'http2'),
      staticCluster('outbound|9000||http.foo.svc.cluster.local', checks.http.port),
    ];
    envoy = stack.use(await startTranslatedEnvoy({ listeners, clusters }));
  });

  after(() => stack.disposeAsync());

  /** Status and first line of the body; 'closed' where the connection ends without an answer. */
  async function answer(
    listener: string,
    { as, headers = '', path = '/' }: { as?: string; headers?: string; path?: string },
  ): Promise<string> {
    const identity = as === undefined ? null : await ca.issue({ spiffeId: as });
    const tls = identity && {
      ca: ca.rootPem,
      cert: identity.chainPem,
      key: identity.keyPem,
      ALPNProtocols: ['istio-http/1.1', 'istio', 'http/1.1'],
      checkServerIdentity: () => undefined,
    };
    using client = await connectRaw({ ...envoy.at[listener]!, ...(tls === null ? {} : { tls }) });
    await client.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n${headers}\r\n`);
    try {
      const { body, status } = await client.readResponse();
      return status === 200 ? '200' : `${status} ${body.toString()}`;
    } catch {
      return `closed ${client.pending.length}`;
    }
  }

  const DENIED = '403 RBAC: access denied';

  it('decides by principal and path, DENY before ALLOW', async () => {
    assert.equal(await answer('rbac', { as: SLEEP_ID }), '200');
    const xfcc = echoedHeader(app.seen.at(-1)!, 'x-forwarded-client-cert');
    assert.match(xfcc ?? '', new RegExp(`^By=${HTTPBIN_ID};Hash=[0-9a-f]{64};Subject="";URI=${SLEEP_ID}$`));
    assert.equal(await answer('rbac', { as: SLEEP_ID, path: '/x/../admin/y' }), DENIED);
    assert.equal(await answer('rbac', { as: 'spiffe://cluster.local/ns/foo/sa/other' }), DENIED);
    assert.equal(await answer('rbac', {}), DENIED);
    assert.equal(await answer('rbac', { path: '/info#fragment' }), DENIED);
  });

  it('strips a fragment as under Istio', async () => {
    assert.equal(await answer('rbac', { as: SLEEP_ID, path: '/info#x' }), '200');
    assert.equal(app.seen.at(-1)!.target, '/info');
  });

  it('counts a dry run and lets the request pass', async () => {
    const stat = 'http.inbound_0.0.0.0_8080;.rbac.istio_dry_run_deny_shadow_denied';
    const counted = await envoy.process.stat(stat);
    assert.equal(await answer('dry-run', { path: '/admin' }), '200');
    assert.equal(await envoy.process.stat(stat), counted + 1);
  });

  it('verifies tokens with the keys that were fetched, and refuses them where none were', async () => {
    const token = await new SignJWT({ groups: ['a'] })
      .setProtectedHeader({ alg: 'ES256', kid: 'k' })
      .setIssuer('iss')
      .setSubject('sub')
      .sign(key);
    const headers = `authorization: Bearer ${token}\r\n`;
    assert.equal(await answer('jwt', { headers }), '200');
    assert.equal(echoedHeader(app.seen.at(-1)!, 'authorization'), undefined);
    assert.equal(await answer('jwt', {}), DENIED);
    assert.equal(
      await answer('jwt', { headers: 'authorization: Bearer a.b.c\r\n' }),
      '401 Jwt header is an invalid Base64url encoded',
    );
    assert.equal(
      await answer('jwt-unfetched', { headers }),
      "401 Jwks doesn't have key to match kid or alg from Jwt",
    );
    assert.equal(await answer('jwt-unfetched', {}), '200');
  });

  for (const kind of ['grpc', 'http'] as const) {
    it(`asks a provider over ${kind} about what a CUSTOM rule matches, and nothing else`, async () => {
      const listener = `custom-${kind}`;
      assert.equal(await answer(listener, { path: '/free' }), '200');
      assert.deepEqual(checks[kind].asked, []);
      assert.equal(await answer(listener, { path: '/ask', headers: 'x-allow: yes\r\n' }), '200');
      if (kind === 'http') assert.equal(echoedHeader(app.seen.at(-1)!, 'x-checked'), 'by http');
      assert.equal(await answer(listener, { path: '/ask' }), kind === 'grpc' ? '403 ' : '403 no\n');
      assert.deepEqual(checks[kind].asked, kind === 'grpc' ? ['/ask', '/ask'] : ['/check/ask', '/check/ask']);
    });
  }

  it('denies what a CUSTOM rule of a broken provider matches', async () => {
    assert.equal(await answer('custom-broken', { path: '/ask' }), DENIED);
    assert.equal(await answer('custom-broken', { path: '/free' }), '200');
  });

  it('decides over TCP connections, with RBAC and with a provider', async () => {
    assert.equal(await answer('tcp', { as: SLEEP_ID }), '200');
    assert.equal(await answer('tcp', {}), 'closed 0');
    assert.equal(await answer('tcp-custom', {}), 'closed 0');
    assert.equal(checks.grpc.asked.at(-1), '');
  });

  it('takes no plaintext under STRICT', async () => {
    assert.equal(await answer('strict', {}), 'closed 0');
    assert.equal(await answer('strict', { as: SLEEP_ID }), '200');
  });
});

/** One listener a kind of enforcement. */
function enforcedSnapshots(): Readonly<Record<string, Snapshot>> {
  const sleep = rule({ from: [{ principals: ['cluster.local/ns/foo/sa/sleep'] }] });
  const admin = rule({ to: [{ paths: ['/admin*'], ports: ['8080'] }] });
  const ask = rule({ to: [{ paths: ['/ask'] }] });
  const custom = (name: string, fields: Partial<ExtAuthzProvider>, rules = [ask]): AuthorizationPlan => ({
    policies: [policy({ action: 'CUSTOM', provider: name, rules })],
    providers: { [name]: provider({ name, ...fields }) },
  });
  const onTcp = [port('tcp')];
  return {
    rbac: snapshotOf({
      authorization: policies(
        policy({ rules: [sleep] }),
        policy({ action: 'DENY', name: 'd', rules: [admin] }),
      ),
    }),
    'dry-run': snapshotOf({
      authorization: policies(policy({ action: 'DENY', dryRun: true, rules: [admin] })),
    }),
    jwt: snapshotOf({
      jwt: tokenRules('fetched'),
      authorization: policies(
        policy({
          rules: [
            rule({
              from: [{ requestPrincipals: ['iss/sub'] }],
              when: [{ key: 'request.auth.claims[groups]', values: ['a'] }],
            }),
          ],
        }),
      ),
    }),
    'jwt-unfetched': snapshotOf({ jwt: tokenRules('never') }),
    'custom-grpc': snapshotOf({ authorization: custom('grpc', {}) }),
    'custom-http': snapshotOf({
      authorization: custom('http', {
        kind: 'http',
        pathPrefix: '/check',
        includeRequestHeadersInCheck: ['x-allow'],
        headersToUpstreamOnAllow: ['x-checked'],
      }),
    }),
    'custom-broken': snapshotOf({
      authorization: policies(
        policy({ action: 'CUSTOM', provider: 'none', providerProblem: 'no such provider', rules: [ask] }),
      ),
    }),
    tcp: snapshotOf({ ports: onTcp, authorization: policies(policy({ rules: [sleep] })) }),
    'tcp-custom': snapshotOf({ ports: onTcp, authorization: custom('grpc', {}, [rule({})]) }),
    strict: snapshotOf({ ports: [port('http', 'STRICT')] }),
  };
}

function tokenRules(keySet: string): JwtPlan {
  return { rules: [jwtRule({ issuer: 'iss', keySet })], keySets: [] };
}
