/**
 * Addresses as values: parsed once, compared as text.
 */

/** An IP address and TCP port. IPv4-mapped IPv6 addresses are written as IPv4. */
export interface Address {
  readonly ip: string;
  readonly port: number;
}

/** Writes `::ffff:10.0.0.1` as `10.0.0.1`, as a dual-stack listener reports IPv4 peers. */
export function plainIp(ip: string): string {
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip;
}

/** `ip:port`, IPv6 in brackets, as Envoy logs it. */
export function formatAddress(address: Address): string {
  return address.ip.includes(':') ? `[${address.ip}]:${address.port}` : `${address.ip}:${address.port}`;
}

/** The same for one end of a socket; '' when the socket is gone. */
export function formatEndpoint(ip: string | undefined, port: number | undefined): string {
  return ip === undefined || port === undefined ? '' : formatAddress({ ip: plainIp(ip), port });
}

/** Whether an address is of the loopback range (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3). */
export function isLoopback(ip: string): boolean {
  return ip === '::1' || plainIp(ip).startsWith('127.');
}
