/**
 * Peers that are all up at once and are measured one after the other, so that a drift of the machine meets them alike.
 */
import { startCheckedPeer } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import { startCheckedPair } from '../peers/running-pair.ts';
import type { RunningPair } from '../peers/running-pair.ts';
import type { RunningPeer } from '../peers/running-peer.ts';

/** Starts and checks every peer that is here. */
export async function startPeers(run: BenchRun): Promise<RunningPeer[]> {
  const running: RunningPeer[] = [];
  try {
    for (const here of run.here) {
      running.push(await startCheckedPeer(run, here));
      run.note(`${here.peer.name} ${here.installed.version}: started and checked`);
    }
    return running;
  } catch (thrown) {
    await endPeers(running);
    throw thrown;
  }
}

/** Starts and checks a pair of every peer that is here. */
export async function startPairs(run: BenchRun): Promise<RunningPair[]> {
  const running: RunningPair[] = [];
  try {
    for (const { peer, installed } of run.here) {
      running.push(await startCheckedPair(peer, installed, run));
      run.note(`${peer.name} ${installed.version}: pair started and checked`);
    }
    return running;
  } catch (thrown) {
    await endPeers(running);
    throw thrown;
  }
}

export async function endPeers(running: readonly { end(): Promise<void> }[]): Promise<void> {
  await Promise.all(running.map((each) => each.end()));
}

/** Every peer once a round; each round begins one further on, so that none is always after the same one. */
export function turns<T>(
  all: readonly T[],
  rounds: number,
): { readonly round: number; readonly running: T }[] {
  const order: { round: number; running: T }[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const first = (round - 1) % Math.max(1, all.length);
    for (const running of [...all.slice(first), ...all.slice(0, first)]) order.push({ round, running });
  }
  return order;
}
