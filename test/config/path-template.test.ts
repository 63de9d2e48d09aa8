import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pathFault } from '../../src/config/path-template.ts';

describe('paths of AuthorizationPolicy', () => {
  const good = [
    '/',
    '*',
    '/a*',
    '*a',
    '/a/*/b',
    '/a b/"c"',
    '/{*}',
    '/{**}',
    '/a/{*}/b/{**}',
    '/store/{**}/cart',
    '/store/{**}/cart/x/',
    '//{*}//',
    "/-._~%20!$&'()+,;:@=/{*}",
  ];
  for (const path of good) {
    it(`takes ${path}`, () => assert.equal(pathFault(path), null));
  }
  const bad: [string, RegExp][] = [
    ['', /empty/],
    ['/foo{*}', /outside a segment/],
    ['/{*}foo', /outside a segment/],
    ['/foo/{', /outside a segment/],
    ['/foo/}', /outside a segment/],
    ['/{***}', /outside a segment/],
    ['/{}', /outside a segment/],
    ['/{id}/a', /outside a segment/],
    ['/{**}/{*}', /has \{\*\} after/],
    ['/{**}/a/{**}', /has \{\*\*\} after/],
    ['/a*/{*}', /segment "a\*"/],
    ['/*/{*}', /segment "\*"/],
    ['/a b/{*}', /segment "a b"/],
    ['/a//{*}', /empty segment/],
    ['/ä/{*}', /segment "ä"/],
    ['a/{*}', /does not begin with/],
  ];
  for (const [path, message] of bad) {
    it(`refuses ${path === '' ? 'an empty path' : path}`, () => {
      assert.match(pathFault(path)?.message ?? '', message);
    });
  }
});
