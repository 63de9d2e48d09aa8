/**
 * The benchmark's command line.
 */
import { parseArgs } from 'node:util';
import { PEERS } from './peers/catalogue.ts';

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
] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

export interface Options {
  readonly scenarios: readonly ScenarioName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly connections: number;
  readonly idleConnections: number;
  readonly shortConnections: number;
  /** Names in the order of the table. */
  readonly peers: readonly string[];
  /** Whether the peers were named: then a missing one is an error. */
  readonly arePeersNamed: boolean;
  readonly isSmoke: boolean;
  /** Of the results' files; the scenario's name if not given. */
  readonly name: string | null;
}

/** What is wrong with the command line; exit code 2. */
export class UsageError extends Error {}

export const HELP = `npm run bench -- [options]

  --scenario A,B    of ${SCENARIO_NAMES.slice(0, 5).join(', ')},
                    ${SCENARIO_NAMES.slice(5).join(', ')}; or all (default inbound)
  --peers A,B       of ${PEERS.map((peer) => peer.name).join(', ')} (default: all that are installed)
  --rounds N        rounds, peers interleaved in each (default 3)
  --seconds N       measured time of each peer in each round (default 5)
  --connections N   client connections (default 32)
  --idle N          idle connections of the memory scenario (default 5000)
  --short N         short connections of the churn scenario (default 50000)
  --name NAME       bench/results/NAME.json (default: the scenario)
  --smoke           inbound and pair, or those named, for a moment: shows that it works, its figures mean nothing

  POSTERN_ENVOY     path of the real Envoy binary
`;

function positive(name: string, text: string, isWhole: boolean): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || (isWhole && !Number.isInteger(value))) {
    throw new UsageError(`Cannot use --${name} "${text}": give a ${isWhole ? 'whole ' : ''}number above 0`);
  }
  return value;
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
  const scenarios = wantedScenarios(values.scenario ?? (isSmoke ? 'inbound,pair' : 'inbound'));
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
  name?: string;
  smoke?: boolean;
  help?: boolean;
}
