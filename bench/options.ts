/**
 * The benchmark's command line.
 */
import { parseArgs } from 'node:util';
import { PEERS } from './peers/catalogue.ts';
import { PROVIDER_KINDS } from './policy/ext-authz-policy.ts';
import type { ProviderKind } from './policy/ext-authz-policy.ts';
import { POLICY_KINDS } from './policy/many-policies.ts';
import type { PolicyKind } from './policy/many-policies.ts';
import { ALGORITHMS } from './policy/token-issuer.ts';
import type { Algorithm } from './policy/token-issuer.ts';

export const SCENARIO_NAMES = [
  'inbound',
  'memory',
  'handshakes',
  'start',
  'bulk',
  'pair',
  'latency',
  'churn',
  'workers',
  'jwt',
  'ext-authz',
  'policies',
] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

export interface Options {
  readonly scenarios: readonly ScenarioName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly idleConnections: number;
  readonly shortConnections: number;
  /** Of the jwt scenario. */
  readonly algorithms: readonly Algorithm[];
  /** Of the ext-authz scenario. */
  readonly providers: readonly ProviderKind[];
  /** Of the policies scenario. */
  readonly kinds: readonly PolicyKind[];
  /** Whether the kinds were named: then every peer is measured with each. */
  readonly areKindsNamed: boolean;
  /** Ascending. */
  readonly policyCounts: readonly number[];
  /** Names in the order of the table. */
  readonly peers: readonly string[];
  /** Whether the peers were named: then a missing one is an error. */
  readonly arePeersNamed: boolean;
  readonly isSmoke: boolean;
  /** Of the results' files; the scenario's name if not given. */
  readonly name: string | null;
}

/** One of each that stands on parts of its own. */
const SMOKE_SCENARIOS = 'inbound,pair,jwt,ext-authz,policies';
const SMOKE_KIND: PolicyKind = 'path';

/** What is wrong with the command line; exit code 2. */
export class UsageError extends Error {}

export const HELP = `npm run bench -- [options]

  --scenario A,B    of ${SCENARIO_NAMES.slice(0, 5).join(', ')},
                    ${SCENARIO_NAMES.slice(5, 9).join(', ')},
                    ${SCENARIO_NAMES.slice(9).join(', ')}; or all (default inbound)
  --peers A,B       of ${PEERS.map((peer) => peer.name).join(', ')} (default: all that are installed)
  --rounds N        rounds, peers interleaved in each (default 3)
  --seconds N       measured time of each peer in each round (default 5)
  --connections N   client connections (default 32)
  --idle N          idle connections of the memory scenario (default 5000)
  --short N         short connections of the churn scenario (default 50000)
  --algorithms A,B  of ${ALGORITHMS.join(', ')}: signatures of the jwt scenario (default RS256)
  --providers A,B   of ${PROVIDER_KINDS.join(', ')}: of the ext-authz scenario (default grpc)
  --kinds A,B       of ${POLICY_KINDS.slice(0, 4).join(', ')},
                    ${POLICY_KINDS.slice(4).join(', ')}: of the policies scenario (default: all,
                    Envoy with principal and path only)
  --counts N,N      how many policies (default 10,100,1000,10000)
  --name NAME       bench/results/NAME.json (default: the scenario)
  --smoke           one sidecar, a pair and policies, or what is named, for a moment: shows that it works, its figures mean nothing

  POSTERN_ENVOY     path of the real Envoy binary
`;

function positive(name: string, text: string, isWhole: boolean): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || (isWhole && !Number.isInteger(value))) {
    throw new UsageError(`Cannot use --${name} "${text}": give a ${isWhole ? 'whole ' : ''}number above 0`);
  }
  return value;
}

function positives(name: string, text: string): number[] {
  return text
    .split(',')
    .map((each) => positive(name, each, true))
    .toSorted((one, other) => one - other);
}

function named<T extends string>(name: string, text: string, known: readonly T[]): T[] {
  const wanted = text.split(',');
  const strange = wanted.find((each) => !known.some((one) => one === each));
  if (strange !== undefined)
    throw new UsageError(`Cannot use --${name} "${strange}": there are ${known.join(', ')}`);
  return known.filter((each) => wanted.includes(each));
}

function wantedScenarios(text: string): readonly ScenarioName[] {
  if (text === 'all') return SCENARIO_NAMES;
  const wanted = text.split(',');
  const strange = wanted.find((name) => !SCENARIO_NAMES.some((known) => known === name));
  if (strange !== undefined) {
    throw new UsageError(`Unknown scenario "${strange}": there are ${SCENARIO_NAMES.join(', ')}, all`);
  }
  return SCENARIO_NAMES.filter((name) => wanted.includes(name));
}

/** Null when only the help is wanted. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parse(args);
  if (values.help === true) return null;
  const isSmoke = values.smoke === true;
  const wanted = values.peers?.split(',').filter((name) => name !== '');
  const known = PEERS.map((peer) => peer.name);
  const strange = wanted?.find((name) => !known.includes(name));
  if (strange !== undefined) throw new UsageError(`Unknown peer "${strange}": there are ${known.join(', ')}`);
  const scenarios = wantedScenarios(values.scenario ?? (isSmoke ? SMOKE_SCENARIOS : 'inbound'));
  if (values.name !== undefined && !/^[\w.-]+$/.test(values.name)) {
    throw new UsageError(`Cannot use --name "${values.name}": letters, digits, ".", "_" and "-" only`);
  }
  const number = (
    name: string,
    text: string | undefined,
    usual: number,
    smoke: number,
    isWhole = true,
  ): number => (text === undefined ? (isSmoke ? smoke : usual) : positive(name, text, isWhole));
  return {
    scenarios,
    rounds: number('rounds', values.rounds, 3, 1),
    seconds: number('seconds', values.seconds, 5, 0.5, false),
    connections: number('connections', values.connections, 32, 8),
    idleConnections: number('idle', values.idle, 5000, 50),
    shortConnections: number('short', values.short, 50_000, 500),
    algorithms: named('algorithms', values.algorithms ?? 'RS256', ALGORITHMS),
    providers: named('providers', values.providers ?? 'grpc', PROVIDER_KINDS),
    kinds: named('kinds', values.kinds ?? (isSmoke ? SMOKE_KIND : POLICY_KINDS.join(',')), POLICY_KINDS),
    areKindsNamed: values.kinds !== undefined,
    policyCounts: positives('counts', values.counts ?? (isSmoke ? '10' : '10,100,1000,10000')),
    peers: known.filter((name) => wanted?.includes(name) ?? true),
    arePeersNamed: wanted !== undefined,
    isSmoke,
    name: values.name ?? null,
  };
}

function parse(args: readonly string[]): { values: RawValues } {
  try {
    return parseArgs({
      args: [...args],
      options: {
        scenario: { type: 'string' },
        peers: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        connections: { type: 'string' },
        idle: { type: 'string' },
        short: { type: 'string' },
        algorithms: { type: 'string' },
        providers: { type: 'string' },
        kinds: { type: 'string' },
        counts: { type: 'string' },
        name: { type: 'string' },
        smoke: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (thrown) {
    throw new UsageError((thrown as Error).message, { cause: thrown });
  }
}

interface RawValues {
  scenario?: string;
  peers?: string;
  rounds?: string;
  seconds?: string;
  connections?: string;
  idle?: string;
  short?: string;
  algorithms?: string;
  providers?: string;
  kinds?: string;
  counts?: string;
  name?: string;
  smoke?: boolean;
  help?: boolean;
}
