/**
 * A CIDR block or a single address. IPv4 blocks hold IPv4 addresses, IPv6 blocks IPv6 ones; host bits are ignored.
 */
import { parseIp } from './ip-address.ts';
import type { IpAddress } from './ip-address.ts';

export class IpBlock {
  readonly family: 4 | 6;
  /** Bits that count. */
  readonly length: number;
  /** Network bits, host bits zero. */
  readonly words: readonly number[];

  constructor(address: IpAddress, length: number) {
    this.family = address.family;
    this.length = length;
    this.words = address.words.map((word, index) => maskWord(word, length - 32 * index));
  }

  contains(ip: IpAddress): boolean {
    if (ip.family !== this.family) return false;
    for (let i = 0; i < this.words.length; i++) {
      if (maskWord(ip.words[i] ?? 0, this.length - 32 * i) !== this.words[i]) return false;
    }
    return true;
  }
}

/** null: neither an address nor a block. */
export function parseIpBlock(text: string): IpBlock | null {
  const slash = text.indexOf('/');
  const addressText = slash === -1 ? text : text.slice(0, slash);
  const address = addressText.includes('%') ? null : parseIp(addressText);
  if (address === null) return null;
  const bits = address.family === 4 ? 32 : 128;
  if (slash === -1) return new IpBlock(address, bits);
  const lengthText = text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > bits) return null;
  return new IpBlock(address, Number(lengthText));
}

/** The first `bits` of a 32-bit word; 0 or fewer: none, 32 or more: all. */
export function maskWord(word: number, bits: number): number {
  if (bits >= 32) return word;
  return bits <= 0 ? 0 : (word & (-1 << (32 - bits))) >>> 0;
}
