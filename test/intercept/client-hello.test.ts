import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  MAX_CLIENT_HELLO_BYTES,
  MAX_CLIENT_HELLO_RECORDS,
  parseClientHello,
} from '../../src/intercept/client-hello.ts';
import {
  RECORDED,
  alpn,
  extension,
  hello,
  helloMessage,
  records,
  serverName,
  u16,
} from './client-hello-writer.ts';

const EXPECTED: Readonly<Record<string, { sni: string; alpn: string[] }>> = {
  curl: { sni: 'httpbin.foo', alpn: ['h2', 'http/1.1'] },
  'go-no-sni': { sni: '', alpn: ['h2', 'http/1.1'] },
  'node-mlkem': { sni: 'httpbin.foo.svc', alpn: ['istio-http/1.1', 'istio', 'http/1.1'] },
  'openssl-no-sni': { sni: '', alpn: [] },
  'openssl-sni-alpn': { sni: 'httpbin.foo.svc.cluster.local', alpn: ['istio-http/1.1', 'istio', 'http/1.1'] },
  'openssl-tls12-only': { sni: 'secret.example', alpn: [] },
  'openssl-tls13-only': { sni: 'secret.example', alpn: ['h2'] },
};

function answerOf(bytes: Buffer): unknown {
  return parseClientHello(bytes);
}

function tls(sni: string, names: readonly string[] = [], sniInvalid = false): unknown {
  return { kind: 'tls', sni, sniInvalid, alpn: names };
}

describe('parseClientHello', () => {
  it('has a recorded hello for every expectation and back', () => {
    assert.deepEqual(Object.keys(RECORDED).toSorted(), Object.keys(EXPECTED).toSorted());
  });

  for (const [name, bytes] of Object.entries(RECORDED)) {
    const expected = tls(EXPECTED[name]?.sni ?? '?', EXPECTED[name]?.alpn);

    it(`asks for more on every prefix of ${name} and knows it whole, with or without more bytes after it`, () => {
      for (let length = 0; length < bytes.length; length++) {
        assert.equal(parseClientHello(bytes.subarray(0, length)).kind, 'more', `after ${length} bytes`);
      }
      assert.deepEqual(answerOf(bytes), expected);
      assert.deepEqual(answerOf(Buffer.concat([bytes, Buffer.from([0x14, 3, 3, 0, 1, 1, 0x17])])), expected);
    });

    it(`reads ${name} cut into two records at every position`, () => {
      const message = bytes.subarray(5);
      for (let cut = 1; cut < message.length; cut++) {
        const split = records(message.subarray(0, cut), message.subarray(cut));
        assert.deepEqual(answerOf(split), expected, `cut at ${cut}`);
      }
    });
  }

  it('asks for more on every prefix of a hello cut into two records, wherever it is cut', () => {
    const message = helloMessage({ extensions: [serverName('a.example'), alpn('h2')] });
    for (let cut = 1; cut < message.length; cut++) {
      const split = records(message.subarray(0, cut), message.subarray(cut));
      for (let length = 0; length < split.length; length++) {
        assert.equal(
          parseClientHello(split.subarray(0, length)).kind,
          'more',
          `cut at ${cut}, ${length} bytes`,
        );
      }
      assert.deepEqual(answerOf(split), tls('a.example', ['h2']));
    }
  });

  it('reads a hello in as many records as it may have, and calls one more malformed', () => {
    const message = helloMessage({ extensions: [serverName('a.example')] });
    const tiny = (pieces: number): Buffer => {
      const heads = Array.from({ length: pieces - 1 }, (_, at) => message.subarray(at, at + 1));
      return records(...heads, message.subarray(pieces - 1));
    };
    assert.deepEqual(answerOf(tiny(MAX_CLIENT_HELLO_RECORDS)), tls('a.example'));
    assert.deepEqual(answerOf(tiny(MAX_CLIENT_HELLO_RECORDS + 1)), {
      kind: 'malformed',
      reason: 'the ClientHello is cut into too many records',
    });
  });

  it('steps over GREASE in suites, extensions and ALPN (RFC 8701)', () => {
    const bytes = hello({
      cipherSuites: Buffer.from([0x0a, 0x0a, 0x13, 0x01]),
      extensions: [
        extension(0x1a1a, Buffer.alloc(0)),
        serverName('grease.example'),
        alpn('\x2a\x2a', 'h2'),
        extension(0xfafa, Buffer.from([0])),
      ],
    });
    assert.deepEqual(answerOf(bytes), tls('grease.example', ['\x2a\x2a', 'h2']));
  });

  it('takes a hello without extensions for TLS', () => {
    assert.deepEqual(answerOf(hello({ extensions: null })), tls(''));
    assert.deepEqual(answerOf(hello({ extensions: [] })), tls(''));
  });

  const names: readonly [sent: string, sni: string][] = [
    ['SECRET.com', 'secret.com'],
    ['a.example.', 'a.example'],
    ['outbound_.80_._.httpbin.foo.svc.cluster.local', 'outbound_.80_._.httpbin.foo.svc.cluster.local'],
    ['10.0.0.1', '10.0.0.1'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    [`${'a'.repeat(63)}.b`, `${'a'.repeat(63)}.b`],
    [`${'a'.repeat(64)}.b`, ''],
    [`${'a.'.repeat(126)}a`, `${'a.'.repeat(126)}a`],
    [`${'a.'.repeat(126)}ab`, ''],
    ['', ''],
    ['.', ''],
    ['a..b', ''],
    ['.a', ''],
    ['a.example..', ''],
    ['a\0.example', ''],
    ['a\n.example', ''],
    ['a b', ''],
    ['*.example', ''],
    ['a/b', ''],
    ['a:443', ''],
    ['::1', ''],
    ['secret\u00b7com', ''],
    ['secret\xe3\x80\x82com', ''],
    ['"', ''],
  ];
  for (const [sent, sni] of names) {
    it(`reads the server name ${JSON.stringify(sent.slice(0, 70))} as ${JSON.stringify(sni.slice(0, 70))}`, () => {
      assert.deepEqual(answerOf(hello({ extensions: [serverName(sent)] })), tls(sni, [], sni === ''));
    });
  }

  it('judges each byte value in a server name', () => {
    for (let byte = 0; byte < 256; byte++) {
      const allowed = /[A-Za-z0-9_.-]/.test(String.fromCharCode(byte));
      const sent = Buffer.concat([Buffer.from('a'), Buffer.from([byte]), Buffer.from('b')]);
      const sni = allowed ? sent.toString('latin1').toLowerCase() : '';
      assert.deepEqual(
        answerOf(hello({ extensions: [serverName(sent)] })),
        tls(sni, [], !allowed),
        `byte ${byte}`,
      );
    }
  });

  const badNameLists: readonly [what: string, body: Buffer][] = [
    ['an empty extension', Buffer.alloc(0)],
    ['an empty list', u16(0)],
    ['a name type that is not a host name', Buffer.from([0, 4, 1, 0, 1, 0x61])],
    ['two names', Buffer.from([0, 8, 0, 0, 1, 0x61, 0, 0, 1, 0x62])],
    ['a list longer than the extension', Buffer.from([0, 9, 0, 0, 1, 0x61])],
    ['a name longer than the list', Buffer.from([0, 4, 0, 0, 9, 0x61])],
  ];
  for (const [what, body] of badNameLists) {
    it(`gives no server name for ${what}, and flags it`, () => {
      assert.deepEqual(answerOf(hello({ extensions: [extension(0, body)] })), tls('', [], true));
    });
  }

  const malformed: readonly [what: string, bytes: Buffer][] = [
    [
      'a message shorter than its fixed part',
      records(Buffer.concat([Buffer.from([1, 0, 0, 10]), Buffer.alloc(10)])),
    ],
    ['a session id over 32 bytes', hello({ sessionId: Buffer.alloc(33) })],
    ['no cipher suite', hello({ cipherSuites: Buffer.alloc(0) })],
    ['half a cipher suite', hello({ cipherSuites: Buffer.alloc(3) })],
    ['no compression method', hello({ compression: Buffer.alloc(0) })],
    ['extensions that end too early', hello({ extensions: [Buffer.from([0, 0, 0])] })],
    ['an extension longer than the list', hello({ extensions: [Buffer.from([0, 99, 0, 9, 1])] })],
    ['the server name twice', hello({ extensions: [serverName('a'), serverName('b')] })],
    ['the ALPN list twice', hello({ extensions: [alpn('h2'), alpn('http/1.1')] })],
    ['an empty ALPN extension', hello({ extensions: [extension(16, Buffer.alloc(0))] })],
    ['an empty ALPN name', hello({ extensions: [extension(16, Buffer.from([0, 3, 0, 1, 0x61]))] })],
    [
      'an ALPN name longer than the list',
      hello({ extensions: [extension(16, Buffer.from([0, 3, 9, 1, 0x61]))] }),
    ],
    [
      'an ALPN list longer than the extension',
      hello({ extensions: [extension(16, Buffer.from([0, 9, 1, 0x61]))] }),
    ],
    ['a message over the limit', records(Buffer.concat([Buffer.from([1, 0, 0x40, 1]), Buffer.alloc(100)]))],
    ['a message of 16 MiB', records(Buffer.from([1, 0xff, 0xff, 0xff]))],
    [
      'another record inside the hello',
      Buffer.concat([records(Buffer.from([1, 0, 0])), Buffer.from([0x15, 3, 3, 0, 2, 1, 0])]),
    ],
    [
      'an empty record inside the hello',
      Buffer.concat([records(Buffer.from([1, 0, 0])), Buffer.from([0x16, 3, 3, 0, 0])]),
    ],
    [
      'a second record of another protocol',
      Buffer.concat([records(Buffer.from([1, 0, 0])), Buffer.from([0x16, 2])]),
    ],
    [
      'a second record over 16 KiB',
      Buffer.concat([records(Buffer.from([1, 0, 0])), Buffer.from([0x16, 3, 3, 0x40, 1])]),
    ],
  ];
  for (const [what, bytes] of malformed) {
    it(`calls ${what} malformed`, () => {
      assert.equal(parseClientHello(bytes).kind, 'malformed');
    });
  }

  it('reads the largest hello that is allowed', () => {
    const without = helloMessage({
      extensions: [extension(21, Buffer.alloc(0)), serverName('a.example')],
    }).length;
    const padding = extension(21, Buffer.alloc(MAX_CLIENT_HELLO_BYTES - without));
    const message = helloMessage({ extensions: [padding, serverName('a.example')] });
    assert.equal(message.length, MAX_CLIENT_HELLO_BYTES);
    assert.deepEqual(answerOf(records(message)), tls('a.example'));
    assert.deepEqual(
      answerOf(records(message.subarray(0, 9_000), message.subarray(9_000))),
      tls('a.example'),
    );
  });

  const notTls: readonly [what: string, bytes: Buffer][] = [
    ['0x16 and text', Buffer.from('\x16hello', 'latin1')],
    ['a version that is not SSL 3 or TLS', Buffer.from([0x16, 2])],
    ['an empty first record', Buffer.from([0x16, 3, 1, 0, 0])],
    ['a first record over 16 KiB', Buffer.from([0x16, 3, 1, 0x40, 1])],
    ['a ServerHello', Buffer.from([0x16, 3, 1, 0, 0x40, 2])],
    ['an alert', Buffer.from([0x15, 3, 1, 0, 2, 1, 0])],
    ['application data', Buffer.from([0x17])],
  ];
  for (const [what, bytes] of notTls) {
    it(`calls ${what} not TLS, and no prefix that could still be`, () => {
      assert.equal(parseClientHello(bytes).kind, 'opaque');
    });
  }

  it('keeps waiting on 0x16 as long as a ClientHello can follow', () => {
    const begun = Buffer.from([0x16, 3, 1, 0, 0x40, 1]);
    for (let length = 1; length <= begun.length; length++) {
      assert.equal(parseClientHello(begun.subarray(0, length)).kind, 'more', `after ${length} bytes`);
    }
  });
});
