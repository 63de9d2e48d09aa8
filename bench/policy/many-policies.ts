/**
 * Many ALLOW policies of one kind, each with one value; only the last, by name and by age, matches the benchmark's
 * requests, so that nothing is decided before it was found.
 */
import type { Certificates } from '../certificates.ts';
import { policyCase } from './enforced-policy.ts';
import type { EnforcedPolicy, PolicyCase } from './enforced-policy.ts';
import { allow, claim, operation, source } from './policy-documents.ts';
import { bearer, TokenIssuer } from './token-issuer.ts';

export const POLICY_KINDS = [
  'principal',
  'path',
  'path-prefix',
  'principal-suffix',
  'namespace',
  'ip-block',
  'claim',
] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

interface Kind {
  /** The rule of a policy that matches no request of the benchmark; each `at` gives another. */
  readonly rule: (at: number) => object;
  readonly lastRule: object;
  /** What the last rule does not match. */
  readonly denied: Partial<PolicyCase> & Pick<PolicyCase, 'what'>;
}

function kindOf(kind: PolicyKind, certificates: Certificates, issuer: TokenIssuer): Kind {
  const stranger = { what: 'a client of another namespace', client: certificates.stranger };
  const elsewhere = { what: 'another path', path: '/elsewhere' };
  switch (kind) {
    case 'principal':
      return {
        rule: (at) => source({ principals: [`cluster.local/ns/foo/sa/account-${at}`] }),
        lastRule: source({ principals: ['cluster.local/ns/foo/sa/sleep'] }),
        denied: stranger,
      };
    case 'path':
      return {
        rule: (at) => operation({ paths: [`/api/v1/resource-${at}`] }),
        lastRule: operation({ paths: ['/bench', '/headers'] }),
        denied: elsewhere,
      };
    case 'path-prefix':
      return {
        rule: (at) => operation({ paths: [`/api/v1/resource-${at}/*`] }),
        lastRule: operation({ paths: ['/ben*', '/head*'] }),
        denied: elsewhere,
      };
    case 'principal-suffix':
      return {
        rule: (at) => source({ principals: [`*/ns/foo/sa/account-${at}`] }),
        lastRule: source({ principals: ['*/ns/foo/sa/sleep'] }),
        denied: stranger,
      };
    case 'namespace':
      return {
        rule: (at) => source({ namespaces: [`team-${at}`] }),
        lastRule: source({ namespaces: ['foo'] }),
        denied: stranger,
      };
    case 'ip-block':
      return {
        rule: (at) => source({ ipBlocks: [`10.${at >> 8}.${at & 255}.0/24`] }),
        lastRule: source({ ipBlocks: ['127.0.0.1/32'] }),
        denied: { what: 'a client at another address', localAddress: '127.0.0.2' },
      };
    case 'claim':
      return {
        rule: (at) => claim('group', `group-${at}`),
        lastRule: claim('group', 'benchers'),
        denied: {
          what: 'a token of another group',
          fields: bearer(issuer.token('user', { group: 'group-none' })),
        },
      };
    default:
      return kind satisfies never;
  }
}

export function manyPolicies(
  certificates: Certificates,
  kind: PolicyKind,
  count: number,
  issuer: TokenIssuer,
): EnforcedPolicy {
  const { denied, lastRule, rule } = kindOf(kind, certificates, issuer);
  const policies = Array.from({ length: count }, (_, at) =>
    allow(`p-${String(at).padStart(6, '0')}`, at === count - 1 ? lastRule : rule(at)),
  );
  const isToken = kind === 'claim';
  return {
    documents: isToken ? [issuer.requestAuthentication(), ...policies] : policies,
    requestFields: isToken ? [bearer(issuer.token('user', { group: 'benchers' }))] : [],
    cases: [policyCase(certificates, { status: 403, ...denied })],
  };
}
