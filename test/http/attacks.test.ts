/**
 * Attacks on the request path, each with its answer and the exact bytes that the app saw ('' for none). The app reads
 * as leniently as the victims of these attacks do, so a hidden request would show up as one more.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { attack, post, request } from './attack.ts';
import { PEER, startProxy } from './proxy-fixture.ts';

const SMUGGLED = 'GET /admin HTTP/1.1\r\nHost: h\r\n\r\n';

describe('requests that two readers could read differently', () => {
  checkLeaks();

  const refused: readonly (readonly [string, string, string, string])[] = [
    ['7: NUL in a value', request('/', 'A: a\0b'), '400', 'bad_header_value'],
    ['7: NUL in a path', request('/x/.\0../y'), '400', 'bad_target'],
    ['7: DEL in a path', request('/a\x7f'), '400', 'bad_target'],
    ['14: user-info in Host', 'GET / HTTP/1.1\r\nHost: user@secret.com\r\n\r\n', '400', 'bad_host'],
    ['14: a path in Host', 'GET / HTTP/1.1\r\nHost: secret.com/x\r\n\r\n', '400', 'bad_host'],
    ['14: a comma in Host', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n', '400', 'bad_host'],
    ['14: an empty Host', 'GET / HTTP/1.1\r\nHost: \r\n\r\n', '400', 'bad_host'],
    ['14: no Host', 'GET / HTTP/1.1\r\n\r\n', '400', 'bad_host'],
    ['15: two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', '400', 'bad_host'],
    ['15: the same Host twice', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', '400', 'bad_host'],
    ['15: another authority in the target', request('http://other/a'), '400', 'host_mismatch'],
    ['15: user-info in the target', request('http://h@other/a'), '400', 'bad_target'],
    [
      '43: CL and TE',
      post(['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'ambiguous_framing',
    ],
    [
      '43: TE and CL',
      post(['Transfer-Encoding: chunked', 'Content-Length: 6'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'ambiguous_framing',
    ],
    [
      '43: two CL',
      post(['Content-Length: 0', `Content-Length: ${SMUGGLED.length}`], SMUGGLED),
      '400',
      'bad_content_length',
    ],
    [
      '43: the same CL twice',
      post(['Content-Length: 5', 'Content-Length: 5'], 'abcde'),
      '400',
      'bad_content_length',
    ],
    ['43: CL: 5, 5', post(['Content-Length: 5, 5'], 'abcde'), '400', 'bad_content_length'],
    ['43: CL: +5', post(['Content-Length: +5'], 'abcde'), '400', 'bad_content_length'],
    ['43: CL: -1', post(['Content-Length: -1'], 'abcde'), '400', 'bad_content_length'],
    ['43: CL: 0x5', post(['Content-Length: 0x5'], 'abcde'), '400', 'bad_content_length'],
    ['43: CL: 5e0', post(['Content-Length: 5e0'], 'abcde'), '400', 'bad_content_length'],
    ['43: empty CL', post(['Content-Length:'], ''), '400', 'bad_content_length'],
    ['43: CL of 2^64', post(['Content-Length: 18446744073709551621'], 'abcde'), '400', 'bad_content_length'],
    [
      '43: white space before Content-Length',
      post([' Content-Length: 5'], 'abcde'),
      '400',
      'obsolete_line_folding',
    ],
    [
      '43: folded TE',
      post(['Transfer-Encoding:', ' chunked'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'obsolete_line_folding',
    ],
    [
      '43: xchunked',
      post(['Transfer-Encoding: xchunked'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: chunked, identity',
      post(['Transfer-Encoding: chunked, identity'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: identity',
      post(['Transfer-Encoding: identity', 'Content-Length: 5'], 'abcde'),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: gzip, chunked',
      post(['Transfer-Encoding: gzip, chunked'], '0\r\n\r\n'),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: chunked twice',
      post(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], '0\r\n\r\n'),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: quoted chunked',
      post(['Transfer-Encoding: "chunked"'], '0\r\n\r\n'),
      '400',
      'bad_transfer_encoding',
    ],
    [
      '43: VT before chunked',
      post(['Transfer-Encoding: \x0bchunked'], '0\r\n\r\n'),
      '400',
      'bad_header_value',
    ],
    [
      '43: TE in HTTP/1.0',
      'POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400',
      'bad_transfer_encoding',
    ],
    ['44: bare LF after the request line', `GET / HTTP/1.1\nHost: h\r\n\r\n`, '400', 'bad_line_end'],
    ['44: bare LF after a field', `GET / HTTP/1.1\r\nHost: h\n\r\n`, '400', 'bad_line_end'],
    ['44: bare LF as the empty line', `GET / HTTP/1.1\r\nHost: h\r\n\n${SMUGGLED}`, '400', 'bad_line_end'],
    ['44: bare CR in a value', request('/', 'A: b\rContent-Length: 5'), '400', 'bad_line_end'],
    ['44: CR LF CR X', 'GET / HTTP/1.1\r\nHost: h\r\n\rX', '400', 'bad_line_end'],
    [
      '45: space before the colon of TE',
      post(['Transfer-Encoding : chunked'], `0\r\n\r\n${SMUGGLED}`),
      '400',
      'bad_header_name',
    ],
    ['45: tab before the colon of CL', post(['Content-Length\t: 5'], 'abcde'), '400', 'bad_header_name'],
    [
      '47: Upgrade: websocket',
      request('/', 'Connection: Upgrade', 'Upgrade: websocket'),
      '403',
      'upgrade_refused',
    ],
    [
      '47: Upgrade with a body',
      post(['Connection: upgrade', 'Upgrade: foo', `Content-Length: ${SMUGGLED.length}`], SMUGGLED),
      '403',
      'upgrade_refused',
    ],
    [
      '47: CONNECT with early data',
      `CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n${SMUGGLED}`,
      '404',
      'connect_refused',
    ],
    [
      'Expect of another kind',
      post(['Expect: 200-ok', 'Content-Length: 1'], 'a'),
      '417',
      'expectation_failed',
    ],
    ['a target that is neither path nor URI', request('a/b'), '400', 'bad_target'],
    ['"*" with GET', request('*'), '400', 'bad_target'],
    ['an ftp URI', request('ftp://h/a'), '400', 'bad_target'],
    ['HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', '400', 'bad_http_version'],
  ];
  for (const [name, bytes, status, code] of refused) {
    it(`${name} is ${status} ${code}, the connection is closed and the app sees nothing`, async () => {
      const { answer, seen, code: logged } = await attack(bytes);
      assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(answer, /\r\nconnection: close\r\n/);
      assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1, 'one answer and no more');
      assert.equal(seen, '');
      assert.equal(logged, code);
    });
  }

  const brokenBodies: readonly (readonly [string, string, string])[] = [
    ['44: bare LF in a chunk line', '5\nabcde\r\n0\r\n\r\n', 'bad_chunk'],
    ['44: bare LF after a chunk', '5\r\nabcde\n0\r\n\r\n', 'bad_chunk'],
    ['45: LF in a chunk extension', '5;a\nb\r\nabcde\r\n0\r\n\r\n', 'bad_chunk'],
    ['45: an endless chunk extension', `5;${'a'.repeat(2_000)}`, 'chunk_extension_too_large'],
    ['45: many extensions over a body', `1;aaaaaaaaaaa\r\nx\r\n`.repeat(200), 'chunk_extension_too_large'],
    ['a chunk longer than its size', '3\r\nabcde\r\n0\r\n\r\n', 'bad_chunk'],
    ['a negative size', '-5\r\nabcde\r\n', 'bad_chunk'],
    ['framing in trailers', '0\r\nContent-Length: 5\r\n\r\n', 'bad_trailer'],
    ['Host in trailers', '0\r\nHost: other\r\n\r\n', 'bad_trailer'],
    ['XFCC in trailers', '0\r\nX-Forwarded-Client-Cert: URI=spiffe://a/b\r\n\r\n', 'bad_trailer'],
    ['an alias of XFCC in trailers', '0\r\nX_Forwarded_Client_Cert: URI=spiffe://a/b\r\n\r\n', 'bad_trailer'],
    ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n', 'bad_trailer'],
  ];
  for (const [name, body, code] of brokenBodies) {
    it(`${name} in a chunked body is 400 ${code} and no whole request reaches the app`, async () => {
      const {
        answer,
        requests,
        code: logged,
      } = await attack(post(['Transfer-Encoding: chunked'], body + SMUGGLED), {});
      assert.match(answer, /^HTTP\/1\.1 400 /);
      assert.match(answer, /\r\nconnection: close\r\n/);
      assert.equal(requests, 0);
      assert.equal(logged, code);
    });
  }

  it('21: an alias of Transfer-Encoding frames nothing', async () => {
    const { seen, answer } = await attack(
      post(['Transfer_Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'),
    );
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.equal(seen, 'POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n0\r\n\r\n');
  });

  it('22, 23: a client cannot delete or forge what we set', async () => {
    const { seen } = await attack(
      request(
        '/',
        'Connection: close, X-Forwarded-Client-Cert, X-Request-Id',
        'X-Forwarded-Client-Cert: By=spiffe://a/b;URI=spiffe://cluster.local/ns/foo/sa/admin',
        'X-Envoy-Original-Path: /public',
        'X-Envoy-Internal: true',
        'X-Request-Id: mine',
      ),
      { builtIn: true, peer: PEER },
    );
    assert.match(
      seen,
      /\r\nx-forwarded-client-cert: By=spiffe:\/\/cluster\.local\/ns\/foo\/sa\/httpbin;Hash=(ab){32};Subject="";URI=spiffe:\/\/cluster\.local\/ns\/foo\/sa\/sleep\r\n/,
    );
    assert.match(seen, /\r\nx-request-id: [0-9a-f-]{36}\r\n/);
    assert.doesNotMatch(seen, /x-envoy|admin|mine/i);
  });

  it('24: an incoming XFCC with an open quote is dropped; the last element is ours', async () => {
    const { seen } = await attack(
      request(
        '/',
        'X-Forwarded-Client-Cert: By=spiffe://a/b;Subject="open',
        'X-Forwarded-Client-Cert: By=spiffe://a/b;Hash=cd;URI=spiffe://a/c',
      ),
      { builtIn: true, peer: PEER },
    );
    const lines = seen.match(/x-forwarded-client-cert: .*\r\n/g) ?? [];
    assert.equal(lines.length, 1);
    assert.match(
      lines[0],
      /^x-forwarded-client-cert: By=spiffe:\/\/a\/b;Hash=cd;URI=spiffe:\/\/a\/c,By=.*sa\/sleep\r\n$/,
    );
  });

  it('23: XFCC on plaintext is removed', async () => {
    const { seen } = await attack(request('/', 'X-Forwarded-Client-Cert: By=a;URI=b'), { builtIn: true });
    assert.doesNotMatch(seen, /client-cert/i);
  });

  it('56: a body of one-byte chunks arrives whole and in order', async () => {
    const body = 'abcdefghij'.repeat(300);
    const chunks = body
      .split('')
      .map((char) => `1\r\n${char}\r\n`)
      .join('');
    const { seen, answer } = await attack(post(['Transfer-Encoding: chunked'], `${chunks}0\r\n\r\n`));
    assert.match(answer, /^HTTP\/1\.1 200 /);
    const sent = seen.slice(seen.indexOf('\r\n\r\n') + 4).replaceAll(/[0-9a-f]+\r\n([^\r]*)\r\n/g, '$1');
    assert.equal(sent.replace('\r\n', ''), body);
  });

  it('56: of 10,000 pipelined bad requests one is answered, the rest is never looked at', async () => {
    const { answer, seen } = await attack('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'.repeat(10_000));
    assert.equal(answer.match(/HTTP\/1\.1 400/g)?.length, 1);
    assert.equal(seen, '');
  });

  it('61: an entry takes targets and user agents as they came; the log escapes', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.request(`GET /a"b?\\n HTTP/1.1\r\nHost: h\r\nUser-Agent: a"\\\xff\r\n\r\n`);
    const entry = await proxy.entry();
    assert.equal(entry.originalPath, '/a%22b?\\n');
    assert.equal(entry.userAgent, 'a"\\\xff');
  });

  it('3, 4: what is judged is what the app receives', async () => {
    const { seen } = await attack(request('/public/%2E%2e/a/..\\private//x?q=/../'), {
      builtIn: true,
      mode: 'MERGE_SLASHES',
    });
    assert.match(seen, /^GET \/private\/x\?q=\/\.\.\/ HTTP\/1\.1\r\n/);
  });

  it('a path that cannot be normalised is 400 and ends the connection', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    const answer = await client.request(request('/a%00b'));
    assert.equal(answer.status, 400);
    assert.equal(answer.header('connection'), 'close');
    await client.readToEnd();
    assert.equal(upstream.requests.length, 0);
    assert.equal(proxy.entries[0]!.responseCodeDetails, 'path_normalization_failed');
  });
});
