/**
 * What the small steps of the data path cost (`npm run bench:micro [-- --seconds 1]`): sniffer, head parser, head
 * writer, path normaliser, SVID check, access-log line. Prints a table; figures of one run on one machine.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';
import { DEFAULT_LIMITS } from '../src/core/limits.ts';
import { createAuthority } from '../src/identity/authority.ts';
import { EdgeFieldsFilter } from '../src/filters/edge-fields.ts';
import { XfccFilter } from '../src/filters/xfcc.ts';
import type { RequestContext } from '../src/http/filter.ts';
import { HeadScanner } from '../src/http/head-scanner.ts';
import { MessageReader } from '../src/http/message-reader.ts';
import { Http1RequestHead, RequestHeadBuilder } from '../src/http/request-head.ts';
import { writeRequestHead } from '../src/http/write-head.ts';
import { sniff } from '../src/intercept/sniff.ts';
import { AccessLogEntry } from '../src/observe/access-log-entry.ts';
import { compileAccessLogFormat } from '../src/observe/access-log-format.ts';
import { normalizePath } from '../src/path/normalize-path.ts';
import { checkSvid, isSvidProblem } from '../src/svid/check-svid.ts';

if (process.argv[2] === 'policy') await import('./micro-policy.ts').then(() => process.exit());

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '0.3' } } });
const seconds = Number(values.seconds);
if (!(seconds > 0)) {
  console.error(`--seconds is a number above 0, not "${values.seconds}"`);
  process.exit(2);
}

const HEAD = Buffer.from(
  'GET /api/v1/orders/4711?expand=items HTTP/1.1\r\nhost: httpbin.foo.svc.cluster.local:8000\r\n' +
    'user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101\r\naccept: application/json, text/plain, */*\r\n' +
    'accept-encoding: gzip, deflate, br\r\naccept-language: en-GB,en;q=0.9\r\n' +
    'cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\nx-forwarded-proto: https\r\n' +
    'x-request-id: 2f1c1a52-1f52-4e0a-9d2b-0e9e0d3b0a11\r\ncache-control: no-cache\r\n\r\n',
  'latin1',
);
const MIXED_HEAD = Buffer.from(
  HEAD.toString('latin1').replaceAll(/^[a-z-]+(?=:)/gm, (name) =>
    name.replaceAll(/(^|-)[a-z]/g, (letter) => letter.toUpperCase()),
  ),
  'latin1',
);
const HTTP_LINE = HEAD.subarray(0, 60);

const scanner = new HeadScanner('request', DEFAULT_LIMITS);
const builder = new RequestHeadBuilder();

function parse(bytes: Buffer): Http1RequestHead {
  scanner.reset(0);
  if (scanner.scan(bytes) !== 'whole') throw new Error(`the head is refused: ${scanner.errorDetail}`);
  const head = builder.build(scanner, bytes.toString('latin1', 0, scanner.end), 0);
  if (!(head instanceof Http1RequestHead)) throw new Error(`the head is refused: ${head.detail}`);
  return head;
}

let heads = 0;
const reader = new MessageReader('request', DEFAULT_LIMITS, {
  onHead: (found, text, origin) => {
    if (!(builder.build(found, text, origin) instanceof Http1RequestHead)) throw new Error('refused');
    heads++;
    return 0;
  },
  onBody: () => undefined,
  onMessageEnd: () => undefined,
  onReadError: (_code, detail) => {
    throw new Error(detail);
  },
});

const authority = await createAuthority({ trustDomain: 'cluster.local' });
const leaf = await authority.issueWithKey({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep' });
const leafDer = new X509Certificate(leaf.certificatePem).raw;

const hello = Buffer.from(
  readFileSync(new URL('../test/vectors/client-hello/curl.hex', import.meta.url), 'latin1').replaceAll(
    /\s/g,
    '',
  ),
  'hex',
);

const peer = checkSvid(leafDer, Date.now());
if (isSvidProblem(peer)) throw new Error('the certificate of the benchmark is no SVID');
const xfcc = new XfccFilter(() => 'spiffe://cluster.local/ns/foo/sa/httpbin');
const edge = new EdgeFieldsFilter();
const ready = parse(HEAD);

const format = compileAccessLogFormat('TEXT', '');
if (!format.ok) throw new Error(format.error);
const entry = new AccessLogEntry();
entry.startTimeMs = Date.now();
entry.method = 'GET';
entry.originalPath = ready.path;
entry.protocol = 'HTTP/1.1';
entry.responseCode = 200;
entry.responseCodeDetails = 'via_upstream';
entry.requestFields = ready.fields;
entry.upstreamHost = '127.0.0.1:8080';
entry.authority = ready.authority;

const bench = new Bench({ time: seconds * 1_000, warmupTime: 100 });
bench
  .add('sniff: ClientHello of curl', () => {
    if (sniff(hello, 'tls').kind !== 'tls') throw new Error('not seen as TLS');
  })
  .add('sniff: HTTP/1 request line', () => {
    if (sniff(HTTP_LINE, 'tls+http').kind !== 'http1') throw new Error('not seen as HTTP/1');
  })
  .add(`head: scan and build, ${ready.fields.length / 2 + 1} fields, ${HEAD.length} bytes`, () => {
    parse(HEAD);
  })
  .add('head: the same with Upper-Case names', () => {
    parse(MIXED_HEAD);
  })
  .add('head: scan alone', () => {
    scanner.reset(0);
    scanner.scan(HEAD);
  })
  .add('head: through the message reader', () => {
    reader.push(HEAD);
  })
  .add('head: written for the upstream', () => {
    writeRequestHead(ready);
  })
  .add('filters: parse, edge fields and XFCC', () => {
    const head = parse(HEAD);
    const request = { head, connection: { tls: true, peer } } as unknown as RequestContext;
    edge.onRequest(request);
    xfcc.onRequest(request);
  })
  .add('path: normal already', () => {
    normalizePath('/api/v1/orders/4711?expand=items', 'MERGE_SLASHES');
  })
  .add('path: dots and escapes', () => {
    normalizePath('/api/./v1/%6frders//../4711', 'MERGE_SLASHES');
  })
  .add('svid: check a leaf', () => {
    if (isSvidProblem(checkSvid(leafDer, Date.now()))) throw new Error('refused');
  })
  .add("access log: Istio's text line", () => {
    format.line(entry);
  });

await bench.run();
console.table(
  bench.tasks.map((task) => {
    const { result } = task;
    if (!('latency' in result)) throw new Error(`"${task.name}" did not run`);
    return {
      step: task.name,
      'median µs': Number((result.latency.p50 * 1_000).toFixed(2)),
      'mean µs': Number((result.latency.mean * 1_000).toFixed(2)),
      runs: result.latency.samplesCount,
    };
  }),
);
if (heads === 0) throw new Error('the message reader read nothing');
