import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isOrdinaryTarget, parsePrintableTarget, parseRequestTarget } from '../../src/path/request-target.ts';

/** Method, target, and the parsed target as one text. */
const ACCEPTED: readonly (readonly [string, string, string])[] = [
  ['GET', '/', 'origin /'],
  ['GET', '/a/b?c=d', 'origin /a/b?c=d'],
  ['GET', '//admin/secret', 'origin //admin/secret'],
  ['GET', '/a?http://b/', 'origin /a?http://b/'],
  ['GET', '/"<>\\^`{|}', 'origin /"<>\\^`{|}'],
  ['GET', '/user/profile#x', 'origin /user/profile'],
  ['GET', '/a?b#c', 'origin /a?b'],
  ['GET', '/a#b?c', 'origin /a'],
  ['GET', '/protected#', 'origin /protected'],
  ['GET', '/#/../b#c', 'origin /'],
  ['OPTIONS', '/a', 'origin /a'],
  ['OPTIONS', '*', 'asterisk *'],
  ['GET', 'http://a.b', 'absolute http a.b /'],
  ['GET', 'http://a.b/', 'absolute http a.b /'],
  ['GET', 'http://a.b:8080/c?d', 'absolute http a.b:8080 /c?d'],
  ['GET', 'http://a.b?c/../d', 'absolute http a.b /?c/../d'],
  ['GET', 'http://a.b#c', 'absolute http a.b /'],
  ['GET', 'http://a.b#@evil/', 'absolute http a.b /'],
  ['GET', 'hTTp://A.b/C', 'absolute http A.b /C'],
  ['GET', 'HTTPS://[::1]:443/c', 'absolute https [::1]:443 /c'],
  ['GET', 'http://a//b', 'absolute http a //b'],
  ['OPTIONS', 'http://a', 'absolute http a *'],
  ['OPTIONS', 'http://a/', 'absolute http a /'],
  ['GET', 'http://a', 'absolute http a /'],
  ['CONNECT', 'a.b:443', 'authority a.b:443'],
  ['CONNECT', '[::1]:443', 'authority [::1]:443'],
];

const REFUSED: readonly (readonly [string, string])[] = [
  ['GET', ''],
  ['GET', '#a'],
  ['GET', '*'],
  ['OPTIONS', '*#a'],
  ['OPTIONS', '**'],
  ['GET', 'admin'],
  ['GET', 'pkg.Svc/Method'],
  ['GET', '?a'],
  ['GET', '\\a'],
  ['GET', 'a.b:80'],
  ['GET', 'http:/a'],
  ['GET', 'http:a'],
  ['GET', 'http://'],
  ['GET', 'http:///c'],
  ['GET', 'http://:80/c'],
  ['GET', 'http://u@a/b'],
  ['GET', 'http://u:p@a/b'],
  ['GET', 'http://@a/b'],
  ['GET', 'http://a\\b/c'],
  ['GET', 'http://a,b/c'],
  ['GET', 'http://a:x/c'],
  ['GET', 'http://a:99999/c'],
  ['GET', 'http://::1/c'],
  ['GET', 'http://[::1/c'],
  ['GET', 'ftp://a/b'],
  ['GET', 'ws://a/b'],
  ['GET', 'httpx://a/b'],
  ['CONNECT', '/a'],
  ['CONNECT', '*'],
  ['CONNECT', 'a.b'],
  ['CONNECT', 'a.b:'],
  ['CONNECT', 'a.b:443/c'],
  ['CONNECT', 'a.b:443#c'],
  ['CONNECT', 'http://a.b:443'],
  ['CONNECT', '[::1]'],
];

function shown(method: string, target: string): string {
  const parsed = parseRequestTarget(method, target);
  switch (parsed.kind) {
    case 'origin':
    case 'asterisk':
      return `${parsed.kind} ${parsed.path}`;
    case 'absolute':
      return `absolute ${parsed.scheme} ${parsed.authority} ${parsed.path}`;
    case 'authority':
      return `authority ${parsed.authority}`;
    case 'problem':
      return parsed.code;
    default:
      return parsed satisfies never;
  }
}

describe('request target', () => {
  for (const [method, target, wanted] of ACCEPTED) {
    it(`reads ${method} ${target} as ${wanted}`, () => assert.equal(shown(method, target), wanted));
  }

  for (const [method, target] of REFUSED) {
    it(`refuses ${method} "${target}"`, () => assert.equal(shown(method, target), 'bad_target'));
  }

  it('refuses every byte that is not printable ASCII, wherever it stands', () => {
    for (const template of ['X/a/b', '/Xa', '/a/bX', '/a?X', '/a#X', 'http://aX/b', 'http://a/X']) {
      for (let byte = 0; byte < 256; byte++) {
        const target = template.replace('X', () => String.fromCharCode(byte));
        if (byte <= 0x20 || byte >= 0x7f) {
          assert.equal(shown('GET', target), 'bad_target', `byte ${byte} in ${template}`);
        } else if (template.startsWith('/')) {
          assert.match(shown('GET', target), /^origin /, `byte ${byte} in ${template}`);
        }
      }
    }
  });

  it('refuses characters beyond a byte', () => assert.equal(shown('GET', '/\u0141'), 'bad_target'));

  it('never lets a fragment through', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'/#?@a:.'.split('')) }), (text) => {
        assert.ok(!shown('GET', `/${text}`).includes('#'));
        assert.ok(!shown('GET', `http://a${text}`).includes('#'));
      }),
    );
  });

  it('takes the short way only for targets that the long way answers unchanged', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'OPTIONS', 'CONNECT'),
        fc.string({ unit: fc.constantFrom(...'/#?*a:. \u007f\u00e9\0'.split('')) }),
        (method, target) => {
          const parsed = parseRequestTarget(method, target);
          assert.equal(isOrdinaryTarget(method, target), parsed.kind === 'origin' && parsed.path === target);
        },
      ),
    );
    assert.ok(isOrdinaryTarget('GET', '/a/b?c'));
  });

  it('answers the same with and without its own scan when the bytes are proved', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'OPTIONS', 'CONNECT'),
        fc.string({ unit: fc.constantFrom(...'/#?*a:.@[]1'.split('')), maxLength: 20 }),
        (method, target) => {
          assert.deepEqual(parsePrintableTarget(method, target), parseRequestTarget(method, target));
        },
      ),
    );
  });
});
