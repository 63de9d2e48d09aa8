import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isPathTemplate, splitConditionKey } from '../../src/core/policy-notation.ts';

describe('how values of AuthorizationPolicy are written', () => {
  it('tells templates from literal paths', () => {
    assert.deepEqual(['/a', '/*', '/{*}', '/{**}/a'].map(isPathTemplate), [false, false, true, true]);
  });

  const keys: [string, string, readonly string[] | null][] = [
    ['source.ip', 'source.ip', []],
    ['request.headers[X-Role]', 'request.headers', ['X-Role']],
    ['request.auth.claims[a][b c]', 'request.auth.claims', ['a', 'b c']],
    ['request.auth.claims[https://a.b/c]', 'request.auth.claims', ['https://a.b/c']],
    ['request.auth.claims[a[b]]', 'request.auth.claims', ['a[b]']],
    ['request.auth.claims[a]b]', 'request.auth.claims', ['a]b']],
    ['request.auth.claims[a][]', 'request.auth.claims', ['a', '']],
    ['request.headers[]', 'request.headers', ['']],
    ['request.headers[', 'request.headers', null],
    ['request.headers[a]b', 'request.headers', null],
  ];
  for (const [key, name, path] of keys) {
    it(`splits ${key}`, () => assert.deepEqual(splitConditionKey(key), { name, path }));
  }
});
