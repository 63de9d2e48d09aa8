import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { connectionOf, isMatched, requestOf } from './policy-plan.ts';
import type { RuleText } from './policy-plan.ts';

describe('address fields', () => {
  const blocks: readonly (readonly [block: string, ip: string, matched: boolean])[] = [
    ['10.0.0.9', '10.0.0.9', true],
    ['10.0.0.9', '10.0.0.8', false],
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.0.0.77/29', '10.0.0.79', true],
    ['10.0.0.77/29', '10.0.0.80', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['192.168.1.0/31', '192.168.1.1', true],
    ['192.168.1.0/31', '192.168.1.2', false],
    ['200.0.0.0/5', '207.1.1.1', true],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '::ffff:a01:203', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['2001:db8::1', '2001:DB8:0:0:0:0:0:1', true],
    ['fe80::/10', 'fe80::1%eth0', false],
    ['::/0', '::1', true],
    ['::/0', '10.0.0.1', false],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:0.7.0.8', true],
  ];
  for (const [block, ip, matched] of blocks) {
    it(`${block} ${matched ? 'holds' : 'does not hold'} ${ip}`, () => {
      const rule: RuleText = { from: [{ ipBlocks: [block] }] };
      assert.equal(isMatched(rule, connectionOf({ remoteIp: ip }), requestOf()), matched);
      const key: RuleText = { when: [{ key: 'source.ip', values: [block] }] };
      assert.equal(isMatched(key, connectionOf({ remoteIp: ip }), null), matched);
      const own: RuleText = { when: [{ key: 'destination.ip', values: [block] }] };
      assert.equal(isMatched(own, connectionOf({ destinationIp: ip }), null), matched);
    });
  }

  it('matches no block where the address is none, and every not holds', () => {
    for (const ip of [
      '',
      'unix',
      '10.0.0',
      '10.0.0.256',
      '010.0.0.1',
      '1::2::3',
      ':::',
      '1:2:3:4:5:6:7:8:9',
    ]) {
      const connection = connectionOf({ remoteIp: ip });
      assert.equal(
        isMatched({ from: [{ ipBlocks: ['0.0.0.0/0', '::/0'] }] }, connection, requestOf()),
        false,
        ip,
      );
      assert.equal(isMatched({ from: [{ notIpBlocks: ['0.0.0.0/0'] }] }, connection, requestOf()), true, ip);
    }
  });

  const forwarded: readonly (readonly [fields: readonly string[], client: string])[] = [
    [[], '10.0.0.9'],
    [['x-forwarded-for', '1.1.1.1'], '1.1.1.1'],
    [['x-forwarded-for', '1.1.1.1, 2.2.2.2'], '2.2.2.2'],
    [['x-forwarded-for', '1.1.1.1,\t2.2.2.2 '], '2.2.2.2'],
    [['x-forwarded-for', '1.1.1.1, 2.2.2.2, 3.3.3.3'], '3.3.3.3'],
    [['x-forwarded-for', '1.1.1.1', 'x-forwarded-for', '3.3.3.3'], '3.3.3.3'],
    [['x-forwarded-for', '1.1.1.1', 'x-forwarded-for', ''], '1.1.1.1'],
    [['x-forwarded-for', '1.1.1.1, none'], '10.0.0.9'],
    [['x-forwarded-for', '1.1.1.1,'], '10.0.0.9'],
    [['x-forwarded-for', '1.1.1.1:80'], '10.0.0.9'],
    [['x-forwarded-for', '[::1]'], '10.0.0.9'],
    [['x-forwarded-for', '2001:db8::5'], '2001:db8::5'],
  ];
  for (const [fields, client] of forwarded) {
    it(`takes ${client} for the client of ${JSON.stringify(fields)}`, () => {
      const rule: RuleText = { from: [{ remoteIpBlocks: [client] }] };
      assert.equal(isMatched(rule, connectionOf(), requestOf({ fields })), true);
      const key: RuleText = { when: [{ key: 'remote.ip', notValues: [client] }] };
      assert.equal(isMatched(key, connectionOf(), requestOf({ fields })), false);
    });
  }

  it('takes the peer for the client of a TCP connection', () => {
    const rule: RuleText = { from: [{ remoteIpBlocks: ['10.0.0.9'] }] };
    assert.equal(isMatched(rule, connectionOf(), null), true);
  });
});

describe('other fields', () => {
  it('matches the port of the workload', () => {
    for (const rule of [
      { to: [{ ports: ['80', '8000'] }] },
      { when: [{ key: 'destination.port', values: ['8000'] }] },
    ] satisfies RuleText[]) {
      assert.equal(isMatched(rule, connectionOf(), null), true);
      assert.equal(isMatched(rule, connectionOf({ destinationPort: 800 }), null), false);
    }
    assert.equal(isMatched({ to: [{ notPorts: ['8000'] }] }, connectionOf(), null), false);
  });

  it('compares methods with regard to case', () => {
    const rule: RuleText = { to: [{ methods: ['GET', 'P*'] }] };
    for (const [method, matched] of [
      ['GET', true],
      ['get', false],
      ['POST', true],
      ['DELETE', false],
    ] as const) {
      assert.equal(isMatched(rule, connectionOf(), requestOf({ method })), matched, method);
    }
    assert.equal(isMatched({ to: [{ methods: ['*'] }] }, connectionOf(), requestOf()), true);
  });

  const names: readonly (readonly [wanted: string, sni: string, matched: boolean])[] = [
    ['a.example', 'a.example', true],
    ['A.example', 'a.example', false],
    ['*.example', 'a.example', true],
    ['a.*', 'a.example', true],
    ['a.*', 'b.example', false],
    ['*', '', false],
  ];
  for (const [wanted, sni, matched] of names) {
    it(`connection.sni ${wanted} ${matched ? 'matches' : 'does not match'} "${sni}"`, () => {
      const rule: RuleText = { when: [{ key: 'connection.sni', values: [wanted] }] };
      assert.equal(isMatched(rule, connectionOf({ sni }), null), matched);
    });
  }

  it('never has what another Envoy filter noted', () => {
    const key = 'experimental.envoy.filters.network.mysql_proxy[db.table]';
    assert.equal(isMatched({ when: [{ key, values: ['*'] }] }, connectionOf(), requestOf()), false);
    assert.equal(isMatched({ when: [{ key, notValues: ['[update]'] }] }, connectionOf(), requestOf()), true);
  });

  const operators: readonly (readonly [rule: RuleText, matched: boolean])[] = [
    [{ to: [{ methods: ['GET'], paths: ['/a'] }] }, true],
    [{ to: [{ methods: ['PUT'], paths: ['/a'] }] }, false],
    [{ to: [{ methods: ['PUT'] }, { paths: ['/a'] }] }, true],
    [{ to: [{ paths: ['/*'], notPaths: ['/a'] }] }, false],
    [{ to: [{ paths: ['/*'], notPaths: ['/b'] }] }, true],
    [{ from: [{ namespaces: ['bar'] }, { namespaces: ['foo'] }], to: [{ paths: ['/a'] }] }, true],
    [{ from: [{ namespaces: ['bar'] }], to: [{ paths: ['/a'] }] }, false],
    [{ from: [{ namespaces: ['foo'] }], to: [{ paths: ['/b'] }] }, false],
    [
      {
        when: [
          { key: 'source.namespace', values: ['foo'] },
          { key: 'request.headers[a]', values: ['1'] },
        ],
      },
      false,
    ],
    [
      {
        when: [
          { key: 'source.namespace', values: ['foo'], notValues: ['bar'] },
          { key: 'request.headers[a]', notValues: ['1'] },
        ],
      },
      true,
    ],
    [{ to: [{ paths: ['/a'] }], when: [{ key: 'source.namespace', notValues: ['foo'] }] }, false],
  ];
  for (const [rule, matched] of operators) {
    it(`${JSON.stringify(rule)} ${matched ? 'matches' : 'does not match'} GET /a of foo/sleep`, () => {
      assert.equal(isMatched(rule, connectionOf(), requestOf({ path: '/a' })), matched);
    });
  }
});
