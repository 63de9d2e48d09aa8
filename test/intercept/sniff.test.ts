import assert from 'node:assert/strict';
import { METHODS } from 'node:http';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { MAX_FIRST_LINE_BYTES } from '../../src/intercept/request-line.ts';
import { MAX_SNIFF_BYTES, sniff } from '../../src/intercept/sniff.ts';
import { RECORDED, hello, serverName } from './client-hello-writer.ts';

function kindOf(bytes: Buffer | string, need: 'tls' | 'tls+http' = 'tls+http'): string {
  return sniff(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, need).kind;
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

describe('sniff', () => {
  for (const method of METHODS) {
    it(`knows ${method} by its first slash and waits until then, in any case of letters`, () => {
      for (const text of [`${method} /`, `${method.toLowerCase()} /`]) {
        for (let length = 0; length < text.length; length++) {
          assert.equal(kindOf(text.slice(0, length)), 'more', JSON.stringify(text.slice(0, length)));
        }
        assert.equal(kindOf(text), 'http1');
      }
    });
  }

  const plaintext: readonly [text: string, kind: string][] = [
    ['GET / HTTP/1.1\r\n', 'http1'],
    ['GET  / HTTP/1.1\r\n', 'http1'],
    ['GET\t/ HTTP/1.1\r\n', 'http1'],
    ['get / HTTP/1.1\r\n', 'http1'],
    ['GET /\x00', 'http1'],
    ['\r\nGET / HTTP/1.1\r\n', 'http1'],
    ['\n\n\nPOST /x HTTP/1.0\n', 'http1'],
    ['GET http://a.example/ HTTP/1.1\r\n', 'http1'],
    ['GET HTTPS://a.example/\x01', 'http1'],
    ['CONNECT a.example:443 HTTP/1.1\r\n', 'http1'],
    ['OPTIONS * HTTP/1.1\r\n', 'http1'],
    ['OPTIONS * http/1.1\r\n', 'http1'],
    ['ANYTHING /x HTTP/1.1\r\n', 'http1'],
    ['FOO_BAR-1 caf\xe9 HTTP/9.9\r\n', 'http1'],
    ['PRI * HTTP/2.0\r\n\r\nXX', 'http1'],
    ['PRI /', 'more'],
    ['PRI / HTTP/1.1', 'http1'],
    ['', 'more'],
    ['\r\n', 'more'],
    ['ANYTHING', 'more'],
    ['ANYTHING /x', 'more'],
    ['OPTIONS * ', 'more'],
    ['OPTIONS * HTTP', 'more'],
    // text protocols that clients begin
    ['SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', 'opaque'],
    ['SSH-2.0-Go\r\n', 'opaque'],
    ['PING\r\n', 'opaque'],
    ['*3\r\n$3\r\nSET\r\n', 'opaque'],
    ['SET key value\r\n', 'opaque'],
    ['get key\r\n', 'opaque'],
    ['set key 0 0 3\r\nabc\r\n', 'opaque'],
    ['EHLO mail.example\r\n', 'opaque'],
    ['NICK alice\r\n', 'opaque'],
    ['CONNECT {"verbose":false}\r\n', 'opaque'],
    ['CONNECT {"name": "http/2"}\r\n', 'opaque'],
    ['CONNECT\naccept-version:1.2\n', 'opaque'],
    ['OPTIONS rtsp://a.example/x RTSP/1.0\r\n', 'opaque'],
    ['INVITE sip:bob@a.example SIP/2.0\r\n', 'opaque'],
    ['ISA*00*          *00*          *ZZ*', 'opaque'],
    ['hello', 'more'],
    ['hello\r\n', 'opaque'],
    ['admin / HTTP/1.1\r\n', 'http1'],
    ['set key 0 0 1\r\n', 'opaque'],
    ['HELLO\n', 'opaque'],
    ['GET\n', 'opaque'],
    ['GET x\r\n', 'opaque'],
    ['GET: x', 'opaque'],
    ['get-something', 'more'],
    ['get-something\r\n', 'opaque'],
    ['8=FIX.4.2\x01', 'opaque'],
    ['{"a":1}', 'opaque'],
    ['AMQP\0\0\x09\x01', 'opaque'],
    ['AAA /\x7f HTTP/1.1', 'opaque'],
    ['AAA / GET', 'opaque'],
  ];
  for (const [text, kind] of plaintext) {
    it(`answers ${kind} to ${JSON.stringify(text)}`, () => {
      assert.equal(kindOf(text), kind);
    });
  }

  it('knows the HTTP/2 preface whole, and waits on every part of it', () => {
    for (let length = 0; length < PREFACE.length; length++) {
      assert.equal(kindOf(PREFACE.slice(0, length)), 'more', `after ${length} bytes`);
    }
    assert.equal(kindOf(PREFACE), 'http2');
    assert.equal(kindOf(`${PREFACE}\0\0\0\x04\0\0\0\0\0`), 'http2');
  });

  it('takes a preface that goes wrong for something else, at every position', () => {
    for (let at = 0; at < PREFACE.length; at++) {
      const wrong = `${PREFACE.slice(0, at)}\x01`;
      assert.notEqual(kindOf(wrong), 'http2');
      assert.notEqual(kindOf(wrong), 'more', `wrong at ${at}`);
    }
  });

  it('waits on a first byte only if TLS or HTTP can begin with it', () => {
    for (let byte = 0; byte < 256; byte++) {
      const character = String.fromCharCode(byte);
      // Any token may be a method (RFC 9110 §5.6.2), and empty lines may come before it.
      const begins = byte === 0x16 || /[!#$%&'*+\-.^_`|~0-9A-Za-z\r\n]/.test(character);
      assert.equal(kindOf(character), begins ? 'more' : 'opaque', `byte ${byte}`);
      assert.equal(kindOf(character, 'tls'), byte === 0x16 ? 'more' : 'opaque', `byte ${byte}, TLS only`);
    }
  });

  it('does not look for HTTP where only TLS matters', () => {
    assert.equal(kindOf('GET / HTTP/1.1\r\n', 'tls'), 'opaque');
    assert.equal(kindOf(PREFACE, 'tls'), 'opaque');
    for (const bytes of Object.values(RECORDED)) assert.equal(kindOf(bytes, 'tls'), 'tls');
  });

  it('calls what could still be a request line HTTP when it is as long as it may be', () => {
    for (const begun of ['ANYTHING ', 'ANYTHING', '\r\n']) {
      const filler = begun === '\r\n' ? '\r' : 'X';
      assert.equal(kindOf(begun.padEnd(MAX_FIRST_LINE_BYTES - 1, filler)), 'more');
      assert.equal(kindOf(begun.padEnd(MAX_FIRST_LINE_BYTES, filler)), 'http1');
    }
  });

  // Bytes that get far: real beginnings, cut, with a few bytes changed.
  const beginnings = [
    ...Object.values(RECORDED),
    hello({ extensions: [serverName('a.example')] }),
    ...[PREFACE, 'GET / HTTP/1.1\r\n', 'CONNECT a:1 HTTP/1.1\r\n', 'QUERYING x HTTP/1.1\r\n'].map((text) =>
      Buffer.from(text, 'latin1'),
    ),
  ];
  const likely = fc
    .tuple(
      fc.constantFrom(...beginnings),
      fc.array(fc.tuple(fc.nat(1_700), fc.nat(255)), { maxLength: 3 }),
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([beginning, changes, tail]) => {
      const bytes = Buffer.concat([beginning, tail]);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      return bytes;
    });
  const anyBytes = fc.oneof(
    likely,
    fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
  );

  it('never throws, and never changes its answer when more bytes come', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(1_800), fc.constantFrom('tls', 'tls+http'), (bytes, cut, need) => {
        const early = sniff(bytes.subarray(0, cut), need);
        const late = sniff(bytes, need);
        if (early.kind !== 'more') assert.equal(late.kind, early.kind);
      }),
      { numRuns: 5_000 },
    );
  });

  it('has always decided when as many bytes came as it may hold', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(255), (bytes, filler) => {
        const full = Buffer.concat([bytes, Buffer.alloc(MAX_SNIFF_BYTES, filler)]);
        assert.notEqual(sniff(full, 'tls+http').kind, 'more');
      }),
      { numRuns: 1_000 },
    );
    const records = Buffer.alloc(MAX_SNIFF_BYTES, Buffer.from([0x16, 3, 1, 0, 1, 0]));
    records[5] = 1;
    assert.equal(sniff(records, 'tls').kind, 'malformed');
  });
});
