/**
 * From an IP address to the rules that want a block it lies in: one look-up for each prefix length that occurs.
 */
import { maskWord } from '../matchers/ip-block.ts';
import type { IpAddress } from '../matchers/ip-address.ts';
import type { IpBlock } from '../matchers/ip-block.ts';
import type { PostingsSink } from './postings.ts';

interface Level<Key> {
  readonly length: number;
  readonly networks: Map<Key, number[]>;
}

export class BlockLookup {
  readonly #levels4: Level<number>[] = [];
  readonly #levels6: Level<string>[] = [];

  /** Ranks come in ascending order. */
  add(block: IpBlock, rank: number): void {
    if (block.family === 4) addTo(this.#levels4, block.length, block.words[0] ?? 0, rank);
    else addTo(this.#levels6, block.length, block.words.join(), rank);
  }

  find(ip: IpAddress, sink: PostingsSink): void {
    if (ip.family === 4) {
      for (const level of this.#levels4) {
        const ranks = level.networks.get(maskWord(ip.words[0] ?? 0, level.length));
        if (ranks !== undefined) sink.consider(ranks);
      }
      return;
    }
    for (const level of this.#levels6) {
      const network = ip.words.map((word, index) => maskWord(word, level.length - 32 * index));
      const ranks = level.networks.get(network.join());
      if (ranks !== undefined) sink.consider(ranks);
    }
  }
}

function addTo<Key>(levels: Level<Key>[], length: number, network: Key, rank: number): void {
  let level = levels.find((known) => known.length === length);
  if (level === undefined) {
    level = { length, networks: new Map() };
    levels.push(level);
  }
  const ranks = level.networks.get(network);
  if (ranks === undefined) level.networks.set(network, [rank]);
  else if (ranks.at(-1) !== rank) ranks.push(rank);
}
