import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePathTemplate } from '../../src/policy/matchers/path-template.ts';
import { connectionOf, isMatched, requestOf } from './policy-plan.ts';

const CASES: readonly (readonly [template: string, path: string, matched: boolean])[] = [
  ['/foo/{*}', '/foo/bar', true],
  ['/foo/{*}', '/foo/', false],
  ['/foo/{*}', '/foo', false],
  ['/foo/{*}', '/foo/bar/', false],
  ['/foo/{*}', '/foo/bar/x', false],
  ['/foo/{*}', '/foo/*', true],
  ['/foo/{*}', "/foo/a-._~%20!$&'()*+,;:@=Z9", true],
  ['/foo/{*}', '/foo/a b', false],
  ['/foo/{*}', '/foo/a"b', false],
  ['/foo/{*}', '/foo/a[b]', false],
  ['/foo/{*}', '/foo/a{b}', false],
  ['/foo/{*}', '/foo/a^`|<>b', false],
  ['/foo/{*}', '/foo/\xe9', false],
  ['/foo/{*}', '/foo/bar?x=/y', true],
  ['/foo/{*}', '/fo/bar', false],
  ['/foo/{*}', '/FOO/bar', false],
  ['/foo/{*}/bar', '/foo/x/bar', true],
  ['/foo/{*}/bar', '/foo//bar', false],
  ['/foo/{*}/bar', '/foo/x/y/bar', false],
  ['/{*}/{*}/c', '/a/b/c', true],
  ['/{*}/{*}/c', '/a/c', false],
  ['/{*}', '/x', true],
  ['/{**}', '/', true],
  ['/{**}', '/a/b//c', true],
  ['/{**}', '', false],
  ['/foo/{**}', '/foo/', true],
  ['/foo/{**}', '/foo', false],
  ['/foo/{**}', '/foo/a/b', true],
  ['/foo/{**}', '/foo/a b', false],
  ['/store/{**}/cart', '/store//cart', true],
  ['/store/{**}/cart', '/store/cart', false],
  ['/store/{**}/cart', '/store/a/b/cart', true],
  ['/store/{**}/cart', '/store/a/cart/b', false],
  ['/store/{**}/cart', '/store/cart/cart', true],
  ['/store/{**}/cart', '/store/a/cart/', false],
  ['/a/{*}/b/{**}', '/a/x/b/', true],
  ['/a/{*}/b/{**}', '/a/x/b/y/z', true],
  ['/a/{*}/b/{**}', '/a/x/y/b/z', false],
  ['/a/{*}/{**}/b', '/a/x//b', true],
  ['/a/{*}/{**}/b', '/a/x/b', false],
  ['/{**}/', '/a/', true],
  ['/{**}/', '/a', false],
];

describe('path templates', () => {
  for (const [template, path, matched] of CASES) {
    it(`${template} ${matched ? 'matches' : 'does not match'} ${path}`, () => {
      const rule = { to: [{ paths: [template] }] };
      assert.equal(isMatched(rule, connectionOf(), requestOf({ path })), matched);
      assert.equal(
        isMatched({ to: [{ notPaths: [template] }] }, connectionOf(), requestOf({ path })),
        !matched,
      );
    });
  }

  it('are nothing but operators between slashes', () => {
    for (const value of [
      '/foo{*}',
      '/{*}foo',
      '/{**}/{*}',
      '/{**}/{**}',
      '/{*}{*}',
      '/{*}/a*',
      '/{a}/{*}',
      '/{*}{**}',
    ]) {
      assert.equal(parsePathTemplate(value), null, value);
    }
  });

  it('leave braces and stars outside of templates as they are', () => {
    assert.equal(
      isMatched({ to: [{ paths: ['/a*'] }] }, connectionOf(), requestOf({ path: '/a/{b}' })),
      true,
    );
  });
});
