import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildText, documentOf, warningsIn } from './policy-fixture.ts';

const request = (metadata: string, rules: string, more = ''): string =>
  documentOf('RequestAuthentication', metadata, `${more}jwtRules: [${rules}]`);
const KEYS = '{"keys":[{"kty":"RSA"},{"kty":"RSA"}]}';

describe('the token rules of a workload', () => {
  it('are those of all policies that select it, sorted by issuer, equal ones as they come', () => {
    const { jwt } = buildText(
      request('name: a, namespace: foo', '{issuer: "https://b", audiences: [1st]}, {issuer: "https://a"}') +
        request(
          'name: b, namespace: istio-system',
          '{issuer: "https://b", audiences: [2nd]}, {issuer: "https://Z"}',
        ) +
        request('name: c, namespace: bar', '{issuer: "https://c"}') +
        request(
          'name: d, namespace: foo',
          '{issuer: "https://d"}',
          'selector: {matchLabels: {app: sleep}}, ',
        ) +
        request(
          'name: e, namespace: foo',
          '{issuer: "https://e"}',
          'targetRefs: [{kind: Gateway, name: g}], ',
        ),
    ).snapshot;
    assert.deepEqual(
      jwt.rules.map(({ issuer, audiences, from }) => [issuer, audiences.join(), from]),
      [
        ['https://Z', '', 'RequestAuthentication istio-system/b rule 1'],
        ['https://a', '', 'RequestAuthentication foo/a rule 1'],
        ['https://b', '1st', 'RequestAuthentication foo/a rule 0'],
        ['https://b', '2nd', 'RequestAuthentication istio-system/b rule 0'],
      ],
    );
  });

  it('are sorted by bytes, not by letters', () => {
    const { jwt } = buildText(
      request(
        'name: a, namespace: foo',
        '{issuer: "https://é"}, {issuer: "https://z"}, {issuer: "https://\\ue000"}, {issuer: "https://😀"}',
      ),
    ).snapshot;
    assert.deepEqual(
      jwt.rules.map(({ issuer }) => issuer.slice('https://'.length)),
      ['z', 'é', '\ue000', '😀'],
    );
  });

  it('name the key set that each needs, fetched once with the longest wait', () => {
    const { jwt } = buildText(
      request(
        'name: a, namespace: foo',
        `{issuer: "https://a", timeout: 1s}, {issuer: "https://a", timeout: 3s}, {issuer: "https://a", jwksUri: "https://k"}, {issuer: "https://b", jwks: '${KEYS}'}, {jwksUri: "https://k"}`,
      ),
    ).snapshot;
    assert.deepEqual(
      jwt.rules.map(({ issuer, keySet, jwks }) => [issuer, keySet, jwks]),
      [
        ['', ' https://k', ''],
        ['https://a', 'https://a ', ''],
        ['https://a', 'https://a ', ''],
        ['https://a', 'https://a https://k', ''],
        ['https://b', '', KEYS],
      ],
    );
    assert.deepEqual(jwt.keySets, [
      { name: ' https://k', issuer: '', jwksUri: 'https://k', timeoutMs: 5_000 },
      { name: 'https://a ', issuer: 'https://a', jwksUri: '', timeoutMs: 3_000 },
      { name: 'https://a https://k', issuer: 'https://a', jwksUri: 'https://k', timeoutMs: 5_000 },
    ]);
  });

  it('are plain, and say nothing of how keys are fetched', () => {
    const { snapshot } = buildText(
      request('name: a, namespace: foo', '{issuer: "https://a", fromHeaders: [{name: X}]}'),
    );
    assert.deepEqual(structuredClone(snapshot.jwt), snapshot.jwt);
    assert.deepEqual(snapshot.jwt.rules, [
      {
        issuer: 'https://a',
        audiences: [],
        jwks: '',
        keySet: 'https://a ',
        fromHeaders: [{ name: 'x', prefix: '' }],
        fromParams: [],
        fromCookies: [],
        outputPayloadToHeader: '',
        outputClaimToHeaders: [],
        forwardOriginalToken: false,
        spaceDelimitedClaims: [],
        from: 'RequestAuthentication foo/a rule 0',
      },
    ]);
  });

  it('are none without documents', () => {
    assert.deepEqual(buildText('').snapshot.jwt, { rules: [], keySets: [] });
  });

  for (const [name, limits, message] of [
    ['bytes', { maxJwksBytes: KEYS.length - 1 }, /38 bytes, more than limits.maxJwksBytes 37/],
    ['keys', { maxJwksKeys: 1 }, /2 keys, more than limits.maxJwksKeys 1/],
  ] as const) {
    it(`are an error where a key set has too many ${name}`, () => {
      const built = buildText(request('name: a, namespace: foo', `{issuer: a, jwks: '${KEYS}'}`), { limits });
      assert.deepEqual(warningsIn(built), ['error key_set_too_large 4:37 spec.jwtRules[0].jwks']);
      assert.match(built.warnings[0]?.message ?? '', message);
    });
  }

  it('are none where the key set is as large as it may be', () => {
    const limits = { maxJwksBytes: KEYS.length, maxJwksKeys: 2 };
    const built = buildText(request('name: a, namespace: foo', `{issuer: a, jwks: '${KEYS}'}`), { limits });
    assert.deepEqual(warningsIn(built), []);
  });
});
