/**
 * RequestAuthentications as Envoy's jwt_authn filter, key sets inlined (Istio's policy applier).
 *
 * A token that is there must verify; a request without one passes. The tree of requirements says so for several rules.
 */
import type { FetchedKeySet, JwtPlan, JwtRule } from '../core/jwt-plan.ts';
import { type EnvoyMessage, extension } from './envoy-message.ts';
import { NOBODYS_KEY_SET } from './nobodys-key-set.ts';

const ALWAYS_SPACE_DELIMITED = ['permission', 'scope'];

/** null: no RequestAuthentication applies. */
export function jwtFilter({ rules }: JwtPlan, keySets: readonly FetchedKeySet[]): EnvoyMessage | null {
  if (rules.length === 0) return null;
  const providers = Object.fromEntries(
    rules.map((rule, index): [string, EnvoyMessage] => [nameOf(index), provider(rule, keySets)]),
  );
  return extension(
    'envoy.filters.http.jwt_authn',
    'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    {
      providers,
      rules: [{ match: { prefix: '/' }, requires: requirement(rules.length) }],
      bypassCorsPreflight: true,
    },
  );
}

function nameOf(index: number): string {
  return `origins-${index}`;
}

/** The first rule whose token verifies lets the request pass; else every token that is there must verify. */
function requirement(count: number): EnvoyMessage {
  const each = Array.from({ length: count }, (_, index) => ({ providerName: nameOf(index) }));
  const orMissing = each.map((one) => ({ requiresAny: { requirements: [one, { allowMissing: {} }] } }));
  const [only] = orMissing;
  if (count === 1 && only !== undefined) return only;
  return { requiresAny: { requirements: [...each, { requiresAll: { requirements: orMissing } }] } };
}

function provider(rule: JwtRule, keySets: readonly FetchedKeySet[]): EnvoyMessage {
  const spaceDelimited = new Set([...rule.spaceDelimitedClaims, ...ALWAYS_SPACE_DELIMITED]);
  return {
    issuer: rule.issuer,
    ...listOf('audiences', rule.audiences),
    localJwks: { inlineString: keysOf(rule, keySets) },
    forward: rule.forwardOriginalToken,
    ...listOf(
      'fromHeaders',
      rule.fromHeaders.map(({ name, prefix }) => ({ name, valuePrefix: prefix })),
    ),
    ...listOf('fromParams', rule.fromParams),
    ...listOf('fromCookies', rule.fromCookies),
    ...(rule.outputPayloadToHeader === '' ? {} : { forwardPayloadHeader: rule.outputPayloadToHeader }),
    ...listOf(
      'claimToHeaders',
      rule.outputClaimToHeaders.map(({ claim, header }) => ({ headerName: header, claimName: claim })),
    ),
    payloadInMetadata: 'payload',
    normalizePayloadInMetadata: { spaceDelimitedClaims: [...spaceDelimited].toSorted() },
  };
}

function keysOf(rule: JwtRule, keySets: readonly FetchedKeySet[]): string {
  if (rule.jwks !== '') return rule.jwks;
  return keySets.find(({ name }) => name === rule.keySet)?.jwks ?? NOBODYS_KEY_SET;
}

function listOf(field: string, values: readonly unknown[]): EnvoyMessage {
  return values.length === 0 ? {} : { [field]: values };
}
