/**
 * Which IP addresses are this host's own, asked for every connection from outside: a cached set, read again
 * now and then and before any answer "no", because interfaces come and go.
 */
import { networkInterfaces } from 'node:os';
import { monotonicMs } from '../core/clock.ts';

/** An address that left the host is believed no longer than this. */
export const HOST_ADDRESSES_MAX_AGE_MS = 5_000;
/** A miss reads again at most this often: a flood of foreign destinations must not become a flood of reads. */
export const HOST_ADDRESSES_MISS_INTERVAL_MS = 20;

export interface HostAddresses {
  has(ip: string): boolean;
}

/** `read` and `now` are for tests. */
export function createHostAddresses(
  read: () => ReadonlySet<string> = readInterfaces,
  now: () => number = monotonicMs,
): HostAddresses {
  let addresses: ReadonlySet<string> = new Set();
  let readAtMs = Number.NEGATIVE_INFINITY;
  return {
    has(ip: string): boolean {
      const ageMs = now() - readAtMs;
      const found = addresses.has(ip);
      if (ageMs <= (found ? HOST_ADDRESSES_MAX_AGE_MS : HOST_ADDRESSES_MISS_INTERVAL_MS)) return found;
      addresses = read();
      readAtMs = now();
      return addresses.has(ip);
    },
  };
}

function readInterfaces(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) found.add(address);
  }
  return found;
}
