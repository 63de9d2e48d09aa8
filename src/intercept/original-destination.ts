/**
 * Where a redirected connection was going before iptables or nftables turned it to us: SO_ORIGINAL_DST,
 * asked by getsockopt(2).
 * It is no proof of a redirect: without one the kernel answers nothing, or our own address.
 */
import type { Socket } from 'node:net';
import type { Address } from '../core/address.ts';
import { plainIp } from '../core/address.ts';
import { messageOf } from '../core/errors.ts';
import { descriptorOf, loadGetsockopt } from '../core/socket-option.ts';
import type { Getsockopt } from '../core/socket-option.ts';

/** Answers where an accepted connection was going. */
export interface OriginalDestination {
  /** null: not redirected, as far as this host knows. */
  of(socket: Socket): Address | null;
  /** Why no redirect can ever be seen on this host, for the log; null where it works. */
  readonly unavailableReason: string | null;
}

// <linux/netfilter_ipv4.h>, <linux/netfilter_ipv6/ip6_tables.h>: both number the option 80.
const LEVEL_IPV4 = 0;
const LEVEL_IPV6 = 41;
const OPTION_ORIGINAL_DST = 80;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;

/** Opens the look-up of this host. Where it cannot work it answers null and says why. */
export function createOriginalDestination(): OriginalDestination {
  if (process.platform !== 'linux') {
    return unavailable(
      `redirected connections need Linux, this is "${process.platform}"; use intercept.direct`,
    );
  }
  let getsockopt: Getsockopt;
  try {
    getsockopt = loadGetsockopt();
  } catch (thrown) {
    return unavailable(
      `node:ffi cannot be used: ${messageOf(thrown)}; allow it (--allow-ffi) or use intercept.direct`,
    );
  }
  // One buffer each for all calls: they are synchronous, and their answer is read at once.
  const value = Buffer.alloc(SOCKADDR_IN6_BYTES);
  const length = Buffer.alloc(4);

  function ask(fd: number, level: number, bytes: number): boolean {
    length.writeUInt32LE(bytes, 0);
    return getsockopt(fd, level, OPTION_ORIGINAL_DST, value, length) === 0;
  }

  return {
    unavailableReason: null,
    of(socket: Socket): Address | null {
      const fd = descriptorOf(socket);
      const local = socket.localAddress;
      if (fd < 0 || local === undefined) return null;
      // A dual-stack listener reports IPv4 peers as ::ffff:…; their NAT entry is the IPv4 one.
      if (plainIp(local).includes(':')) {
        return ask(fd, LEVEL_IPV6, SOCKADDR_IN6_BYTES) ? parseSockaddrIn6(value) : null;
      }
      return ask(fd, LEVEL_IPV4, SOCKADDR_IN_BYTES) ? parseSockaddrIn(value) : null;
    },
  };
}

/** Reads a `struct sockaddr_in`: family, port and address, the last two in network order. */
export function parseSockaddrIn(value: Buffer): Address {
  return { ip: `${value[4]}.${value[5]}.${value[6]}.${value[7]}`, port: value.readUInt16BE(2) };
}

/** Reads a `struct sockaddr_in6`: the address begins after the flow label. */
export function parseSockaddrIn6(value: Buffer): Address {
  return { ip: formatIpv6(value, 8), port: value.readUInt16BE(2) };
}

/** Writes 16 bytes as inet_ntop(3) does, so that the text equals what Node and the system report. */
function formatIpv6(bytes: Buffer, start: number): string {
  let bestAt = -1;
  let bestWords = 1;
  for (let word = 0; word < 8;) {
    let zeros = 0;
    while (word + zeros < 8 && bytes.readUInt16BE(start + 2 * (word + zeros)) === 0) zeros++;
    if (zeros > bestWords) {
      bestAt = word;
      bestWords = zeros;
    }
    word += zeros === 0 ? 1 : zeros;
  }
  const mapped = bestAt === 0 && bestWords === 5 && bytes.readUInt16BE(start + 10) === 0xffff;
  if (mapped) return `${bytes[start + 12]}.${bytes[start + 13]}.${bytes[start + 14]}.${bytes[start + 15]}`;
  let text = '';
  for (let word = 0; word < 8; word++) {
    if (word === bestAt) {
      text += '::';
      word += bestWords - 1;
      continue;
    }
    if (text !== '' && !text.endsWith(':')) text += ':';
    text += bytes.readUInt16BE(start + 2 * word).toString(16);
  }
  return text;
}

function unavailable(reason: string): OriginalDestination {
  return { unavailableReason: reason, of: () => null };
}
