/**
 * The example policies: each has its own tests with every rule decided, and what the texts on these policies promise is
 * asserted here once more by hand.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readPolicyTest } from '../src/explain/read-policy-test.ts';
import { explain } from '../src/index.ts';
import type { Explanation, RequestDocument } from '../src/index.ts';
import { runPostern } from './support/spawn-postern.ts';

const FOLDER = fileURLToPath(new URL('../examples/policies', import.meta.url));
const ISSUER = 'https://auth.example.com';
const KEYS = path.join(FOLDER, 'request-authentication/auth.example.com.jwks.json');

interface Report {
  readonly ok: boolean;
  readonly files: readonly {
    readonly file: string;
    readonly cases: readonly { readonly name: string; readonly ok: boolean; readonly reason: string }[];
    readonly coverage: { readonly rules: number; readonly missing: readonly unknown[] };
  }[];
}

describe('the example policies', () => {
  const files = globSync('*/*.test.yaml', { cwd: FOLDER }).toSorted();

  it('hold all their tests, with every rule decided', async () => {
    const args = ['--require-coverage', '--output', 'json', '--jwks', `${ISSUER}=${KEYS}`];
    const { code, stdout } = await runPostern(['test', ...files, ...args], { cwd: FOLDER });
    const report = JSON.parse(stdout) as Report;
    const failed = report.files.flatMap(({ cases, file }) =>
      cases.filter(({ ok }) => !ok).map(({ name, reason }) => `${file}: ${name}: ${reason}`),
    );
    assert.deepEqual(failed, []);
    assert.deepEqual([code, report.ok, report.files.length], [0, true, files.length]);
    const rules = report.files.reduce((sum, { coverage }) => sum + coverage.rules, 0);
    assert.ok(rules >= 5, `${rules} rules`);
  });

  it('are in folders that each have a test, named in the README', () => {
    const readme = readFileSync(path.join(FOLDER, 'README.md'), 'utf8');
    const folders = globSync('*/', { cwd: FOLDER }).map((folder) => folder.replace(/\/$/, ''));
    assert.ok(folders.length >= 9);
    for (const folder of folders) {
      assert.ok(readme.includes(`| ${folder} `), folder);
      assert.ok(
        files.some((file) => file.startsWith(`${folder}/`)),
        folder,
      );
    }
  });

  it('have tests that name what they show', () => {
    for (const file of files) {
      const { test } = readPolicyTest(readFileSync(path.join(FOLDER, file), 'utf8'), file);
      const names = test?.cases.map(({ name }) => name) ?? [];
      assert.equal(new Set(names).size, names.length, file);
    }
  });
});

const FRONTEND = { principal: 'cluster.local/ns/production/sa/frontend' };
const API: RequestDocument = { from: FRONTEND, request: { path: '/api/reviews' } };

function ask(
  files: readonly string[],
  request: RequestDocument,
  namespace = 'production',
): Promise<Explanation> {
  return explain({
    config: files.map((file) => path.join(FOLDER, file)),
    workload: { namespace, name: 'reviews', labels: { app: 'reviews' } },
    request,
    jwks: { [ISSUER]: readFileSync(KEYS, 'utf8') },
  });
}

const JWT = ['request-authentication/policies.yaml'];
const REQUIRE_JWT = [...JWT, 'require-jwt/policies.yaml'];
const PHASE_1 = ['mtls-rollout/phase-1.yaml'];
const PHASE_2 = [...PHASE_1, 'mtls-rollout/phase-2.yaml'];
const PHASE_3 = ['mtls-rollout/phase-3.yaml'];
const OPA = ['ext-authz/mesh-config.yaml', 'ext-authz/policies.yaml'];
const TRUST_DOMAIN = ['trust-domain/mesh-config.yaml', 'trust-domain/policies.yaml'];
const BAD_TOKEN: RequestDocument = { request: { headers: { authorization: 'Bearer x' } } };

/** What is promised, documents, request → verdict, status, what decided. */
const PROMISES: readonly (readonly [
  string,
  readonly string[],
  RequestDocument,
  readonly [string, number | null, string | null],
])[] = [
  ['no policy at all: default allow', PHASE_1, API, ['allow', null, null]],
  ['RequestAuthentication: no token passes, unauthenticated', JWT, {}, ['allow', null, null]],
  ['RequestAuthentication: an invalid token is 401', JWT, BAD_TOKEN, ['deny', 401, 'default/jwt-auth']],
  ['DENY notRequestPrincipals: no token is 403', REQUIRE_JWT, {}, ['deny', 403, 'default/require-jwt']],
  ['and an invalid one still 401', REQUIRE_JWT, BAD_TOKEN, ['deny', 401, 'default/jwt-auth']],
  [
    'and a valid one passes',
    REQUIRE_JWT,
    { jwt: { claims: { iss: ISSUER, sub: 'alice' } } },
    ['allow', null, null],
  ],
  [
    'ALLOW: what matches passes',
    ['allow-frontend/policies.yaml'],
    API,
    ['allow', null, 'production/allow-frontend'],
  ],
  [
    'ALLOW: what does not match is 403',
    ['allow-frontend/policies.yaml'],
    { from: FRONTEND, request: { method: 'DELETE', path: '/api/reviews' } },
    ['deny', 403, null],
  ],
  ['an empty spec denies all', ['deny-all/policies.yaml'], API, ['deny', 403, null]],
  [
    'namespace isolation lets the namespace in',
    ['allow-same-namespace/policies.yaml'],
    API,
    ['allow', null, 'production/allow-same-namespace'],
  ],
  [
    'and nobody else',
    ['allow-same-namespace/policies.yaml'],
    { from: { principal: 'cluster.local/ns/staging/sa/frontend' } },
    ['deny', 403, null],
  ],
  ['CUSTOM denied is 403', OPA, { ...API, extAuthz: 'deny' }, ['deny', 403, 'production/ext-authz']],
  ['CUSTOM allowed goes on', OPA, { ...API, extAuthz: 'allow' }, ['allow', null, null]],
  ['CUSTOM not matched goes on', OPA, { extAuthz: 'deny' }, ['allow', null, null]],
  [
    'failOpen false denies on an error',
    OPA,
    { ...API, extAuthz: 'error' },
    ['deny', 403, 'production/ext-authz'],
  ],
  ['without an answer nothing is decided', OPA, API, ['undecided', null, null]],
  ['phase 1, PERMISSIVE: plaintext passes', PHASE_1, {}, ['allow', null, null]],
  ['phase 1, PERMISSIVE: mTLS passes', PHASE_1, API, ['allow', null, null]],
  ['phase 2, STRICT for the namespace: plaintext is refused', PHASE_2, {}, ['deny', null, null]],
  ['phase 2: mTLS passes', PHASE_2, API, ['allow', null, null]],
  ['phase 3, STRICT for the mesh: plaintext is refused', PHASE_3, {}, ['deny', null, null]],
  [
    'portLevelMtls STRICT on 8080 refuses plaintext',
    ['reviews-mtls/policies.yaml'],
    { to: { port: 8080 } },
    ['deny', null, null],
  ],
  [
    'portLevelMtls DISABLE on 15021 takes plaintext',
    ['reviews-mtls/policies.yaml'],
    { to: { port: 15_021 } },
    ['allow', null, null],
  ],
  [
    'trustDomainAliases: a certificate of the old trust domain is still trusted',
    TRUST_DOMAIN,
    { from: { principal: 'old-domain.example.com/ns/production/sa/frontend' } },
    ['allow', null, 'production/allow-frontend'],
  ],
  [
    'and the policy that names the old one is for new certificates too',
    TRUST_DOMAIN,
    { from: { principal: 'new-domain.example.com/ns/production/sa/frontend' } },
    ['allow', null, 'production/allow-frontend'],
  ],
];

describe('what is promised of them', () => {
  for (const [promise, files, request, expected] of PROMISES) {
    it(promise, async () => {
      // Documents without a namespace are in "default".
      const namespace = files.includes(JWT[0]!) ? 'default' : 'production';
      const { decidedBy, reason, status, verdict } = await ask(files, request, namespace);
      assert.deepEqual([verdict, status, decidedBy?.policy ?? null], expected, reason);
    });
  }

  it('plaintext to STRICT has no chain, and port 15021 is in plaintext', async () => {
    const refused = await ask(PHASE_2, {});
    assert.deepEqual([refused.arrival.chain, refused.details], [null, 'filter_chain_not_found']);
    const health = await ask(['reviews-mtls/policies.yaml'], { to: { port: 15_021 } });
    assert.deepEqual([health.arrival.mode, health.arrival.chain], ['DISABLE', 'http plaintext']);
  });
});
