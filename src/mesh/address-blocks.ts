/**
 * IP addresses and CIDR blocks of documents, in the one spelling that a destination address is compared with.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { plainIp } from '../core/address.ts';
import type { AddressBlock } from './plan.ts';

/** The address as the system writes it; null: it is none. */
export function canonicalIp(text: string): string | null {
  if (isIPv4(text)) return text;
  // A zone means something on one host only.
  if (!isIPv6(text) || text.includes('%')) return null;
  return plainIp(new SocketAddress({ address: text, family: 'ipv6' }).address);
}

/** `10.0.0.0/8` or a single address; null: neither. */
export function parseAddressBlock(text: string): AddressBlock | null {
  const slash = text.indexOf('/');
  const ip = canonicalIp(slash === -1 ? text : text.slice(0, slash));
  if (ip === null) return null;
  const address = hexOfIp(ip);
  const bits = address.length * 4;
  if (slash === -1) return { first: address, last: address };
  const length = text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits) return null;
  const free = (1n << BigInt(bits - Number(length))) - 1n;
  const value = BigInt(`0x${address}`);
  const hex = (end: bigint): string => end.toString(16).padStart(address.length, '0');
  return { first: hex(value & ~free), last: hex(value | free) };
}

/** Smallest first; of equals the one that was given first. */
export function bySize(a: AddressBlock, b: AddressBlock): number {
  const difference = sizeOf(a) - sizeOf(b);
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

/** `ip` as `hexOfIp` writes it: texts of one length are ordered like their numbers. */
export function isInBlock(block: AddressBlock, ip: string): boolean {
  return ip.length === block.first.length && ip >= block.first && ip <= block.last;
}

/** Eight hexadecimal digits for IPv4, 32 for IPv6; '' for what is no address. */
export function hexOfIp(ip: string): string {
  if (isIPv4(ip)) {
    return ip
      .split('.')
      .map((byte) => Number(byte).toString(16).padStart(2, '0'))
      .join('');
  }
  if (!isIPv6(ip)) return '';
  const [head = '', tail] = ip.split('::');
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const zeros = '0000'.repeat(8 - left.length - right.length);
  return left.join('') + zeros + right.join('');
}

function words(text: string): string[] {
  if (text === '') return [];
  return text.split(':').flatMap((word) => {
    if (!word.includes('.')) return [word.padStart(4, '0')];
    const hex = hexOfIp(word);
    return [hex.slice(0, 4), hex.slice(4)];
  });
}

function sizeOf(block: AddressBlock): bigint {
  return BigInt(`0x${block.last}`) - BigInt(`0x${block.first}`);
}
