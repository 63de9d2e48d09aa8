import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expandPrincipals, expandTrustDomains } from '../../src/policy/trust-domain-aliases.ts';
import { connectionOf, isMatched, requestOf } from './policy-plan.ts';

const EXPANSIONS: readonly (readonly [
  trustDomains: readonly string[],
  value: string,
  compiled: readonly string[],
])[] = [
  [['td1'], 'cluster.local/ns/foo/sa/a', ['td1/ns/foo/sa/a']],
  [['td1', 'cluster.local'], 'cluster.local/ns/foo/sa/a', ['td1/ns/foo/sa/a', 'cluster.local/ns/foo/sa/a']],
  [
    ['new-td', 'old-td', 'some-td'],
    'old-td/ns/foo/sa/a',
    ['new-td/ns/foo/sa/a', 'old-td/ns/foo/sa/a', 'some-td/ns/foo/sa/a'],
  ],
  [
    ['new-td', 'old-td', 'some-trustdomain'],
    '*-td/ns/foo/sa/a',
    ['*-td/ns/foo/sa/a', 'some-trustdomain/ns/foo/sa/a'],
  ],
  [['new-td', 'old-td'], 'old*/ns/foo/sa/a', ['new-td/ns/foo/sa/a', 'old-td/ns/foo/sa/a']],
  [['td1'], '*/ns/foo/sa/a', ['*/ns/foo/sa/a']],
  [['td1'], 'other/ns/foo/sa/a', ['other/ns/foo/sa/a']],
  [['*'], 'other/ns/foo/sa/a', ['*/ns/foo/sa/a']],
  [['td1', '*-old'], 'my-old/ns/foo/sa/a', ['td1/ns/foo/sa/a', '*-old/ns/foo/sa/a']],
  [['td1'], 'cluster.local/ns/foo/*', ['cluster.local/ns/foo/*']],
  [['td1'], 'cluster.local/ns/foo/sa/*', ['td1/ns/foo/sa/*']],
  [['td1'], 'td1/ns/foo/sa/a/b', ['td1/ns/foo/sa/a/b']],
  [['td1'], '*', ['*']],
];

function isHit(value: string, identity: string, trustDomains: readonly string[], negated = false): boolean {
  const source = negated ? { notPrincipals: [value] } : { principals: [value] };
  return isMatched({ from: [source] }, connectionOf({ identities: [identity] }), requestOf(), {
    trustDomains,
  });
}

describe('trust domain migration', () => {
  for (const [trustDomains, value, compiled] of EXPANSIONS) {
    it(`${value} in ${trustDomains.join(', ')} is ${compiled.join(', ')}`, () => {
      assert.deepEqual(expandPrincipals([value], trustDomains), compiled);
    });
  }

  it('expands trustDomains by whole names, and cluster.local is nothing special there', () => {
    assert.deepEqual(expandTrustDomains(['old-td'], ['new-td', 'old-td']), ['new-td', 'old-td']);
    assert.deepEqual(expandTrustDomains(['cluster.local', 'td*'], ['td1']), ['cluster.local', 'td*']);
    assert.deepEqual(expandTrustDomains(['td1', 'x', 'td2'], ['td1', 'td2']), ['td1', 'td2', 'x']);
  });

  it('moves principals and their nots to the own trust domain', () => {
    const value = 'cluster.local/ns/foo/sa/a';
    assert.equal(isHit(value, 'spiffe://td1/ns/foo/sa/a', ['td1']), true);
    assert.equal(isHit(value, 'spiffe://cluster.local/ns/foo/sa/a', ['td1']), false);
    assert.equal(isHit(value, 'spiffe://td1/ns/foo/sa/a', ['td1'], true), false);
    assert.equal(isHit('cluster.local/ns/foo/*', 'spiffe://td1/ns/foo/sa/a', ['td1']), false);
    assert.equal(
      isHit('*-td/ns/foo/sa/a', 'spiffe://some-trustdomain/ns/foo/sa/a', ['new-td', 'some-trustdomain']),
      true,
    );
  });

  it('moves source.principal too, but nothing that only looks like one', () => {
    const connection = connectionOf({ identities: ['spiffe://td1/ns/foo/sa/a'] });
    const values = ['cluster.local/ns/foo/sa/a'];
    const options = { trustDomains: ['td1'] };
    assert.equal(
      isMatched({ when: [{ key: 'source.principal', values }] }, connection, requestOf(), options),
      true,
    );
    const request = requestOf({ fields: ['x-id', 'td1/ns/foo/sa/a'] });
    const header = { when: [{ key: 'request.headers[x-id]', values }] };
    assert.equal(isMatched(header, connection, request, options), false);
  });

  const domains: readonly (readonly [wanted: string, identity: string, matched: boolean])[] = [
    ['td1', 'spiffe://td1/ns/foo/sa/a', true],
    ['td1', 'spiffe://td2/ns/foo/sa/a', true],
    ['td2', 'spiffe://td1/ns/foo/sa/a', true],
    ['td1', 'spiffe://td12/ns/foo/sa/a', false],
    ['td1', 'spiffe://td1', false],
    ['td', 'spiffe://td1/ns/foo/sa/a', false],
    ['cluster.local', 'spiffe://td1/ns/foo/sa/a', false],
    ['*', 'spiffe://x/y', true],
    ['*', 'x/y', false],
    ['td*', 'spiffe://td9/ns/foo/sa/a', true],
    ['td*', 'spiffe://t/d', false],
    ['td*', 'spiffe://td1', false],
    ['*d9', 'spiffe://d9', false],
    ['*9', 'spiffe://td9/ns/foo/sa/a', true],
    ['*9', 'spiffe://td9x/ns/9/', false],
    ['*d9', 'spiffe://d9/x', true],
    ['*td9', 'spiffe://d9/x', false],
  ];
  for (const [wanted, identity, matched] of domains) {
    it(`trustDomains ${wanted} ${matched ? 'matches' : 'does not match'} ${identity} with td1, td2`, () => {
      const connection = connectionOf({ identities: [identity] });
      const options = { trustDomains: ['td1', 'td2'] };
      assert.equal(
        isMatched({ from: [{ trustDomains: [wanted] }] }, connection, requestOf(), options),
        matched,
      );
      const key = { when: [{ key: 'source.trustDomain', values: [wanted] }] };
      assert.equal(isMatched(key, connection, requestOf(), options), matched);
    });
  }
});
