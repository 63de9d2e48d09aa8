import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseOptions, SCENARIO_NAMES, UsageError } from '../../bench/options.ts';
import { turns } from '../../bench/scenarios/peers-in-turn.ts';

describe('bench command line', () => {
  it('measures the inbound road with every peer, three rounds of five seconds, if told nothing', () => {
    const options = parseOptions([]);
    assert.deepEqual(options?.scenarios, ['inbound']);
    assert.deepEqual(
      [options.rounds, options.seconds, options.connections, options.idleConnections],
      [3, 5, 32, 5000],
    );
    assert.equal(options.arePeersNamed, false);
    assert.equal(options.peers[0], 'postern');
  });

  it('lets flags win over what --smoke shortens', () => {
    const options = parseOptions([
      '--smoke',
      '--rounds',
      '2',
      '--scenario',
      'all',
      '--peers',
      'undici,nginx',
    ]);
    assert.deepEqual([options?.rounds, options?.seconds, options?.isSmoke], [2, 0.5, true]);
    assert.deepEqual(options?.scenarios, SCENARIO_NAMES);
    assert.deepEqual(options?.peers, ['nginx', 'undici']);
  });

  it('takes several scenarios, in the order of its own list', () => {
    assert.deepEqual(parseOptions(['--scenario', 'pair,inbound'])?.scenarios, ['inbound', 'pair']);
    assert.throws(() => parseOptions(['--scenario', 'pair,outbound']), UsageError);
  });

  it('has one sidecar, a pair and policies in a smoke run, or what is named', () => {
    assert.deepEqual(parseOptions(['--smoke'])?.scenarios, [
      'inbound',
      'pair',
      'jwt',
      'ext-authz',
      'policies',
    ]);
    assert.deepEqual(parseOptions(['--smoke', '--scenario', 'churn'])?.scenarios, ['churn']);
  });

  it('makes 50,000 short connections, and few on --smoke', () => {
    assert.equal(parseOptions([])?.shortConnections, 50_000);
    assert.equal(parseOptions(['--smoke'])?.shortConnections, 500);
    assert.equal(parseOptions(['--smoke', '--short', '70'])?.shortConnections, 70);
  });

  it('measures Envoy with every kind of policy only if kinds are named', () => {
    const usual = parseOptions([]);
    assert.deepEqual([usual?.areKindsNamed, usual?.kinds.length], [false, 7]);
    assert.deepEqual(usual?.policyCounts, [10, 100, 1_000, 10_000]);
    assert.deepEqual([usual.algorithms, usual.providers], [['RS256'], ['grpc']]);
    const named = parseOptions(['--kinds', 'claim,path', '--counts', '50,5', '--providers', 'http,grpc']);
    assert.deepEqual([named?.areKindsNamed, named?.kinds], [true, ['path', 'claim']]);
    assert.deepEqual(
      [named?.policyCounts, named?.providers],
      [
        [5, 50],
        ['grpc', 'http'],
      ],
    );
  });

  const misuses = [
    '--rounds=0',
    '--rounds=1.5',
    '--short=0',
    '--seconds=x',
    '--peers=apache',
    '--scenario=x',
    '--algorithms=HS256',
    '--providers=grpc,soap',
    '--kinds=header',
    '--counts=10,0',
    '--what',
    '--name=../x',
  ];
  for (const flag of misuses) {
    it(`refuses ${flag}`, () => {
      assert.throws(() => parseOptions([flag]), UsageError);
    });
  }

  it('is only helpful on --help', () => {
    assert.equal(parseOptions(['--help']), null);
  });

  it('begins each round with another peer and leaves none out', () => {
    const order = turns(['a', 'b', 'c'], 3);
    assert.equal(order.map(({ running }) => running).join(''), 'abcbcacab');
    assert.deepEqual(
      order.map(({ round }) => round),
      [1, 1, 1, 2, 2, 2, 3, 3, 3],
    );
  });
});
