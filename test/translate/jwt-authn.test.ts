/** RequestAuthentications as the jwt_authn filter. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { jwtRule } from '../support/test-tokens.ts';
import { configOf, translatePort } from './plan-fixture.ts';

describe('the jwt_authn filter', () => {
  it('asks one rule for its token, if there is one', () => {
    const { bypassCorsPreflight, rules } = jwtOf(jwtRule({ jwks: 'A' }));
    assert.equal(bypassCorsPreflight, true);
    const requires = { requiresAny: { requirements: [{ providerName: 'origins-0' }, { allowMissing: {} }] } };
    assert.deepEqual(rules, [{ match: { prefix: '/' }, requires }]);
  });

  it('takes the first of several rules that verifies, else wants every token that is there to', () => {
    const { rules } = jwtOf(jwtRule({ jwks: 'A' }), jwtRule({ jwks: 'B' }));
    const each = [{ providerName: 'origins-0' }, { providerName: 'origins-1' }];
    const orMissing = each.map((one) => ({ requiresAny: { requirements: [one, { allowMissing: {} }] } }));
    assert.deepEqual(rules, [
      {
        match: { prefix: '/' },
        requires: { requiresAny: { requirements: [...each, { requiresAll: { requirements: orMissing } }] } },
      },
    ]);
  });

  it('carries every setting of a rule', () => {
    const { providers } = jwtOf(
      jwtRule({
        issuer: 'i',
        audiences: ['a'],
        jwks: 'A',
        fromHeaders: [{ name: 'x-t', prefix: 'T ' }],
        fromParams: ['p'],
        fromCookies: ['c'],
        outputPayloadToHeader: 'x-p',
        outputClaimToHeaders: [{ header: 'x-s', claim: 'sub' }],
        forwardOriginalToken: true,
        spaceDelimitedClaims: ['roles', 'scope'],
      }),
    );
    assert.deepEqual(providers, {
      'origins-0': {
        issuer: 'i',
        audiences: ['a'],
        localJwks: { inlineString: 'A' },
        forward: true,
        fromHeaders: [{ name: 'x-t', valuePrefix: 'T ' }],
        fromParams: ['p'],
        fromCookies: ['c'],
        forwardPayloadHeader: 'x-p',
        claimToHeaders: [{ headerName: 'x-s', claimName: 'sub' }],
        payloadInMetadata: 'payload',
        normalizePayloadInMetadata: { spaceDelimitedClaims: ['permission', 'roles', 'scope'] },
      },
    });
  });

  it('has the keys that were fetched, and nobody’s where none were', () => {
    const { providers } = jwtOf(jwtRule({ keySet: 'fetched' }), jwtRule({ keySet: 'never' }));
    const keys = Object.values(providers!).map(
      (one) => (one as { localJwks: { inlineString: string } }).localJwks.inlineString,
    );
    assert.equal(keys[0], 'KEYS');
    assert.match(keys[1]!, /"kid":"key-set-not-fetched"/);
  });
});

function jwtOf(...rules: readonly ReturnType<typeof jwtRule>[]): Record<string, never> {
  const { httpFilters } = translatePort({ jwt: { rules, keySets: [] } });
  return configOf(httpFilters, 'envoy.filters.http.jwt_authn');
}
