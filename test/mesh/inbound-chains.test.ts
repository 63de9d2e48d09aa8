import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERROR_CODES } from '../../src/core/errors.ts';
import {
  chooseInboundChain,
  type RefusedConnection,
  type SniffedKind,
  sniffNeeds,
} from '../../src/mesh/inbound-chains.ts';
import type { MtlsMode, PortPlan, PortProtocol } from '../../src/mesh/plan.ts';

const MODES: readonly MtlsMode[] = ['STRICT', 'PERMISSIVE', 'DISABLE'];
const PROTOCOLS: readonly PortProtocol[] = ['http', 'auto', 'tcp', 'http2'];

function plan(mode: MtlsMode, protocol: PortProtocol, port = 8080): PortPlan {
  return {
    port,
    protocol,
    mode,
    modeFrom: 'PeerAuthentication foo/default',
    protocolFrom: 'Service foo/httpbin port web',
    cluster: 'inbound|8080||',
    service: { namespace: 'foo', name: 'httpbin' },
  };
}

const tls = (...alpn: string[]): SniffedKind => ({ kind: 'tls', sni: 'httpbin', alpn });
const raw = (kind: 'http1' | 'http2' | 'opaque'): SniffedKind => ({ kind });

function shown(mode: MtlsMode, protocol: PortProtocol, sniffed: SniffedKind): string {
  const choice = chooseInboundChain(plan(mode, protocol), sniffed);
  if (choice.kind === 'refused') return choice.code;
  const alpn = choice.alpn.length === 0 ? '' : ` [${choice.alpn.join(' ')}]`;
  return `${choice.kind} ${choice.tls}${alpn}`;
}

const NO = 'no_filter_chain_match';
const H2 = 'http2_not_supported';

/** What came; then the answers of http, auto and tcp under STRICT, PERMISSIVE and DISABLE. */
type Row = readonly [
  string,
  SniffedKind,
  readonly [string, string, string],
  readonly [string, string, string],
  readonly [string, string, string],
];
const RAW_TLS: readonly [string, string, string] = ['http none', 'tcp passthrough', 'tcp passthrough'];
const TABLE: readonly Row[] = [
  [
    'HTTP/1 in plaintext',
    raw('http1'),
    [NO, NO, NO],
    ['http none', 'http none', 'tcp none'],
    ['http none', 'http none', 'tcp none'],
  ],
  ['HTTP/2 in plaintext', raw('http2'), [NO, NO, NO], [H2, H2, 'tcp none'], [H2, H2, 'tcp none']],
  [
    'other plaintext or silence',
    raw('opaque'),
    [NO, NO, NO],
    ['http none', 'tcp none', 'tcp none'],
    ['http none', 'tcp none', 'tcp none'],
  ],
  // a mesh client speaking HTTP/1.1, as Istio's sidecar offers it
  [
    'TLS istio-http/1.1, istio, http/1.1',
    tls('istio-http/1.1', 'istio', 'http/1.1'),
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    RAW_TLS,
  ],
  [
    'TLS istio-http/1.1',
    tls('istio-http/1.1'),
    ['http terminate', 'http terminate', 'tcp terminate'],
    ['http terminate', 'http terminate', 'tcp terminate'],
    RAW_TLS,
  ],
  [
    'TLS istio-http/1.0',
    tls('istio-http/1.0'),
    ['http terminate', 'http terminate', 'tcp terminate'],
    ['http terminate', 'http terminate', 'tcp terminate'],
    RAW_TLS,
  ],
  // the client's order decides on a PERMISSIVE auto port
  [
    'TLS istio, istio-http/1.1, http/1.1',
    tls('istio', 'istio-http/1.1', 'http/1.1'),
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    ['http terminate [http/1.1]', 'tcp terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    RAW_TLS,
  ],
  [
    'TLS http/1.1, istio-http/1.1, istio',
    tls('http/1.1', 'istio-http/1.1', 'istio'),
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    RAW_TLS,
  ],
  // a mesh client speaking TCP
  [
    'TLS istio-peer-exchange, istio',
    tls('istio-peer-exchange', 'istio'),
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    RAW_TLS,
  ],
  [
    'TLS istio',
    tls('istio'),
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    RAW_TLS,
  ],
  // a mesh client speaking HTTP/2 alone
  [
    'TLS istio-h2, istio, h2',
    tls('istio-h2', 'istio', 'h2'),
    [H2, H2, 'tcp terminate [h2]'],
    [H2, H2, 'tcp terminate [h2]'],
    RAW_TLS,
  ],
  ['TLS istio-h2', tls('istio-h2'), [H2, H2, 'tcp terminate'], [H2, H2, 'tcp terminate'], RAW_TLS],
  [
    'TLS istio, istio-h2, h2',
    tls('istio', 'istio-h2', 'h2'),
    [H2, H2, 'tcp terminate [h2]'],
    [H2, 'tcp terminate [h2]', 'tcp terminate [h2]'],
    RAW_TLS,
  ],
  // a mesh client that takes either
  [
    'TLS istio-h2, istio-http/1.1, h2, http/1.1',
    tls('istio-h2', 'istio-http/1.1', 'h2', 'http/1.1'),
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [h2 http/1.1]'],
    ['http terminate [http/1.1]', 'http terminate [http/1.1]', 'tcp terminate [h2 http/1.1]'],
    RAW_TLS,
  ],
  // foreign TLS
  [
    'TLS http/1.1',
    tls('http/1.1'),
    ['http terminate [http/1.1]', 'tcp terminate [http/1.1]', 'tcp terminate [http/1.1]'],
    [NO, 'tcp passthrough', 'tcp passthrough'],
    RAW_TLS,
  ],
  [
    'TLS h2, http/1.1',
    tls('h2', 'http/1.1'),
    ['http terminate [http/1.1]', 'tcp terminate [h2 http/1.1]', 'tcp terminate [h2 http/1.1]'],
    [NO, 'tcp passthrough', 'tcp passthrough'],
    RAW_TLS,
  ],
  [
    'TLS h2',
    tls('h2'),
    [H2, 'tcp terminate [h2]', 'tcp terminate [h2]'],
    [NO, 'tcp passthrough', 'tcp passthrough'],
    RAW_TLS,
  ],
  [
    'TLS without ALPN',
    tls(),
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    [NO, 'tcp passthrough', 'tcp passthrough'],
    RAW_TLS,
  ],
  [
    'TLS with ALPN of nobody here',
    tls('acme-tls/1', 'ISTIO', 'istio-http/2', 'ISTIO-HTTP/1.1'),
    ['http terminate', 'tcp terminate', 'tcp terminate'],
    [NO, 'tcp passthrough', 'tcp passthrough'],
    RAW_TLS,
  ],
];

describe('the inbound chain', () => {
  for (const [what, sniffed, ...modes] of TABLE) {
    for (const [modeIndex, mode] of MODES.entries()) {
      for (const [protocolIndex, protocol] of (['http', 'auto', 'tcp'] as const).entries()) {
        const wanted = modes[modeIndex]![protocolIndex]!;
        it(`for ${what} on a ${mode} ${protocol} port: ${wanted}`, () => {
          assert.equal(shown(mode, protocol, sniffed), wanted);
        });
      }
      it(`for ${what} on a ${mode} http2 port: none`, () => assert.equal(shown(mode, 'http2', sniffed), H2));
    }
  }

  it('answers only ALPN that was offered, and never istio-peer-exchange', () => {
    for (const [, sniffed] of TABLE) {
      for (const mode of MODES) {
        for (const protocol of PROTOCOLS) {
          const choice = chooseInboundChain(plan(mode, protocol), sniffed);
          if (choice.kind === 'refused') continue;
          const offered = sniffed.kind === 'tls' ? sniffed.alpn : [];
          assert.ok(choice.alpn.every((name) => offered.includes(name) && name !== 'istio-peer-exchange'));
          if (choice.tls !== 'terminate') assert.equal(choice.alpn.length, 0);
          if (choice.kind === 'http') assert.ok(!choice.alpn.includes('h2'));
        }
      }
    }
  });

  it('never lets plaintext or unterminated TLS through under STRICT', () => {
    for (const [, sniffed] of TABLE) {
      for (const protocol of PROTOCOLS) {
        const choice = chooseInboundChain(plan('STRICT', protocol), sniffed);
        assert.ok(choice.kind === 'refused' || (choice.tls === 'terminate' && sniffed.kind === 'tls'));
      }
    }
  });
});

function refusal(
  mode: MtlsMode,
  protocol: PortProtocol,
  sniffed: SniffedKind,
  port = 8080,
): RefusedConnection {
  const choice = chooseInboundChain(plan(mode, protocol, port), sniffed);
  assert.ok(choice.kind === 'refused');
  assert.equal(ERROR_CODES[choice.code].status, 0);
  return choice;
}

describe('a refused connection', () => {
  it('names the policy that sets STRICT and what to do about plaintext', () => {
    assert.equal(
      refusal('STRICT', 'http', raw('http1')).hint,
      'PeerAuthentication foo/default sets STRICT: send mTLS, or set PERMISSIVE for port 8080',
    );
  });

  it('names no port where the plan is for any', () => {
    assert.match(refusal('STRICT', 'auto', raw('opaque'), 0).hint, /for this port$/);
  });

  it('names the ALPN that foreign TLS offered and what would be terminated', () => {
    const { why, hint } = refusal('PERMISSIVE', 'http', tls('h2', 'http/1.1'));
    assert.match(why, /ALPN "h2, http\/1\.1".*HTTP port 8080/);
    assert.match(hint, /istio-http\/1\.1/);
    assert.match(hint, /STRICT for port 8080/);
    assert.match(refusal('PERMISSIVE', 'http', tls()).why, /no ALPN/);
  });

  it('shows hostile ALPN bounded and printable', () => {
    const hostile = Array.from({ length: 1000 }, () => `a"\n\u001b[31m\u00e9${'x'.repeat(250)}`);
    const { why } = refusal('PERMISSIVE', 'http', tls(...hostile));
    assert.match(why, /^[\x20-\x7e]{1,500}$/);
    assert.match(why, /and 992 more/);
    assert.equal(why.split('"').length, 3);
  });

  it('says that HTTP/2 is not spoken and that tcp would carry it', () => {
    for (const sniffed of [raw('http2'), tls('istio-h2')]) {
      const { why, hint } = refusal('PERMISSIVE', 'http', sniffed);
      assert.match(why, /HTTP\/1\.1 only/);
      assert.match(hint, /port 8080 tcp/);
    }
    assert.match(refusal('DISABLE', 'http2', raw('http1')).why, /Service foo\/httpbin port web/);
  });
});

describe('what is sniffed', () => {
  const NEEDS: Readonly<Record<MtlsMode, readonly [string, string, string, string]>> = {
    STRICT: ['tls', 'tls', 'tls', 'none'],
    PERMISSIVE: ['tls+http', 'tls+http', 'tls', 'none'],
    DISABLE: ['tls+http', 'tls+http', 'none', 'none'],
  };
  for (const mode of MODES) {
    for (const [index, protocol] of PROTOCOLS.entries()) {
      it(`on a ${mode} ${protocol} port is ${NEEDS[mode][index]}`, () => {
        assert.equal(sniffNeeds(plan(mode, protocol)), NEEDS[mode][index]);
      });
    }
  }

  it('is enough: what is not looked for makes no difference', () => {
    const kinds = ['http1', 'http2', 'opaque'] as const;
    for (const mode of MODES) {
      for (const protocol of PROTOCOLS) {
        const needs = sniffNeeds(plan(mode, protocol));
        if (needs === 'tls+http') continue;
        const answers = new Set(kinds.map((kind) => shown(mode, protocol, raw(kind))));
        assert.equal(answers.size, 1);
        if (needs === 'tls') continue;
        // Bytes that go to the app or nowhere: told as TLS or as plain TCP makes no difference to them.
        const unseen = shown(mode, protocol, tls('istio-http/1.1')).replace('passthrough', 'none');
        assert.deepEqual([...answers], [unseen]);
      }
    }
  });
});
