/**
 * Fields on addresses: `ipBlocks` and `source.ip` (the direct peer), `remoteIpBlocks` and `remote.ip` (the client as
 * X-Forwarded-For tells it), `destination.ip`.
 */
import type { IpAddress } from '../matchers/ip-address.ts';
import type { IpBlock } from '../matchers/ip-block.ts';
import type { RequestView } from '../request-view.ts';
import type { BlockSubject, Field, IndexKey } from './field.ts';

export class AddressField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #subject: BlockSubject;
  readonly #blocks: readonly IpBlock[];

  constructor(subject: BlockSubject, blocks: readonly IpBlock[]) {
    this.#subject = subject;
    this.#blocks = blocks;
    this.keys = blocks.map((block) => ({ by: 'block', subject, block }));
  }

  hit(view: RequestView): boolean {
    const ip = this.#address(view);
    if (ip === null) return false;
    for (const block of this.#blocks) {
      if (block.contains(ip)) return true;
    }
    return false;
  }

  got(view: RequestView): readonly string[] {
    const ip = this.#address(view);
    return ip === null ? [] : [ipText(ip)];
  }

  #address(view: RequestView): IpAddress | null {
    switch (this.#subject) {
      case 'peer':
        return view.connection.peer;
      case 'client':
        return view.client;
      case 'destination':
        return view.connection.destination;
      default:
        return this.#subject satisfies never;
    }
  }
}

function ipText(ip: IpAddress): string {
  if (ip.family === 4) {
    const word = ip.words[0] ?? 0;
    return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
  }
  const groups = ip.words.flatMap((word) => [word >>> 16, word & 0xffff]);
  // The URL parser writes IPv6 addresses in their one short form (RFC 5952).
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1);
}
