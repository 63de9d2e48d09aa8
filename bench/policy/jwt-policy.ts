/**
 * A token on every request and ten AuthorizationPolicies, as a careful team has them: no request without a token, some
 * things for nobody, some for a few, and one rule that lets the benchmark's requests through.
 */
import type { Certificates } from '../certificates.ts';
import { policyCase } from './enforced-policy.ts';
import type { EnforcedPolicy } from './enforced-policy.ts';
import { allow, claim, deny, operation, source } from './policy-documents.ts';
import { bearer, TokenIssuer } from './token-issuer.ts';
import type { Algorithm } from './token-issuer.ts';

/** Each another user's: more than one entry of whatever remembers tokens. */
const TOKENS = 16;

export function jwtPolicy(certificates: Certificates, algorithm: Algorithm): EnforcedPolicy {
  const issuer = new TokenIssuer(algorithm);
  const stranger = new TokenIssuer(algorithm);
  const claims = { groups: ['staff', 'benchers'], email: 'someone@bench.test', scope: 'read write' };
  const good = Array.from({ length: TOKENS }, (_, at) => bearer(issuer.token(`user-${at}`, claims)));
  const [first = ''] = good;
  const other = (given: Readonly<Record<string, unknown>>): string =>
    bearer(issuer.token('user-x', { ...claims, ...given }));
  const test = (what: string, status: number, fields: string, path = '/bench', body = '') =>
    policyCase(certificates, { what, status, fields, path, body });
  return {
    documents: [issuer.requestAuthentication(), ...tenPolicies(issuer.issuer)],
    requestFields: good,
    cases: [
      ...good.map((fields, at) => test(`the token of user ${at}`, 200, fields)),
      test('a request without a token', 403, ''),
      test('a token that another key signed', 401, bearer(stranger.token('user-0', claims))),
      test('a token with another payload than was signed', 401, bearer(forged(issuer, claims))),
      test('a token that has expired', 401, other({ exp: Math.floor(Date.now() / 1000) - 3_600 })),
      test('a token for another audience', 403, other({ aud: 'elsewhere' }), '/bench', 'Audiences in Jwt'),
      test('a token of a suspended user', 403, other({ suspended: 'true' })),
      test('a token of a user of no group', 403, other({ groups: ['staff'] })),
      test('a path for nobody', 403, first, '/admin/users'),
      test('a path that no rule allows', 403, first, '/elsewhere'),
      policyCase(certificates, {
        what: 'a client of another namespace',
        status: 403,
        fields: first,
        client: certificates.stranger,
      }),
    ],
  };
}

function forged(issuer: TokenIssuer, claims: Readonly<Record<string, unknown>>): string {
  const [header, , signature] = issuer.token('user-0', claims).split('.');
  const [, payload] = issuer.token('administrator', claims).split('.');
  return `${header}.${payload}.${signature}`;
}

function tenPolicies(issuer: string): object[] {
  const accounts = 'cluster.local/ns/foo/sa';
  return [
    deny('deny-admin', operation({ paths: ['/admin', '/admin/*'] })),
    deny('deny-writes', operation({ methods: ['DELETE', 'PUT', 'PATCH'] })),
    deny('deny-without-token', source({ notRequestPrincipals: ['*'] })),
    deny('deny-suspended', claim('suspended', 'true')),
    deny('deny-legacy', source({ namespaces: ['legacy'] })),
    allow(
      'allow-api',
      source({ principals: [`${accounts}/frontend`] }),
      operation({ methods: ['GET', 'POST'], paths: ['/api/*'] }),
    ),
    allow(
      'allow-batch',
      source({ requestPrincipals: [`${issuer}/batch`] }),
      operation({ methods: ['POST'], paths: ['/jobs'] }),
    ),
    allow(
      'allow-bench',
      source({ principals: [`${accounts}/sleep`], requestPrincipals: [`${issuer}/*`] }),
      operation({ methods: ['GET'], paths: ['/bench', '/headers'] }),
      claim('groups', 'benchers'),
    ),
    allow('allow-operators', source({ ipBlocks: ['10.0.0.0/8'] }), claim('groups', 'operators')),
    allow('allow-reports', operation({ paths: ['*/reports'] }), claim('groups', 'auditors')),
  ];
}
