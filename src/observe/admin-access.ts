/**
 * Who may ask the admin server: whoever is on this host and is not a web page.
 *
 * A browser on this host can be made to send requests to loopback. What it cannot forge is the Host header (DNS
 * rebinding names the attacker's domain) and the Origin and Sec-Fetch-Site headers.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import { isLoopback, plainIp } from '../core/address.ts';

/** The host of a Host header without its port and brackets; '' for what is not a host. */
function hostOf(header: string): string {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::\d{1,5})?$/.exec(header);
  return match?.[1] ?? match?.[2] ?? '';
}

/** `localhost`, 127.0.0.0/8, `[::1]`, or the address at which the request arrived. */
export function isOwnHost(header: string, localAddress: string): boolean {
  const host = hostOf(header);
  if (host.toLowerCase() === 'localhost') return true;
  if (isIP(host) === 0) return false;
  return isLoopback(host) || plainIp(host) === plainIp(localAddress);
}

/** What is foreign about a request, or null. */
export function foreignHost(
  headers: IncomingHttpHeaders,
  hostCount: number,
  localAddress: string,
): string | null {
  if (hostCount > 1) return 'more than one Host header';
  // HTTP/1.0 without Host: no browser sends that.
  const host = headers.host ?? '';
  if (hostCount === 1 && !isOwnHost(host, localAddress))
    return `the Host header "${host}" is not of this host`;
  return null;
}

/** What says that a web page of another origin made the request, or null. */
export function foreignOrigin(headers: IncomingHttpHeaders): string | null {
  const { origin, host } = headers;
  if (origin !== undefined && (host === undefined || origin.toLowerCase() !== `http://${host.toLowerCase()}`))
    return `the Origin "${origin}" is another one`;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return `Sec-Fetch-Site is "${site}"`;
  return null;
}
