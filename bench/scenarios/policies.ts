/**
 * What more policies cost: sidecars with few and with many of one kind, all up at once and measured in turn. The
 * requests are the same throughout, and the last policy lets them through.
 */
import type { BenchRun, PeerHere } from '../bench-run.ts';
import { formatNumber, formatRatio, median, minimum } from '../measure/table.ts';
import { manyPolicies } from '../policy/many-policies.ts';
import type { PolicyKind } from '../policy/many-policies.ts';
import { TokenIssuer } from '../policy/token-issuer.ts';
import type { ScenarioResult } from '../results.ts';
import { cpuUs, figuresOf, measureInTurn, startEnforcing } from './enforcing-peers.ts';
import type { EnforcingPeer } from './enforcing-peers.ts';
import { FOREIGN_REMARK, foreignMark } from './foreign-cpu.ts';
import { endPeers } from './peers-in-turn.ts';

const BOUND = 1.2;

/** Those of which the issue wants Envoy's figures; it walks the list in all of them, and each takes minutes. */
const ENVOY_KINDS: ReadonlySet<PolicyKind> = new Set(['principal', 'path']);

/** Envoy needs milliseconds a request from here on: more connections would only wait. */
const SLOW_COUNT = 5_000;
const SLOW_CONNECTIONS = 4;

interface Cell {
  readonly kind: PolicyKind;
  readonly count: number;
  readonly peer: EnforcingPeer;
}

export async function runPolicies(run: BenchRun): Promise<ScenarioResult> {
  const { areKindsNamed, kinds, policyCounts: counts } = run.options;
  const cells: Cell[] = [];
  const takes = ({ peer }: PeerHere, kind: PolicyKind): boolean =>
    areKindsNamed || peer.name !== 'envoy' || ENVOY_KINDS.has(kind);
  for (const kind of kinds) {
    const here = run.here.filter((each) => takes(each, kind));
    cells.push(...(await measureKind(run, here, kind)));
  }
  const rowOf = (kind: PolicyKind, name: string): readonly string[] => {
    const found = counts.map((count) => find(cells, kind, count, name));
    return [name, kind, ...found.map(shown), ...ratios(found)];
  };
  const rowsOf = (kind: PolicyKind): readonly (readonly string[])[] =>
    run.here.filter((each) => takes(each, kind)).map(({ peer }) => rowOf(kind, peer.name));
  const numbers = counts.map((count) => count.toLocaleString('en-US'));
  const span = `${numbers.at(-1)}/${numbers[0]}`;
  return {
    title: `Policies of one kind by their number: CPU us per request, ${run.options.connections} connections`,
    rounds: run.options.rounds,
    headings: ['peer', 'kind ', ...numbers, span, 'of minima'],
    rows: kinds.flatMap(rowsOf),
    remarks: [
      `CPU: median of the rounds, with the least in brackets; ${span}: of medians, then of the least ones.`,
      `Bound of Postern: ${BOUND} from 10 to 10,000 policies of a kind. Its decisions are never remembered.`,
      FOREIGN_REMARK,
    ],
    peers: cells.map(({ count, kind, peer }) => figuresOf(peer, { kind, policies: count })),
  };
}

/** All counts of a kind at once; they end before the next kind. */
async function measureKind(run: BenchRun, here: readonly PeerHere[], kind: PolicyKind): Promise<Cell[]> {
  const cells: Cell[] = [];
  const issuer = new TokenIssuer('ES256');
  try {
    for (const count of run.options.policyCounts) {
      const policy = manyPolicies(run.certificates, kind, count, issuer);
      for (const each of here) {
        const isSlow = each.peer.name === 'envoy' && count >= SLOW_COUNT;
        const most = isSlow ? SLOW_CONNECTIONS : Infinity;
        const connections = Math.min(run.options.connections, most);
        const peer = await startEnforcing(run, each, `${kind}-${count}`, policy, connections);
        cells.push({ kind, count, peer });
      }
    }
    await measureInTurn(
      run,
      cells.map(({ peer }) => peer),
    );
    return cells;
  } finally {
    await endPeers(cells.map(({ peer }) => peer));
  }
}

function find(cells: readonly Cell[], kind: PolicyKind, count: number, name: string): EnforcingPeer {
  return cells.find((cell) => cell.kind === kind && cell.count === count && cell.peer.peer.name === name)!
    .peer;
}

function shown({ rounds }: EnforcingPeer): string {
  const cpu = rounds.map(cpuUs);
  return `${formatNumber(median(cpu))}${foreignMark(rounds)} (${formatNumber(minimum(cpu))})`;
}

/** The last by the first, of medians and of the least ones. */
function ratios(peers: readonly EnforcingPeer[]): string[] {
  return [median, minimum].map((of) => {
    const [first, last] = [peers[0], peers.at(-1)].map((peer) => of(peer?.rounds.map(cpuUs) ?? []));
    return formatRatio(last ?? Number.NaN, first);
  });
}
