import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERROR_CODES } from '../../src/core/errors.ts';
import type { SniffedKind } from '../../src/mesh/inbound-chains.ts';
import {
  chooseOutboundChain,
  clusterOfHost,
  outboundRoutesFor,
  outboundSniffNeeds,
} from '../../src/mesh/outbound-chains.ts';
import type { OutboundPlan, OutboundPortPlan, RouteTable } from '../../src/mesh/plan.ts';

const table = (name: string): RouteTable => ({ name, hosts: {}, wildcards: [], ignoresPort: true });
const SHARED = table('8000');
const OWN = table('auto.foo.svc.cluster.local:8000');

const EMPTY: OutboundPortPlan = {
  byAddress: {},
  byBlock: [],
  bySni: null,
  http: null,
  httpOnly: false,
  any: '',
};
const BY_ADDRESS: OutboundPortPlan['byAddress'] = {
  '10.0.0.1': { cluster: 'tcp', protocol: 'tcp', routes: null },
  '10.0.0.2': { cluster: 'auto', protocol: 'auto', routes: OWN },
  '10.0.0.3': { cluster: 'http', protocol: 'http', routes: null },
};
const BY_SNI = { 'a.example.com': 'sni', '*.example.com': 'wild', '*.b.example.com': 'longer' };
const PLANS = {
  address: { ...EMPTY, byAddress: BY_ADDRESS },
  http: { ...EMPTY, byAddress: BY_ADDRESS, http: SHARED, httpOnly: true },
  auto: { ...EMPTY, byAddress: BY_ADDRESS, http: SHARED },
  sni: { ...EMPTY, bySni: BY_SNI },
  'http+sni': { ...EMPTY, http: SHARED, httpOnly: true, bySni: BY_SNI },
  any: { ...EMPTY, any: 'any' },
  'http+any': { ...EMPTY, http: SHARED, httpOnly: true, any: 'any' },
  block: {
    ...EMPTY,
    byBlock: [
      { first: '0a010000', last: '0a01ffff', route: { cluster: 'block', protocol: 'tcp', routes: null } },
    ],
  },
} satisfies Readonly<Record<string, OutboundPortPlan>>;

const plan = (unknownDestinations: OutboundPlan['unknownDestinations']): OutboundPlan => ({
  unknownDestinations,
  clusters: {},
  ports: { 8000: PLANS.http },
  listeners: [],
});
const tls = (sni: string): SniffedKind => ({ kind: 'tls', sni, alpn: ['h2'] });
const KINDS: readonly SniffedKind[] = [
  { kind: 'http1' },
  tls('x.org'),
  { kind: 'http2' },
  { kind: 'opaque' },
];

function shown(
  routes: OutboundPortPlan | null,
  ip: string,
  sniffed: SniffedKind,
  policy: OutboundPlan['unknownDestinations'] = 'ALLOW_ANY',
): string {
  const choice = chooseOutboundChain(plan(policy), routes, ip, sniffed);
  if (choice.kind === 'refused') {
    assert.ok(Object.hasOwn(ERROR_CODES, choice.code));
    assert.notEqual(choice.why, '');
    assert.notEqual(choice.hint, '');
    return choice.code;
  }
  if (choice.kind === 'http') return `http ${choice.routes.name}`;
  return choice.cluster === '' ? 'passed on' : choice.cluster;
}

const NO = 'no_filter_chain_match';
const H2 = 'http2_not_supported';
const UNKNOWN = 'unknown_destination';
const ELSE = '9.9.9.9';
const HTTP = 'http 8000';
const PASSED = 'passed on';

/** Plan, destination, needs; then what becomes of HTTP/1, TLS, HTTP/2 and anything else under ALLOW_ANY. */
type Row = readonly [keyof typeof PLANS, string, string, readonly [string, string, string, string]];
const TABLE: readonly Row[] = [
  ['address', '10.0.0.1', 'none', ['tcp', 'tcp', 'tcp', 'tcp']],
  ['http', '10.0.0.1', 'none', ['tcp', 'tcp', 'tcp', 'tcp']],
  ['address', '10.0.0.2', 'tls+http', ['http auto.foo.svc.cluster.local:8000', 'auto', 'auto', 'auto']],
  ['http', '10.0.0.3', 'tls+http', [HTTP, NO, 'http', HTTP]],
  ['address', ELSE, 'none', [PASSED, PASSED, PASSED, PASSED]],
  ['http', ELSE, 'tls+http', [HTTP, PASSED, H2, HTTP]],
  ['auto', ELSE, 'tls+http', [HTTP, PASSED, H2, PASSED]],
  ['sni', ELSE, 'tls', [PASSED, PASSED, PASSED, PASSED]],
  ['http+sni', ELSE, 'tls+http', [HTTP, PASSED, H2, HTTP]],
  ['any', ELSE, 'none', ['any', 'any', 'any', 'any']],
  ['http+any', ELSE, 'tls+http', [HTTP, 'any', 'any', 'any']],
  ['block', '10.1.2.3', 'none', ['block', 'block', 'block', 'block']],
  ['block', '10.2.0.0', 'none', [PASSED, PASSED, PASSED, PASSED]],
  // an egress listener: nowhere to pass it on to
  ['http', '', 'tls+http', [HTTP, NO, H2, HTTP]],
  ['auto', '', 'tls+http', [HTTP, UNKNOWN, H2, UNKNOWN]],
  ['sni', '', 'tls', [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]],
  ['any', '', 'none', ['any', 'any', 'any', 'any']],
];

describe('an outbound connection', () => {
  for (const [name, ip, needs, wanted] of TABLE) {
    it(`to "${ip}" on a port with ${name} becomes ${wanted.join(', ')}`, () => {
      const routes = PLANS[name];
      assert.equal(outboundSniffNeeds(routes, ip), needs);
      assert.deepEqual(
        KINDS.map((sniffed) => shown(routes, ip, sniffed)),
        wanted,
      );
      // What would be passed on is refused; nothing else changes.
      assert.deepEqual(
        KINDS.map((sniffed) => shown(routes, ip, sniffed, 'REGISTRY_ONLY')),
        wanted.map((answer) => (answer === PASSED ? UNKNOWN : answer)),
      );
    });
  }

  it('to a port that no service has is passed on unread, or refused by REGISTRY_ONLY naming the address', () => {
    assert.equal(outboundRoutesFor(plan('ALLOW_ANY'), 9), null);
    assert.equal(outboundRoutesFor(plan('ALLOW_ANY'), 8000), PLANS.http);
    assert.equal(outboundSniffNeeds(null, ELSE), 'none');
    assert.equal(shown(null, ELSE, { kind: 'opaque' }), PASSED);
    const refused = chooseOutboundChain(plan('REGISTRY_ONLY'), null, ELSE, { kind: 'opaque' });
    assert.ok(refused.kind === 'refused');
    assert.equal(refused.code, UNKNOWN);
    assert.match(refused.why, /9\.9\.9\.9/);
    assert.match(refused.hint, /9\.9\.9\.9/);
  });

  for (const [sni, wanted] of [
    ['a.example.com', 'sni'],
    ['A.Example.COM', 'sni'],
    ['a.example.com.', 'sni'],
    ['c.example.com', 'wild'],
    ['x.y.example.com', 'wild'],
    ['x.b.example.com', 'longer'],
    ['b.example.com', 'wild'],
    ['example.com', PASSED],
    ['__proto__', PASSED],
    ['', PASSED],
  ] as const) {
    it(`with SNI "${sni}" becomes ${wanted}`, () => {
      assert.equal(shown(PLANS.sni, ELSE, tls(sni)), wanted);
      assert.equal(shown(PLANS['http+sni'], ELSE, tls(sni)), wanted);
    });
  }
});

describe('a table of all ports', () => {
  const all: RouteTable = {
    name: '0',
    hosts: { a: 'of 80', 'a:80': 'of 80', 'b:8000': 'of 8000' },
    wildcards: [
      { suffix: '.example.com:80', cluster: 'wild 80' },
      { suffix: '.example.com', cluster: 'wild' },
    ],
    ignoresPort: false,
  };
  for (const [host, wanted] of [
    ['a', 'of 80'],
    ['a.:80', 'of 80'],
    ['a:', 'of 80'],
    ['a:81', ''],
    ['b', ''],
    ['B:8000', 'of 8000'],
    ['b:8001', ''],
    ['x.example.com', 'wild'],
    ['x.example.com:80', 'wild 80'],
    ['x.example.com:81', ''],
  ] as const) {
    it(`takes "${host}" for "${wanted}"`, () => {
      assert.equal(clusterOfHost(all, host), wanted);
    });
  }
});
