/**
 * A policy that both sidecars enforce on every request, in one or several variants, and the share of Envoy's CPU that
 * Postern may need for it.
 */
import type { BenchRun } from '../bench-run.ts';
import { formatNumber, formatRatio, median, minimum } from '../measure/table.ts';
import type { EnforcedPolicy } from '../policy/enforced-policy.ts';
import type { ScenarioResult } from '../results.ts';
import { cpuUs, figuresOf, measureInTurn, startEnforcing } from './enforcing-peers.ts';
import type { EnforcingPeer } from './enforcing-peers.ts';
import { FOREIGN_REMARK, foreignMark } from './foreign-cpu.ts';
import { endPeers } from './peers-in-turn.ts';

export interface PolicyVariant {
  readonly name: string;
  readonly policy: EnforcedPolicy;
}

export interface BesideEnvoy {
  readonly title: string;
  /** Heading of the variants' column. */
  readonly what: string;
  readonly variants: readonly PolicyVariant[];
  /** Postern's CPU per request by Envoy's, at most. */
  readonly bound: number;
}

interface Row {
  readonly variant: string;
  readonly peer: EnforcingPeer;
}

const HEADINGS = ['version ', 'CPU us/req', 'min', '/envoy', 'req/s', 'busy', 'p50 us', 'p99 us', 'RSS MB'];

export async function measureBesideEnvoy(run: BenchRun, wish: BesideEnvoy): Promise<ScenarioResult> {
  const rows: Row[] = [];
  const peers = (): EnforcingPeer[] => rows.map(({ peer }) => peer);
  try {
    for (const { name, policy } of wish.variants) {
      for (const here of run.here)
        rows.push({ variant: name, peer: await startEnforcing(run, here, name, policy) });
    }
    await measureInTurn(run, peers());
  } finally {
    await endPeers(peers());
  }
  const find = (variant: string, name: string): EnforcingPeer | undefined =>
    rows.find((row) => row.variant === variant && row.peer.peer.name === name)?.peer;
  const verdictOf = (variant: string): string =>
    verdict(variant, wish.bound, find(variant, 'postern'), find(variant, 'envoy'));
  return {
    title: `${wish.title}, HTTP/1.1 keep-alive over mTLS, 1 KiB answers, ${run.options.connections} connections`,
    rounds: run.options.rounds,
    headings: ['peer', `${wish.what} `, ...HEADINGS],
    rows: wish.variants.flatMap(({ name: variant }) =>
      run.peerNames.map((name) => [name, variant, ...cells(find(variant, name), find(variant, 'envoy'))]),
    ),
    remarks: [
      'CPU: user and system time of the proxy per request, median and least of the rounds; ratios of medians.',
      ...(run.options.isSmoke ? [] : wish.variants.map(({ name }) => verdictOf(name))),
      FOREIGN_REMARK,
    ],
    peers: rows.map(({ variant, peer }) => figuresOf(peer, { variant })),
  };
}

const medianCpuUs = (peer: EnforcingPeer | undefined): number => median(peer?.rounds.map(cpuUs) ?? []);

function cells(peer: EnforcingPeer | undefined, envoy: EnforcingPeer | undefined): string[] {
  if (peer === undefined) return ['not installed'];
  const { rounds, version } = peer;
  const cpu = medianCpuUs(peer);
  return [
    version,
    `${formatNumber(cpu)}${foreignMark(rounds)}`,
    formatNumber(minimum(rounds.map(cpuUs))),
    formatRatio(cpu, medianCpuUs(envoy)),
    formatNumber(median(rounds.map(({ result }) => result.requests / result.seconds))),
    `${Math.round(median(rounds.map(({ result }) => result.cpuSeconds / result.seconds)) * 100)} %`,
    formatNumber(median(rounds.map(({ result }) => result.p50Us))),
    formatNumber(median(rounds.map(({ result }) => result.p99Us))),
    formatNumber(median(rounds.map(({ rssMb }) => rssMb))),
  ];
}

function verdict(
  variant: string,
  bound: number,
  postern: EnforcingPeer | undefined,
  envoy: EnforcingPeer | undefined,
): string {
  const ratio = medianCpuUs(postern) / medianCpuUs(envoy);
  const said = Number.isNaN(ratio)
    ? 'not measured'
    : `${ratio.toFixed(3)}, ${ratio <= bound ? 'within' : 'ABOVE'} it`;
  return `Bound of ${variant}: ${bound} of Envoy's CPU per request: ${said}.`;
}
