/** Every byte value at every kind of position of a head, and the limits exactly at and one over. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeadScanner } from '../../src/http/head-scanner.ts';
import type { HeadKind } from '../../src/http/head-scanner.ts';

const LIMITS = { maxHeadBytes: 61_440, maxHeaders: 100 };
const HEAD = 'GET /path HTTP/1.1\r\nHost: a.b\r\n\r\n';
const RESPONSE = 'HTTP/1.1 200 Fine\r\nServer: x\r\n\r\n';

function scan(text: string | Buffer, kind: HeadKind = 'request', limits = LIMITS): string {
  const scanner = new HeadScanner(kind, limits);
  scanner.reset(0);
  const answer = scanner.scan(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  return answer === 'error' ? scanner.error : answer;
}

/** `text` with the byte at the first `at` characters replaced. */
function withByte(text: string, at: number, byte: number): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  bytes[at] = byte;
  return bytes;
}

/** The byte values that leave the head whole, as ranges. */
function accepted(text: string, at: number, kind: HeadKind = 'request'): string {
  const ranges: string[] = [];
  let from = -1;
  for (let byte = 0; byte <= 256; byte++) {
    const ok = byte < 256 && scan(withByte(text, at, byte), kind) === 'whole';
    if (ok && from === -1) from = byte;
    if (!ok && from !== -1) {
      ranges.push(from === byte - 1 ? hex(from) : `${hex(from)}-${hex(byte - 1)}`);
      from = -1;
    }
  }
  return ranges.join(' ');
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

const TOKEN = '21 23-27 2a-2b 2d-2e 30-39 41-5a 5e-7a 7c 7e';
const TOKEN_OR_COLON = '21 23-27 2a-2b 2d-2e 30-3a 41-5a 5e-7a 7c 7e';

describe('a byte of a head is taken only where RFC 9112 allows it', () => {
  const cases: readonly (readonly [string, string, number, string, HeadKind?])[] = [
    ['in a method', HEAD, 1, TOKEN],
    ['as the space after the method', HEAD, 3, '20'],
    ['as the first byte of a target', HEAD, 4, '21-7e'],
    ['inside a target', HEAD, 6, '21-7e'],
    ['as the space after the target', HEAD, 9, '20'],
    ['as H of the version', HEAD, 10, '48'],
    ['as the slash of the version', HEAD, 14, '2f'],
    ['as the major version', HEAD, 15, '31'],
    ['as the dot of the version', HEAD, 16, '2e'],
    ['as the minor version', HEAD, 17, '30-31'],
    ['as CR of the request line', HEAD, 18, '0d'],
    ['as LF of the request line', HEAD, 19, '0a'],
    ['as the first byte of a name', HEAD, 20, TOKEN],
    // A colon there ends the name earlier.
    ['inside a name', HEAD, 22, TOKEN_OR_COLON],
    ['as the colon', 'GET / HTTP/1.1\r\nHost:a:b\r\n\r\n', 20, TOKEN_OR_COLON],
    ['as the byte after the colon', HEAD, 25, '09 20-7e 80-ff'],
    ['inside a value', HEAD, 27, '09 20-7e 80-ff'],
    ['as CR of a field line', HEAD, 29, '0d'],
    ['as LF of a field line', HEAD, 30, '0a'],
    ['as CR of the empty line', HEAD, 31, '0d'],
    ['as LF of the empty line', HEAD, 32, '0a'],
    ['as the space after the version of an answer', RESPONSE, 8, '20', 'response'],
    ['as the first digit of a status', RESPONSE, 9, '31-39', 'response'],
    ['as the last digit of a status', RESPONSE, 11, '30-39', 'response'],
    ['as the space after a status', RESPONSE, 12, '20', 'response'],
    ['inside a reason', RESPONSE, 14, '09 20-7e 80-ff', 'response'],
    ['as CR of a status line', RESPONSE, 17, '0d', 'response'],
    ['inside a name of trailers', 'X-Sum: 1\r\n\r\n', 2, TOKEN_OR_COLON, 'trailers'],
  ];
  for (const [where, text, at, expected, kind] of cases) {
    it(where, () => assert.equal(accepted(text, at, kind), expected));
  }

  it('an answer may leave out reason and space', () => {
    assert.equal(scan('HTTP/1.1 200\r\n\r\n', 'response'), 'whole');
    assert.equal(scan('HTTP/1.1 200 \r\n\r\n', 'response'), 'whole');
    assert.equal(scan('HTTP/1.1 2000\r\n\r\n', 'response'), 'bad_request_line');
    assert.equal(scan('HTTP/1.1 099 x\r\n\r\n', 'response'), 'bad_request_line');
  });
});

describe('what is refused has the code that says why', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['G\x00T / HTTP/1.1\r\n\r\n', 'bad_method'],
    ['GET /\x7f HTTP/1.1\r\n\r\n', 'bad_target'],
    ['GET /\xe9 HTTP/1.1\r\n\r\n', 'bad_target'],
    ['GET /\r\n\r\n', 'bad_request_line'],
    ['GET  / HTTP/1.1\r\n\r\n', 'bad_target'],
    ['GET /  HTTP/1.1\r\n\r\n', 'bad_http_version'],
    ['GET / HTTP/2.0\r\n\r\n', 'bad_http_version'],
    ['GET / http/1.1\r\n\r\n', 'bad_http_version'],
    ['GET / HTTP/1.10\r\n\r\n', 'bad_line_end'],
    ['GET / HTTP/1.1\n\n', 'bad_line_end'],
    ['GET / HTTP/1.1\r\nA: b\n\r\n', 'bad_line_end'],
    ['GET / HTTP/1.1\r\nA: b\rc\r\n\r\n', 'bad_line_end'],
    ['GET / HTTP/1.1\r\nA: b\r\n\rX', 'bad_line_end'],
    ['GET / HTTP/1.1\r\nA: b\r\n\n', 'bad_line_end'],
    ['\nGET / HTTP/1.1\r\n\r\n', 'bad_line_end'],
    ['GET / HTTP/1.1\r\nA : b\r\n\r\n', 'bad_header_name'],
    ['GET / HTTP/1.1\r\n: b\r\n\r\n', 'bad_header_name'],
    ['GET / HTTP/1.1\r\nno colon\r\n\r\n', 'bad_header_name'],
    ['GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n', 'obsolete_line_folding'],
    ['GET / HTTP/1.1\r\n\tA: b\r\n\r\n', 'obsolete_line_folding'],
    ['GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n', 'bad_header_value'],
    ['GET / HTTP/1.1\r\nA: b\x0bc\r\n\r\n', 'bad_header_value'],
    ['GET / HTTP/1.1\r\nA: b\x7fc\r\n\r\n', 'bad_header_value'],
  ];
  for (const [text, code] of cases) {
    it(`${JSON.stringify(text)} is ${code}`, () => assert.equal(scan(text), code));
  }
});

const padded = (bytes: number): string => {
  const frame = 'GET / HTTP/1.1\r\nA: \r\n\r\n';
  return `GET / HTTP/1.1\r\nA: ${'x'.repeat(bytes - frame.length)}\r\n\r\n`;
};

const withFields = (count: number): string => `GET / HTTP/1.1\r\n${'A: b\r\n'.repeat(count)}\r\n`;

describe('limits of a head', () => {
  it('a head of exactly maxHeadBytes is whole, one byte more is head_too_large', () => {
    assert.equal(scan(padded(61_440)), 'whole');
    assert.equal(scan(padded(61_441)), 'head_too_large');
  });

  it('what follows a head of exactly maxHeadBytes does not count', () => {
    assert.equal(scan(padded(61_440) + 'x'.repeat(50)), 'whole');
  });

  it('maxHeadBytes without a line end is head_too_large, one byte less waits', () => {
    assert.equal(scan(`GET /${'x'.repeat(61_440 - 5)}`), 'head_too_large');
    assert.equal(scan(`GET /${'x'.repeat(61_440 - 6)}`), 'more');
  });

  it('exactly maxHeaders fields are whole, one more is too_many_headers', () => {
    assert.equal(scan(withFields(100)), 'whole');
    assert.equal(scan(withFields(101)), 'too_many_headers');
  });

  it('empty lines before a request count as its head: an endless run of them ends', () => {
    assert.equal(scan(`\r\n\r\n${HEAD}`), 'whole');
    assert.equal(scan('\r\n'.repeat(40_000)), 'head_too_large');
  });

  it('a head that drips in a byte at a time costs linear time', () => {
    const bytes = Buffer.from(padded(61_440), 'latin1');
    const scanner = new HeadScanner('request', LIMITS);
    scanner.reset(0);
    const begin = performance.now();
    for (let length = 1; length < bytes.length; length++) {
      assert.equal(scanner.scan(bytes.subarray(0, length)), 'more');
    }
    assert.equal(scanner.scan(bytes), 'whole');
    assert.ok(performance.now() - begin < 2_000, 'quadratic scanning would take minutes');
  });
});
