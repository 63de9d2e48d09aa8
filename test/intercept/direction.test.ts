import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Address } from '../../src/core/address.ts';
import { decideDirection } from '../../src/intercept/direction.ts';
import type { DirectionSettings, ListenerKind } from '../../src/intercept/direction.ts';
import { createHostAddresses } from '../../src/intercept/host-addresses.ts';

const own = new Set(['127.0.0.1', '::1', '10.0.0.2', 'fd00::2', 'fe80::2']);
const settings: DirectionSettings = {
  interceptPorts: new Set([15001, 15006]),
  reservedPorts: new Set([15000, 15021]),
  direct: null,
  appHost: '127.0.0.1',
  hostAddresses: { has: (ip) => own.has(ip) },
};
const direct = { host: '127.0.0.1', port: 8080 };

const at = (ip: string, port: number): Address => ({ ip, port });

describe('decideDirection', () => {
  const cases: readonly [
    what: string,
    listener: ListenerKind,
    local: Address,
    original: Address | null,
    answer: string,
  ][] = [
    ['from outside to this host', 'main', at('10.0.0.2', 15001), at('10.0.0.2', 8080), 'inbound'],
    ['from outside to this host, IPv6', 'main', at('fd00::2', 15001), at('fd00::2', 8080), 'inbound'],
    [
      'from outside to another address of this host',
      'main',
      at('10.0.0.2', 15001),
      at('fe80::2', 80),
      'inbound',
    ],
    [
      'from outside to a stranger',
      'main',
      at('10.0.0.2', 15001),
      at('192.0.2.1', 443),
      'foreign_destination',
    ],
    ['from outside to loopback', 'main', at('10.0.0.2', 15001), at('127.0.0.1', 8080), 'foreign_destination'],
    ['from outside to IPv6 loopback', 'main', at('fd00::2', 15001), at('::1', 8080), 'foreign_destination'],
    [
      'from outside to our own port, not redirected',
      'main',
      at('10.0.0.2', 15001),
      at('10.0.0.2', 15001),
      'not_redirected',
    ],
    ['from outside with no answer of the kernel', 'main', at('10.0.0.2', 15001), null, 'not_redirected'],
    [
      'from outside to our other listener',
      'main',
      at('10.0.0.2', 15001),
      at('10.0.0.2', 15006),
      'not_redirected',
    ],
    ['from outside to the admin port', 'main', at('10.0.0.2', 15001), at('10.0.0.2', 15000), 'own_port'],
    ['made here to the world', 'main', at('127.0.0.1', 15001), at('192.0.2.1', 443), 'outbound'],
    ['made here to the world, IPv6', 'main', at('::1', 15001), at('2001:db8::1', 443), 'outbound'],
    [
      'made here to this host: outbound, and no loop',
      'main',
      at('127.0.0.1', 15001),
      at('10.0.0.2', 8080),
      'outbound',
    ],
    [
      'made here to our port number on another host',
      'main',
      at('127.0.0.1', 15001),
      at('192.0.2.1', 15001),
      'outbound',
    ],
    [
      'made here to our own port by our address',
      'main',
      at('127.0.0.1', 15001),
      at('10.0.0.2', 15001),
      'not_redirected',
    ],
    [
      'made here to our own port by loopback',
      'main',
      at('127.0.0.1', 15001),
      at('127.0.0.1', 15001),
      'not_redirected',
    ],
    [
      'made here to our other listener by loopback',
      'main',
      at('127.0.0.1', 15001),
      at('127.0.0.2', 15006),
      'not_redirected',
    ],
    ['made here to the admin port', 'main', at('127.0.0.1', 15001), at('127.0.0.1', 15000), 'own_port'],
    [
      'made here, on the inbound-only listener',
      'inbound-only',
      at('127.0.0.1', 15006),
      at('10.0.0.2', 8080),
      'inbound',
    ],
    [
      'made here to loopback, inbound-only',
      'inbound-only',
      at('127.0.0.1', 15006),
      at('127.0.0.1', 8080),
      'inbound',
    ],
    [
      'made here to the world, inbound-only',
      'inbound-only',
      at('127.0.0.1', 15006),
      at('192.0.2.1', 80),
      'foreign_destination',
    ],
    ['from outside, inbound-only', 'inbound-only', at('10.0.0.2', 15006), at('10.0.0.2', 8080), 'inbound'],
    [
      'not redirected, inbound-only',
      'inbound-only',
      at('10.0.0.2', 15006),
      at('10.0.0.2', 15006),
      'not_redirected',
    ],
  ];
  for (const [what, listener, local, original, answer] of cases) {
    it(`answers ${answer} to a connection ${what}`, () => {
      const decided = decideDirection(listener, local, original, settings);
      assert.equal(decided.kind === 'refused' ? decided.code : decided.kind, answer);
      if (decided.kind === 'refused') {
        assert.notEqual(decided.detail, '');
        assert.notEqual(decided.hint, '');
      } else {
        assert.deepEqual(decided.destination, original);
      }
      if (decided.kind === 'inbound') {
        assert.deepEqual(decided.appTarget, { host: '127.0.0.1', port: original?.port });
        assert.equal(decided.direct, false);
      }
    });
  }

  const toOwnPorts: readonly [local: Address, original: Address | null][] = [
    [at('10.0.0.2', 15001), null],
    [at('10.0.0.2', 15001), at('10.0.0.2', 15001)],
    [at('127.0.0.1', 15001), at('127.0.0.1', 15001)],
    [at('10.0.0.2', 15006), null],
    [at('10.0.0.2', 15001), at('10.0.0.2', 15006)],
  ];
  for (const [local, original] of toOwnPorts) {
    it(`with intercept.direct takes a connection to ${local.ip}:${local.port} (${original?.port ?? 'no answer'}) for the app`, () => {
      assert.deepEqual(decideDirection('main', local, original, { ...settings, direct }), {
        kind: 'inbound',
        destination: at(local.ip, 8080),
        appTarget: direct,
        direct: true,
      });
    });
  }

  it('with intercept.direct still refuses what was redirected from a stranger or to the admin port', () => {
    const withDirect = { ...settings, direct };
    const foreign = decideDirection('main', at('10.0.0.2', 15001), at('192.0.2.1', 15001), withDirect);
    assert.equal(foreign.kind === 'refused' && foreign.code, 'foreign_destination');
    const admin = decideDirection('main', at('10.0.0.2', 15001), at('10.0.0.2', 15000), withDirect);
    assert.equal(admin.kind === 'refused' && admin.code, 'own_port');
  });
});

describe('createHostAddresses', () => {
  it('reads again after a while, and before it says no, but not for every miss', () => {
    let nowMs = 0;
    let reads = 0;
    let present = new Set(['10.0.0.2']);
    const addresses = createHostAddresses(
      () => {
        reads++;
        return present;
      },
      () => nowMs,
    );
    assert.equal(addresses.has('10.0.0.2'), true);
    assert.equal(addresses.has('10.0.0.2'), true);
    assert.equal(reads, 1);

    nowMs = 100;
    present = new Set(['10.0.0.2', '10.0.0.3']);
    assert.equal(addresses.has('10.0.0.3'), true, 'an address that has just come');
    assert.equal(reads, 2);

    for (let miss = 0; miss < 100; miss++) assert.equal(addresses.has('192.0.2.1'), false);
    assert.equal(reads, 2, 'misses within one interval share a reading');
    nowMs = 121;
    assert.equal(addresses.has('192.0.2.1'), false);
    assert.equal(reads, 3);

    present = new Set(['10.0.0.3']);
    assert.equal(addresses.has('10.0.0.2'), true, 'still remembered');
    nowMs = 5_200;
    assert.equal(addresses.has('10.0.0.2'), false, 'gone for good');
  });

  it('knows the loopback address of this machine', () => {
    assert.equal(createHostAddresses().has('127.0.0.1'), true);
    assert.equal(createHostAddresses().has('192.0.2.1'), false);
  });
});
