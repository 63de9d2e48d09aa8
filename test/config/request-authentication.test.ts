import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { formatProblem } from '../../src/config/problem.ts';
import type { Problem } from '../../src/config/problem.ts';
import type { RequestAuthentication } from '../../src/config/resources.ts';
import { foundProblems } from './found-problems.ts';

const HEAD =
  'apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: foo}\n';
/** The rule begins on line 6, column 5. */
const rule = (fields: string): string => `${HEAD}spec:\n  jwtRules:\n  - {${fields}}\n`;
const KEYS = '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}';

function load(text: string): { read: RequestAuthentication; problems: readonly Problem[] } {
  const { resources, problems } = loadDocumentText(text, 'a.yaml');
  const [read] = resources.requestAuthentications;
  assert.ok(read !== undefined);
  return { read, problems };
}

describe('RequestAuthentication', () => {
  it('is read with every field, header names in lower case', () => {
    const { read, problems } = load(`${HEAD}spec:
  selector: {matchLabels: {app: a}}
  jwtRules:
  - issuer: https://issuer.example
    audiences: [a, b]
    jwksUri: https://issuer.example/jwks.json
    fromHeaders: [{name: X-Token, prefix: "Token "}, {name: x-b}]
    fromParams: [token]
    fromCookies: [session]
    outputPayloadToHeader: X-Payload
    outputClaimToHeaders: [{header: X-Sub, claim: sub}, {header: x_b, claim: a.b}]
    forwardOriginalToken: true
    timeout: 250ms
    spaceDelimitedClaims: [roles]
`);
    assert.deepEqual(problems, []);
    assert.deepEqual(read.matchLabels, { app: 'a' });
    assert.equal(read.hasTargetRefs, false);
    assert.deepEqual(read.rules, [
      {
        issuer: 'https://issuer.example',
        audiences: ['a', 'b'],
        jwks: '',
        jwksUri: 'https://issuer.example/jwks.json',
        timeoutMs: 250,
        fromHeaders: [
          { name: 'x-token', prefix: 'Token ' },
          { name: 'x-b', prefix: '' },
        ],
        fromParams: ['token'],
        fromCookies: ['session'],
        outputPayloadToHeader: 'x-payload',
        outputClaimToHeaders: [
          { header: 'x-sub', claim: 'sub' },
          { header: 'x_b', claim: 'a.b' },
        ],
        forwardOriginalToken: true,
        spaceDelimitedClaims: ['roles'],
      },
    ]);
  });

  it('has the defaults of the API', () => {
    const { read, problems } = load(rule('issuer: "https://a"'));
    assert.deepEqual(problems, []);
    assert.deepEqual(read.rules[0], {
      issuer: 'https://a',
      audiences: [],
      jwks: '',
      jwksUri: '',
      timeoutMs: 5_000,
      fromHeaders: [],
      fromParams: [],
      fromCookies: [],
      outputPayloadToHeader: '',
      outputClaimToHeaders: [],
      forwardOriginalToken: false,
      spaceDelimitedClaims: [],
    });
  });

  const good: [string, string][] = [
    ['keys in the document', `jwks: '${KEYS}'`],
    ['any issuer with a URI', 'jwksUri: "http://keys.example:8080/a?b"'],
    ['the old name of jwksUri', 'issuer: a, jwks_uri: "https://keys.example"'],
    ['an issuer that is no URL where keys are stated', `issuer: testing@secure.istio.io, jwks: '${KEYS}'`],
    ['a URI of 2048 characters', `jwksUri: "https://a/${'x'.repeat(2_038)}"`],
  ];
  for (const [name, fields] of good) {
    it(`takes ${name}`, () => assert.deepEqual(load(rule(fields)).problems, []));
  }

  it('reads jwks_uri as jwksUri', () => {
    assert.equal(load(rule('jwks_uri: "https://k.example"')).read.rules[0]?.jwksUri, 'https://k.example');
  });

  it('takes no rules, and no spec', () => {
    for (const text of [HEAD, `${HEAD}spec: {}\n`]) {
      const { read, problems } = load(text);
      assert.deepEqual([read.rules, problems], [[], []]);
    }
  });

  const owned = [
    'host',
    'Content-Length',
    'transfer-encoding',
    'connection',
    'keep-alive',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'x-forwarded-client-cert',
    'x-forwarded-proto',
    'x-request-id',
    'x-envoy-original-path',
  ];
  const at = 'spec.jwtRules[0]';
  const bad: [string, string, string[]][] = [
    ['neither issuer nor keys', 'audiences: [a]', [`error missing_field 6:5 ${at}`]],
    ['an issuer whose keys nobody can find', 'issuer: a@b', [`warning never_matches 6:14 ${at}.issuer`]],
    ['jwks and jwksUri', `jwks: '${KEYS}', jwksUri: "https://a"`, [`error conflict 6:6 ${at}.jwks`]],
    [
      'both names of the URI',
      'jwksUri: "https://a", jwks_uri: "https://b"',
      [`error conflict 6:28 ${at}.jwks_uri`],
    ],
    [
      'an empty audience',
      'issuer: "https://a", audiences: [""]',
      [`error bad_value 6:39 ${at}.audiences[0]`],
    ],
    ...[
      'ftp://a/b',
      'file:///etc/passwd',
      'a.example/jwks',
      'https://',
      'https:///x',
      'data:,x',
      'https:a',
      'http://u:p@a',
    ].map((uri): [string, string, string[]] => [
      `the URI ${uri}`,
      `jwksUri: "${uri}"`,
      [`error bad_value 6:15 ${at}.jwksUri`],
    ]),
    [
      'a URI of 2049 characters',
      `jwksUri: "https://a/${'x'.repeat(2_039)}"`,
      [`error bad_value 6:15 ${at}.jwksUri`],
    ],
    ...[
      'x',
      '{}',
      '[]',
      '{"keys":{}}',
      '{"keys":[1]}',
      '{"keys":[{}]}',
      '{"keys":[{"kty":1}]}',
      '{"keys":[],}',
    ].map((jwks): [string, string, string[]] => [
      `the key set ${jwks}`,
      `jwks: '${jwks}'`,
      [`error bad_value 6:12 ${at}.jwks`],
    ]),
    ['a key set without keys', `jwks: '{"keys":[]}'`, [`warning empty 6:12 ${at}.jwks`]],
    ['a key set that is no text', 'jwks: {keys: []}', [`error wrong_type 6:12 ${at}.jwks`]],
    [
      'a header without name',
      'issuer: "https://a", fromHeaders: [{prefix: x}]',
      [`error missing_field 6:41 ${at}.fromHeaders[0].name`],
    ],
    [
      'a header that is none',
      'issuer: "https://a", fromHeaders: [{name: "a b"}]',
      [`error bad_value 6:48 ${at}.fromHeaders[0].name`],
    ],
    [
      'an empty parameter',
      'issuer: "https://a", fromParams: [""]',
      [`error bad_value 6:40 ${at}.fromParams[0]`],
    ],
    [
      'an empty cookie',
      'issuer: "https://a", fromCookies: [a, ""]',
      [`error bad_value 6:44 ${at}.fromCookies[1]`],
    ],
    [
      'a claim without header',
      'issuer: "https://a", outputClaimToHeaders: [{claim: a}]',
      [`error missing_field 6:50 ${at}.outputClaimToHeaders[0].header`],
    ],
    [
      'a header without claim',
      'issuer: "https://a", outputClaimToHeaders: [{header: a}]',
      [`error missing_field 6:50 ${at}.outputClaimToHeaders[0].claim`],
    ],
    [
      'a header for a claim with a dot',
      'issuer: "https://a", outputClaimToHeaders: [{header: a.b, claim: a}]',
      [`error bad_value 6:59 ${at}.outputClaimToHeaders[0].header`],
    ],
    [
      'a payload header that is none',
      'issuer: "https://a", outputPayloadToHeader: ":path"',
      [`error bad_value 6:50 ${at}.outputPayloadToHeader`],
    ],
    ...owned.flatMap((name): [string, string, string[]][] => [
      [
        `the payload in ${name}`,
        `issuer: "https://a", outputPayloadToHeader: ${name}`,
        [`error conflict 6:50 ${at}.outputPayloadToHeader`],
      ],
      [
        `a claim in ${name}`,
        `issuer: "https://a", outputClaimToHeaders: [{header: ${name}, claim: a}]`,
        [`error conflict 6:59 ${at}.outputClaimToHeaders[0].header`],
      ],
    ]),
    ...['0s', '5', '-1s', '1d'].map((text): [string, string, string[]] => [
      `the timeout ${text}`,
      `issuer: "https://a", timeout: "${text}"`,
      [`error bad_value 6:36 ${at}.timeout`],
    ]),
    [
      'forwardOriginalToken as text',
      'issuer: "https://a", forwardOriginalToken: "true"',
      [`error wrong_type 6:49 ${at}.forwardOriginalToken`],
    ],
    ['an unknown field', 'issuer: "https://a", audience: [a]', [`error unknown_field 6:27 ${at}.audience`]],
  ];
  for (const [name, fields, expected] of bad) {
    it(`says of ${name} where it stands`, () => {
      assert.deepEqual(foundProblems(load(rule(fields)).problems), expected);
    });
  }

  it('refuses a selector beside targetRefs', () => {
    const text = `${HEAD}spec: {selector: {matchLabels: {a: b}}, targetRefs: [{kind: Gateway, name: g}]}\n`;
    assert.deepEqual(foundProblems(load(text).problems), ['error conflict 4:41 spec.targetRefs']);
  });

  for (const [what, jwks] of [
    ['a private key', '{"keys":[{"kty":"EC","x":"a","y":"b","d":"SECRET"}]}'],
    ['a symmetric key', '{"keys":[{"kty":"RSA"},{"kty":"oct","k":"SECRET"}]}'],
    ['text after it', '{"keys":[{"kty":"oct","k":"SECRET"}]} SECRET'],
    ['a key that is none', '{"keys":["SECRET"]}'],
  ] as const) {
    it(`never repeats a key set with ${what}`, () => {
      const { problems } = load(rule(`issuer: "https://a", jwks: '${jwks}'`));
      assert.equal(problems.length, 1);
      assert.doesNotMatch(problems.map(formatProblem).join(), /SECRET/);
    });
  }

  it('warns of private and symmetric keys', () => {
    const { problems } = load(rule(`jwks: '{"keys":[{"kty":"RSA"},{"kty":"oct","k":"x"}]}'`));
    assert.deepEqual(foundProblems(problems), [`warning private_key 6:12 ${at}.jwks`]);
    assert.match(problems[0]?.message ?? '', /^key 1 of jwks/);
  });

  it('never repeats a password of a URL', () => {
    const { problems } = load(rule('jwksUri: "https://u:SECRET@a.example/"'));
    assert.equal(problems.length, 1);
    assert.doesNotMatch(problems.map(formatProblem).join(), /SECRET/);
  });
});
