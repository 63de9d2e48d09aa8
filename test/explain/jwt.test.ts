/** The JWT step: tokens where a client would put them, tokens and claims that the file states, keys given and not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TestIssuer } from '../support/test-tokens.ts';
import { ask, jwtPolicy, policy, stepOf, targetOf } from './ask.ts';

const ISSUER = 'https://issuer.example';
const A = new TestIssuer(ISSUER);
const good = await A.token({ scope: 'read write', role: 'editor' });
const expired = await A.token({ exp: 1_000 });
const foreign = await new TestIssuer('elsewhere').token();

const inline = (more = ''): string => jwtPolicy(`{issuer: "${ISSUER}", jwks: '${A.jwks()}'${more}}`);
const INLINE = inline();
const FETCHED = jwtPolicy(`{issuer: "${ISSUER}", jwksUri: "${ISSUER}/keys"}`);
const REQUIRE = policy(
  'require',
  '{action: DENY, rules: [{from: [{source: {notRequestPrincipals: ["*"]}}]}]}',
);
const stated = (token: string): string => `jwt: {token: ${token}}`;
const bearer = (token: string): string => `request: {headers: {Authorization: "Bearer ${token}"}}`;

describe('a token', () => {
  it('is read where a client puts it', async () => {
    for (const request of [bearer(good), `request: {path: "/a?access_token=${good}"}`]) {
      const explanation = await ask(INLINE + REQUIRE, request);
      assert.equal(explanation.verdict, 'allow', explanation.reason);
      assert.equal(stepOf(explanation, 'JWT').outcome, `verified: issuer "${ISSUER}"`);
    }
  });

  it('that is absent lets the request pass RequestAuthentication, and DENY denies it', async () => {
    const alone = await ask(INLINE, '{}');
    assert.equal(alone.verdict, 'allow');
    assert.match(stepOf(alone, 'JWT').outcome, /^no token/);
    const required = await ask(INLINE + REQUIRE, '{}');
    assert.deepEqual(
      [required.verdict, required.status, required.decidedBy?.policy],
      ['deny', 403, 'foo/require'],
    );
  });

  for (const [what, token, status, details] of [
    ['expired', expired, 401, 'jwt_authn_access_denied{Jwt_is_expired}'],
    ['of another issuer', foreign, 401, 'jwt_authn_access_denied{Jwt_issuer_is_not_configured}'],
    [
      'no token',
      'junk',
      401,
      'jwt_authn_access_denied{Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections}',
    ],
  ] as const) {
    it(`that is ${what} is refused, wherever it stands`, async () => {
      for (const request of [bearer(token), stated(token)]) {
        const explanation = await ask(INLINE, request);
        assert.deepEqual(
          [explanation.verdict, explanation.status, explanation.details],
          ['deny', status, details],
        );
        assert.deepEqual(explanation.decidedBy, {
          step: 'JWT',
          policy: 'foo/jwt',
          rule: 0,
          key: 'RequestAuthentication foo/jwt rule 0',
        });
        assert.equal(stepOf(explanation, 'DENY').outcome, 'not reached');
        assert.ok(!JSON.stringify(explanation.reason).includes(token === 'junk' ? 'junk"' : token));
      }
    });
  }

  it('for another audience is 403', async () => {
    const explanation = await ask(inline(', audiences: [me]'), stated(good));
    assert.deepEqual(
      [explanation.status, explanation.details],
      [403, 'jwt_authn_access_denied{Audiences_in_Jwt_are_not_allowed}'],
    );
  });

  it('that the file states is put where its rule looks, instead of any other', async () => {
    for (const place of [
      '',
      ', fromHeaders: [{name: x-token, prefix: "Token "}]',
      ', fromParams: [t]',
      ', fromCookies: [session]',
    ]) {
      const explanation = await ask(inline(place) + REQUIRE, `{${stated(good)}, ${bearer(expired)}}`);
      assert.equal(explanation.verdict, 'allow', `${place}: ${explanation.reason}`);
    }
  });

  it('is undecided where its keys are fetched and not at hand, and says how to give them', async () => {
    for (const request of [stated(good), bearer(good)]) {
      const explanation = await ask(FETCHED, request);
      assert.deepEqual(
        [explanation.verdict, explanation.status, explanation.decidedBy],
        ['undecided', null, null],
      );
      assert.ok(explanation.reason.includes(`--jwks ${ISSUER}=FILE`), explanation.reason);
    }
  });

  it('is verified with keys that are given for its issuer', async () => {
    const target = targetOf(FETCHED + REQUIRE, { [ISSUER]: A.jwks() });
    assert.equal((await ask(target, stated(good))).verdict, 'allow');
    assert.equal((await ask(target, stated(expired))).status, 401);
    const wrong = targetOf(FETCHED, { [ISSUER]: new TestIssuer(ISSUER).jwks() });
    assert.equal((await ask(wrong, stated(good))).status, 401);
  });

  it('needs no keys to be refused for its issuer or form', async () => {
    assert.equal((await ask(FETCHED, stated(foreign))).status, 401);
    assert.equal((await ask(FETCHED, stated('junk'))).status, 401);
  });

  it('is not looked at in a CORS preflight', async () => {
    const headers = `{authorization: "Bearer ${expired}", origin: "https://a.example", access-control-request-method: GET}`;
    const explanation = await ask(INLINE, `request: {method: OPTIONS, headers: ${headers}}`);
    assert.equal(explanation.verdict, 'allow');
  });

  it('gives the fields that rules put into the request, and takes those that a client made up', async () => {
    const documents =
      inline(', outputClaimToHeaders: [{header: x-role, claim: role}]') +
      policy('role', '{rules: [{when: [{key: "request.headers[x-role]", values: [editor]}]}]}');
    assert.equal((await ask(documents, stated(good))).verdict, 'allow');
    assert.equal((await ask(documents, 'request: {headers: {x-role: editor}}')).verdict, 'deny');
    const claims = `{jwt: {claims: {iss: "${ISSUER}", role: editor}}, request: {headers: {x-role: viewer}}}`;
    assert.equal((await ask(documents, claims)).verdict, 'allow');
  });
});

describe('claims that the file states', () => {
  it('count as verified', async () => {
    const documents =
      INLINE + policy('alice', `{rules: [{from: [{source: {requestPrincipals: ["${ISSUER}/alice"]}}]}]}`);
    const explanation = await ask(documents, `jwt: {claims: {iss: "${ISSUER}", sub: alice}}`);
    assert.equal(explanation.decidedBy?.policy, 'foo/alice');
    assert.equal(
      stepOf(explanation, 'JWT').outcome,
      'verified: as stated for RequestAuthentication foo/jwt rule 0',
    );
    assert.equal((await ask(documents, `jwt: {claims: {iss: "${ISSUER}", sub: bob}}`)).verdict, 'deny');
  });

  it('are split as those of a token, and stand instead of one', async () => {
    const documents =
      INLINE + policy('scope', '{rules: [{when: [{key: "request.auth.claims[scope]", values: [read]}]}]}');
    const claims = `jwt: {claims: {iss: "${ISSUER}", sub: a, scope: "read write"}}`;
    assert.equal((await ask(documents, claims)).verdict, 'allow');
    assert.equal((await ask(documents, `{${claims}, ${bearer(expired)}}`)).verdict, 'allow');
  });

  it('count without a RequestAuthentication too, and that is said', async () => {
    const documents = policy('alice', '{rules: [{from: [{source: {requestPrincipals: ["a/b"]}}]}]}');
    const explanation = await ask(documents, 'jwt: {claims: {iss: a, sub: b}}');
    assert.equal(explanation.verdict, 'allow');
    assert.match(stepOf(explanation, 'JWT').outcome, /no RequestAuthentication here would verify/);
  });

  it('that no token could have are refused', async () => {
    const { details, status } = await ask(INLINE, `jwt: {claims: {iss: "${ISSUER}", exp: soon}}`);
    assert.deepEqual(
      [status, details],
      [401, 'jwt_authn_access_denied{Jwt_payload_[exp]_field_is_not_an_integer}'],
    );
  });
});
