/** Our element of x-forwarded-client-cert, and which received values are kept before it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerIdentity } from '../../src/core/peer-identity.ts';
import { XfccFilter, isXfcc, xfccElement } from '../../src/filters/xfcc.ts';
import type { RequestContext } from '../../src/http/filter.ts';

const OWN = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const PEER: PeerIdentity = {
  spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep',
  trustDomain: 'cluster.local',
  namespace: 'foo',
  serviceAccount: 'sleep',
  dnsNames: [],
  subject: '',
  hash: 'ab'.repeat(32),
  serial: '01',
  notAfterMs: 0,
};
const OURS = `By=${OWN};Hash=${'ab'.repeat(32)};Subject="";URI=${PEER.spiffeId}`;

function run(fields: string[], peer: PeerIdentity | null = PEER): string[] {
  const filter = new XfccFilter(() => OWN);
  filter.onRequest({ head: { fields }, connection: { peer } } as unknown as RequestContext);
  return fields;
}

describe('x-forwarded-client-cert', () => {
  it('is our element where the peer forwards none', () => {
    assert.deepEqual(run(['a', 'b']), ['a', 'b', 'x-forwarded-client-cert', OURS]);
  });

  it('is appended to what the peer forwards, in one line, in the place of the first', () => {
    const fields = ['x-forwarded-client-cert', 'By=a;URI=b', 'x', 'y', 'x-forwarded-client-cert', 'Hash=c'];
    assert.deepEqual(run(fields), ['x-forwarded-client-cert', `By=a;URI=b,Hash=c,${OURS}`, 'x', 'y']);
  });

  it('drops lines that do not parse and keeps those that do', () => {
    const fields = ['x-forwarded-client-cert', 'By=a;Subject="open', 'x-forwarded-client-cert', 'By=a'];
    assert.deepEqual(run(fields), ['x-forwarded-client-cert', `By=a,${OURS}`]);
  });

  it('is removed on plaintext, every line of it', () => {
    const fields = ['x-forwarded-client-cert', 'By=a', 'x', 'y', 'x-forwarded-client-cert', 'By=b'];
    assert.deepEqual(run(fields, null), ['x', 'y']);
  });

  it('escapes the subject, whatever it holds', () => {
    const peer = { ...PEER, subject: 'CN=a"b\\c,O=d;e\r\nf\u00e9', dnsNames: ['a.b', 'c.d'] };
    const element = xfccElement(OWN, peer);
    assert.equal(
      element,
      `By=${OWN};Hash=${PEER.hash};Subject="CN=a\\"b\\\\c,O=d;e??f?";URI=${PEER.spiffeId};DNS=a.b;DNS=c.d`,
    );
    assert.ok(isXfcc(element));
  });

  const values: readonly (readonly [string, boolean])[] = [
    [OURS, true],
    ['By=a', true],
    ['By=a;Hash=b,By=c', true],
    ['By=a, By=c', true],
    ['By=', true],
    ['Subject="a,b;c=d"', true],
    ['Subject="a\\"b"', true],
    ['Subject="a\\\\"', true],
    ['Cert="%20";Chain=""', true],
    ['', false],
    ['a', false],
    ['=a', false],
    ['By', false],
    ['By=a,', false],
    ['By=a;', false],
    [',By=a', false],
    ['By=a,,By=b', false],
    ['Subject="', false],
    ['Subject="a', false],
    ['Subject="a\\"', false],
    ['Subject="a"b', false],
    ['By=a"b', false],
    ['B y=a', false],
    ['By =a', false],
    ['By=a;URI="x";Subject="open,URI=y', false],
  ];
  for (const [value, valid] of values) {
    it(`${JSON.stringify(value)} is ${valid ? 'kept' : 'dropped'}`, () => assert.equal(isXfcc(value), valid));
  }
});
