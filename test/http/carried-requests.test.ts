/** What attacks make use of and HTTP allows: carried on, and the bytes that the app sees are one reading of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { attack, post, request } from './attack.ts';
import type { ProxyOptions } from './proxy-fixture.ts';

describe('requests that are carried in one reading', () => {
  checkLeaks();

  const carried: readonly (readonly [string, string, string, Partial<ProxyOptions>?])[] = [
    ['5: a fragment is cut', request('/user/profile#x'), 'GET /user/profile HTTP/1.1\r\nhost: h\r\n\r\n'],
    [
      '5: a fragment is cut before dots are resolved',
      request('/a/..#/../b'),
      'GET / HTTP/1.1\r\nhost: h\r\n',
      { builtIn: true },
    ],
    ['5: a fragment hides no query', request('/a#?b'), 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n'],
    [
      '6: a query stays with its path',
      request('/protected?a'),
      'GET /protected?a HTTP/1.1\r\nhost: h\r\n\r\n',
    ],
    ['6: an empty query stays', request('/protected?'), 'GET /protected? HTTP/1.1\r\nhost: h\r\n\r\n'],
    [
      '14: case, port and trailing dot of Host stay',
      'GET / HTTP/1.1\r\nHost: Secret.com.:80\r\n\r\n',
      'GET / HTTP/1.1\r\nhost: Secret.com.:80\r\n\r\n',
    ],
    [
      '15: an absolute-form target of the same origin',
      request('hTTp://H:80/a?b'),
      'GET /a?b HTTP/1.1\r\nhost: H:80\r\n\r\n',
    ],
    ['15: an absolute-form target without a path', request('http://h'), 'GET / HTTP/1.1\r\nhost: h\r\n\r\n'],
    [
      '18: repeated fields stay apart and in order',
      request('/', 'x-role: user', 'x-role: admin', 'X-ROLE: a,b'),
      'GET / HTTP/1.1\r\nhost: h\r\nx-role: user\r\nx-role: admin\r\nx-role: a,b\r\n\r\n',
    ],
    [
      '19: white space around a value goes',
      request('/', 'x-role: \t admin\t '),
      'GET / HTTP/1.1\r\nhost: h\r\nx-role: admin\r\n\r\n',
    ],
    [
      '19: white space inside a value stays',
      request('/', 'x-role: a \t b'),
      'GET / HTTP/1.1\r\nhost: h\r\nx-role: a \t b\r\n\r\n',
    ],
    [
      '20: obs-text is carried byte for byte',
      request('/', 'x: \x80\xff\xe9'),
      'GET / HTTP/1.1\r\nhost: h\r\nx: \x80\xff\xe9\r\n\r\n',
    ],
    [
      '21: an alias of a header that we set is dropped',
      request(
        '/',
        'X_Forwarded_Client_Cert: a',
        'X-Forwarded_Client-Cert: b',
        'content_length: 5',
        'X_Envoy_Original_Path: /',
        'x_protected_name: 1',
        'a_b: kept',
      ),
      'GET / HTTP/1.1\r\nhost: h\r\na_b: kept\r\n\r\n',
    ],
    [
      '22: what Connection lists goes, and only what the client sent',
      request('/', 'Connection: close, X-Forwarded-Client-Cert', 'X-Forwarded-Client-Cert: a'),
      'GET / HTTP/1.1\r\nhost: h\r\n\r\n',
    ],
    [
      '22: hop-by-hop fields go',
      request(
        '/',
        'Keep-Alive: timeout=5',
        'Proxy-Connection: keep-alive',
        'TE: gzip',
        'Connection: te, a',
        'A: 1',
        'Upgrade: foo',
        'HTTP2-Settings: x',
        'B: 2',
      ),
      'GET / HTTP/1.1\r\nhost: h\r\nb: 2\r\n\r\n',
    ],
    [
      'te: trailers is passed on',
      request('/', 'TE: gzip, Trailers;q=0.5'),
      'GET / HTTP/1.1\r\nhost: h\r\nte: trailers\r\n\r\n',
    ],
    [
      '46: both spellings of a repeated framing field never get here as two',
      post(['content-length: 1'], 'a'),
      'POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\na',
    ],
    [
      '47: an offer of h2c is ignored',
      request('/', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAA'),
      'GET / HTTP/1.1\r\nhost: h\r\n\r\n',
    ],
    [
      '47: Upgrade without Connection asks for nothing',
      request('/', 'Upgrade: websocket'),
      'GET / HTTP/1.1\r\nhost: h\r\n\r\n',
    ],
    [
      '50: __proto__ is a field like any other',
      request('/', '__proto__: x', 'constructor: y'),
      'GET / HTTP/1.1\r\nhost: h\r\n__proto__: x\r\nconstructor: y\r\n\r\n',
    ],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n', 'OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n'],
    ['empty lines before a request', `\r\n\r\n${request('/')}`, 'GET / HTTP/1.1\r\nhost: h\r\n\r\n'],
    [
      '12: a path that begins with two slashes stays a path',
      request('//admin/secret'),
      'GET //admin/secret HTTP/1.1\r\nhost: h\r\n\r\n',
    ],
  ];
  for (const [name, bytes, expected, options] of carried) {
    it(name, async () => {
      const { answer, seen } = await attack(bytes, options);
      assert.match(answer, /^HTTP\/1\.1 200 /);
      if (options?.builtIn === true) assert.ok(seen.startsWith(expected), seen);
      else assert.equal(seen, expected);
    });
  }
});
