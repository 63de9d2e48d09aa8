/**
 * Requests that RFC 9112 allows, and mutations of them, for fast-check.
 *
 * Left out of the valid ones, because this codec refuses them on purpose: repeated Content-Length, Host and
 * Transfer-Encoding, other transfer codings, Upgrade and CONNECT, an Expect that is not 100-continue, a Host
 * that differs from an absolute-form target, sizes of more than 13 digits, framing fields in trailers, white
 * space around a chunk extension's "=" or ";" (RFC 9112 calls it bad), raw non-ASCII in targets. Methods are those
 * that llhttp knows, for it refuses others.
 */
import * as fc from 'fast-check';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'REPORT'];
const NAMES = [
  'X-A',
  'x-b',
  'Accept',
  'Cookie',
  'USER-AGENT',
  '__proto__',
  'a_b',
  '!#$%&*+-.^_`|~',
  'Referer',
  'Via',
  'x',
];

const TARGET_CHARS = 'abcXYZ019-._~!$&\'()*+,;=:@%/?[]{}|\\^`<>"'.split('');
const VALUE_CHARS = 'abc XYZ\t019-._~!$&\'()*+,;=:@%/?"\\\x80\xa0\xc4\xff{}<>#'.split('');

const targetText = fc.string({ unit: fc.constantFrom(...TARGET_CHARS), maxLength: 30 });
const valueText = fc
  .string({ unit: fc.constantFrom(...VALUE_CHARS), maxLength: 40 })
  .map((text) => text.replaceAll(/^[ \t]+|[ \t]+$/g, ''));
const ows = fc.constantFrom('', ' ', '  ', '\t', ' \t ');
const host = fc.constantFrom('h', 'a.b:80', '[::1]', '[::1]:8080', '127.0.0.1', 'EXAMPLE.com.', 'a_b~c');

const fieldLine = fc.tuple(fc.constantFrom(...NAMES), ows, valueText, ows).map((parts) => {
  const [name, before, value, after] = parts;
  return `${name}:${before}${value}${after}\r\n`;
});

const bodyText = fc.string({ unit: fc.constantFrom(...'abc\r\n0\0\xff:;'.split('')), maxLength: 60 });
const token = fc.constantFrom('a', 'b-c', '!#$', '0');
const extension = fc.oneof(
  fc.constant(''),
  token.map((name) => `;${name}`),
  fc.tuple(token, token).map(([name, value]) => `;${name}=${value}`),
  fc.tuple(token, fc.constantFrom('', 'x y', 'a\\"b', ';,=')).map(([name, value]) => `;${name}="${value}"`),
);
const chunk = fc
  .tuple(bodyText, extension, fc.boolean(), fc.constantFrom('', '0', '000'))
  .filter(([body]) => body.length > 0)
  .map(([body, ext, upper, zeros]) => {
    const size = body.length.toString(16);
    return `${zeros}${upper ? size.toUpperCase() : size}${ext}\r\n${body}\r\n`;
  });
const trailers = fc.array(fc.tuple(fc.constantFrom('X-Sum', 'x-t'), valueText), { maxLength: 2 });
const chunked = fc
  .tuple(fc.array(chunk, { maxLength: 4 }), extension, trailers)
  .map(([chunks, ext, fields]) => ({
    fields:
      fields.length > 0
        ? 'Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n'
        : 'Transfer-Encoding: Chunked\r\n',
    body: `${chunks.join('')}0${ext}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
  }));
const counted = bodyText.map((body) => ({ fields: `Content-Length: ${body.length}\r\n`, body }));
const bodyless = fc.constant({ fields: '', body: '' });

const hopFields = fc.constantFrom(
  '',
  '',
  '',
  'Connection: keep-alive\r\n',
  'Connection: close\r\n',
  'Connection: X-A, te\r\nTE: trailers\r\n',
  'Keep-Alive: timeout=5\r\n',
  'Proxy-Connection: keep-alive\r\n',
  'Expect: 100-continue\r\n',
  'X_Forwarded_For: 1\r\n',
);

const target = fc.tuple(targetText, host, fc.nat(19)).map(([text, authority, form]) => {
  if (form === 0) return { line: `http://${authority}/${text.replaceAll('#', '')}`, authority };
  if (form === 1) return { line: `HTTP://${authority}?${text}`, authority };
  return { line: `/${text}`, authority };
});

/** One request that RFC 9112 allows. */
export const validRequest: fc.Arbitrary<string> = fc
  .record({
    method: fc.constantFrom(...METHODS),
    target,
    old: fc.nat(9),
    before: fc.array(fieldLine, { maxLength: 5 }),
    after: fc.array(fieldLine, { maxLength: 5 }),
    hop: hopFields,
    message: fc.oneof(bodyless, counted, chunked),
    leading: fc.nat(9),
    many: fc.nat(30),
  })
  .map(({ method, target: { line, authority }, old, before, after, hop, message, leading, many }) => {
    const oldVersion = old === 0 && !message.fields.startsWith('Transfer');
    const star = method === 'OPTIONS' && many === 1;
    const fill = many === 0 ? 'f: g\r\n'.repeat(84) : '';
    const expect = hop.startsWith('Expect') && message.body === '' ? '' : hop;
    return (
      (leading === 0 ? '\r\n\r\n' : '') +
      `${method} ${star ? '*' : line} HTTP/1.${oldVersion ? 0 : 1}\r\n` +
      `${before.join('')}hOST: ${authority}\r\n${expect}${fill}${after.join('')}${message.fields}\r\n${message.body}`
    );
  });

/** What smugglers and clumsy clients put in. */
const SPLICES = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '\x7f',
  '\xff',
  '#',
  '%',
  '0',
  '1',
  'a',
  '=',
  '"',
  '\r\nContent-Length: 3',
  '\r\nTransfer-Encoding: chunked',
  '\r\nTransfer-Encoding : chunked',
  '\r\n folded',
  '\r\nHost: other',
  '\r\nConnection: close',
  '\r\nUpgrade: x',
  '\r\nX-A: b',
  '0\r\n\r\n',
  '5\r\n',
  'chunked, ',
  'GET / HTTP/1.1\r\nHost: h\r\n\r\n',
  'HTTP/1.1',
  '\r\n\r\n',
];

const mutation = fc.record({
  kind: fc.constantFrom('insert', 'insert', 'delete', 'replace', 'swap-case', 'repeat'),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  text: fc.constantFrom(...SPLICES),
  length: fc.integer({ min: 1, max: 4 }),
});

/** A request that was tampered with in one to three places. */
export const mutatedRequest: fc.Arbitrary<string> = fc
  .tuple(validRequest, fc.array(mutation, { minLength: 1, maxLength: 2 }))
  .map(([request, mutations]) => {
    let text = request;
    for (const { kind, at, text: splice, length } of mutations) {
      const from = Math.floor(at * text.length);
      const piece = text.slice(from, from + length);
      const rest = text.slice(from + length);
      if (kind === 'insert') text = text.slice(0, from) + splice + text.slice(from);
      else if (kind === 'delete') text = text.slice(0, from) + rest;
      else if (kind === 'replace') text = text.slice(0, from) + splice + rest;
      else if (kind === 'repeat') text = text.slice(0, from) + piece + piece + rest;
      else
        text =
          text.slice(0, from) +
          (piece === piece.toLowerCase() ? piece.toUpperCase() : piece.toLowerCase()) +
          rest;
    }
    return text;
  });
