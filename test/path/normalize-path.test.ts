import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { type NormalizationMode, normalizePath } from '../../src/path/normalize-path.ts';

const MODES: readonly NormalizationMode[] = ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'];

/** Path, then the answers of BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES; NONE leaves every path as it is. */
const TABLE: readonly (readonly [string, string | null, string | null, string | null])[] = [
  // Istio's own table
  ['/app/../admin', '/admin', '/admin', '/admin'],
  ['/app//', '/app//', '/app/', '/app/'],
  ['/app/%2f', '/app/%2f', '/app/%2f', '/app/'],
  ['/xyz%30..//abc', '/xyz0..//abc', '/xyz0../abc', '/xyz0../abc'],
  ['/app/%2E./admin', '/admin', '/admin', '/admin'],
  ['/app\\admin', '/app/admin', '/app/admin', '/app/admin'],
  ['/%2Fapp%5cadmin%5Cabc', '/%2Fapp%5cadmin%5Cabc', '/%2Fapp%5cadmin%5Cabc', '/app/admin/abc'],
  ['/app//../admin', '/app/admin', '/app/admin', '/app/admin'],
  ['/admin%00', null, null, null],
  ['/a/..;/b', '/b', '/b', '/b'],
  ['/a/..;x=1/b', '/b', '/b', '/b'],
  ['/a/%2e%2e;/b', '/a/..;/b', '/a/..;/b', '/a/..;/b'],
  ['//', '//', '//', '//'],
  ['///', '///', '//', '//'],
  ['/a%%32e', '/a%252e', '/a%252e', '/a%252e'],
  // what else Envoy does
  ['/', '/', '/', '/'],
  ['', '/', '/', '/'],
  ['*', '*', '*', '*'],
  ['//admin', '//admin', '/admin', '/admin'],
  ['/./admin', '/admin', '/admin', '/admin'],
  ['/admin/', '/admin/', '/admin/', '/admin/'],
  ['/admin/.', '/admin/', '/admin/', '/admin/'],
  ['/admin/..', '/', '/', '/'],
  ['/..', '/', '/', '/'],
  ['/../../..', '/', '/', '/'],
  ['/a/b/../../../c', '/c', '/c', '/c'],
  ['//..', '/', '/', '/'],
  ['/a//..', '/a/', '/a/', '/a/'],
  ['/...', '/...', '/...', '/...'],
  ['/.a/..b/c./d..', '/.a/..b/c./d..', '/.a/..b/c./d..', '/.a/..b/c./d..'],
  ['/.well-known/x', '/.well-known/x', '/.well-known/x', '/.well-known/x'],
  ['/public%2f..%2fadmin', '/public%2f..%2fadmin', '/public%2f..%2fadmin', '/admin'],
  ['/a%5cb', '/a%5cb', '/a%5cb', '/a/b'],
  ['/public/%2E%2e/private', '/private', '/private', '/private'],
  ['/a/..\\c', '/c', '/c', '/c'],
  ['\\a\\..\\b', '/b', '/b', '/b'],
  ['/pub/%2e%2e%5cpriv', '/pub/..%5cpriv', '/pub/..%5cpriv', '/priv'],
  ['/admin;x=y/action', '/admin;x=y/action', '/admin;x=y/action', '/admin;x=y/action'],
  ['/pub;a/../admin', '/admin', '/admin', '/admin'],
  ['/a/.;/b', '/a/b', '/a/b', '/a/b'],
  ['/a/b/..;', '/a/', '/a/', '/a/'],
  ['/a/...;/b', '/a/...;/b', '/a/...;/b', '/a/...;/b'],
  ['/a/..;%2fb', '/', '/', '/b'],
  ['/a\\..;/b', '/a/..;/b', '/a/..;/b', '/a/..;/b'],
  ['/%7e%7E%41%2d%5f', '/~~A-_', '/~~A-_', '/~~A-_'],
  ['/%25%2e', '/%25.', '/%25.', '/%25.'],
  ['/%252e%252e/', '/%252e%252e/', '/%252e%252e/', '/%252e%252e/'],
  ['/%252f', '/%252f', '/%252f', '/%252f'],
  ['/%2%66', '/%252f', '/%252f', '/%252f'],
  ['/%%32%65', '/%252e', '/%252e', '/%252e'],
  ['/%%32%66', '/%252f', '/%252f', '/%252f'],
  ['/%%300', '/%2500', '/%2500', '/%2500'],
  ['/%%30g', '/%0g', '/%0g', '/%0g'],
  ['/%%30', '/%0', '/%0', '/%0'],
  ['/%', '/%', '/%', '/%'],
  ['/%2', '/%2', '/%2', '/%2'],
  ['/%zz', '/%zz', '/%zz', '/%zz'],
  ['/%ff%C3%A9%c3', '/%ff%C3%A9%c3', '/%ff%C3%A9%c3', '/%ff%C3%A9%c3'],
  ['/%20%3f%23%3b%0a', '/%20%3f%23%3b%0a', '/%20%3f%23%3b%0a', '/%20%3f%23%3b%0a'],
  ['/"<>^`{|}', '/%22%3C%3E%5E%60%7B%7C%7D', '/%22%3C%3E%5E%60%7B%7C%7D', '/%22%3C%3E%5E%60%7B%7C%7D'],
  ["/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]", "/!$&'()*+,:;=@[]"],
  ['/A%6a', '/Aj', '/Aj', '/Aj'],
  ['/x/.%00../y', null, null, null],
  ['/AAAAA%%0000/abc', null, null, null],
  ['/a%00/../b', null, null, null],
  // the query is not the path's
  ['/a/../b?c/../d//%41%00\\', '/b?c/../d//%41%00\\', '/b?c/../d//%41%00\\', '/b?c/../d//%41%00\\'],
  ['/a?b//../c', '/a?b//../c', '/a?b//../c', '/a?b//../c'],
  ['/.?', '/?', '/?', '/?'],
  ['/a/..?b', '/?b', '/?b', '/?b'],
  ['/a//?//', '/a//?//', '/a/?//', '/a/?//'],
  ['/a?..;/', '/a?..;/', '/a?..;/', '/a?..;/'],
  ['/a?', '/a?', '/a?', '/a?'],
  // bytes that the codec never lets through fail closed or are encoded
  ['/\u00e9', '/%E9', '/%E9', '/%E9'],
  ['/a b', '/a%20b', '/a%20b', '/a%20b'],
  ['/a\0', null, null, null],
  ['/\u0141', null, null, null],
];

/** Bits of paths that meet each other's rules. */
const PIECES = [
  '/ // \\ . .. /../ /./ %2e %2E % %% %2 %25 %2f %5C %3 %00',
  'a F 0 2 e f %30 %32 %41 %65 %66 %7e %20 %3b ~ " ` x=1',
].flatMap((line) => line.split(' '));
const pathOf = (pieces: readonly string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((parts) => `/${parts.join('')}`);

describe('path normalisation', () => {
  for (const [path, ...answers] of TABLE) {
    for (const [index, mode] of MODES.entries()) {
      const wanted = mode === 'NONE' ? path : answers[index - 1];
      it(`${mode} makes ${JSON.stringify(path)} ${wanted === null ? 'a refusal' : JSON.stringify(wanted)}`, () => {
        assert.equal(normalizePath(path, mode), wanted);
      });
    }
  }

  it('is done after once: the answer normalises to itself', () => {
    fc.assert(
      fc.property(pathOf(PIECES), fc.constantFrom(...MODES), (path, mode) => {
        const once = normalizePath(path, mode);
        if (once !== null) assert.equal(normalizePath(once, mode), once);
      }),
      { numRuns: 20_000 },
    );
  });

  it('is done after once but for a dot segment with parameters that was written with escapes or "\\"', () => {
    fc.assert(
      fc.property(pathOf([...PIECES, ';', '..;', '.;']), fc.constantFrom(...MODES), (path, mode) => {
        const once = normalizePath(path, mode);
        if (once === null || normalizePath(once, mode) === once) return;
        assert.match(once, /\/\.\.?;/);
        assert.match(path, /%2e|%5c|\\/i);
      }),
      { numRuns: 20_000 },
    );
    assert.equal(normalizePath('/a/%2e%2e;/b', 'BASE'), '/a/..;/b');
    assert.equal(normalizePath('/a/..;/b', 'BASE'), '/b');
  });

  it('leaves no dot segment, backslash or bare unsafe byte, and no double slash where it merges', () => {
    fc.assert(
      fc.property(pathOf([...PIECES, '?', '?a']), fc.constantFrom(...MODES.slice(1)), (path, mode) => {
        const answer = normalizePath(path, mode);
        if (answer === null) return;
        const bare = answer.split('?', 1)[0]!;
        assert.match(bare, /^\/[\x21-\x7e]*$/);
        assert.doesNotMatch(bare, /\/(\.|%2e)(\.|%2e)?(\/|$)/i);
        assert.doesNotMatch(bare, /[\\"<>^`{|}]/);
        if (mode !== 'BASE' && bare !== '//') assert.doesNotMatch(bare, /\/\//);
        if (mode === 'DECODE_AND_MERGE_SLASHES') assert.doesNotMatch(bare, /%2f|%5c/i);
        assert.equal(answer.slice(bare.length), path.includes('?') ? path.slice(path.indexOf('?')) : '');
      }),
      { numRuns: 20_000 },
    );
  });

  it('gives back the very string when there is nothing to do', () => {
    for (const path of ['/api/v1/users/42/orders?page=2', '/.well-known/a%20b', '/a;b=c/d%C3%A9']) {
      for (const mode of MODES) assert.equal(normalizePath(path, mode), path);
    }
  });

  it('takes time in proportion to the length', () => {
    for (const piece of ['../', 'a/../', '%%32', '%2%66', '/./', '//', '..;', '/..;a', '%2f..', '"', 'a/']) {
      const elapsed = (length: number): number => {
        const path = `/${piece.repeat(length / piece.length)}`;
        const began = performance.now();
        normalizePath(path, 'DECODE_AND_MERGE_SLASHES');
        return performance.now() - began;
      };
      elapsed(60_000);
      const best = Math.min(elapsed(960_000), elapsed(960_000));
      // A quadratic walk of this length takes minutes.
      assert.ok(best < 1000, `${piece}: ${best} ms for 960,000 characters`);
    }
  });
});
