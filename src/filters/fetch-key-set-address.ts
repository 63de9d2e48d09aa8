/**
 * Which addresses key sets may be fetched from: a `jwksUri`, a redirect or a name server must not turn the sidecar
 * against this host or the cloud's metadata service (GHSA-fgw5-hp8f-xfhc). `jwks.allow` of postern.yaml lifts it.
 */
import { BlockList, isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { plainIp } from '../core/address.ts';

export interface KeySetAddressRules {
  /** Addresses and CIDR blocks. */
  readonly allow: readonly string[];
  /** What this sidecar listens on. */
  readonly ownPorts: readonly number[];
}

/** Why this address may not be connected to; null: it may. Ask for the address that is dialled, not for its name. */
export function addressFault(ip: string, port: number, rules: KeySetAddressRules): string | null {
  const family = isIPv6(ip) ? 'ipv6' : 'ipv4';
  const kind = FORBIDDEN.find(({ blocks }) => blocks.check(ip, family))?.kind ?? null;
  const fault = kind ?? (rules.ownPorts.includes(port) && isOwn(ip) ? "this sidecar's own port" : null);
  if (fault === null || blockList(rules.allow).check(ip, family)) return null;
  return `${ip} is ${fault}; allow it under jwks.allow of postern.yaml if that is meant`;
}

/** IPv4 in IPv6 (mapped, NAT64, 6to4) is judged by what it leads to: the list knows mapped addresses itself. */
const FORBIDDEN: readonly { readonly kind: string; readonly blocks: BlockList }[] = [
  {
    kind: 'a loopback address',
    blocks: blockList(['127.0.0.0/8', '::1', '64:ff9b::7f00:0/104', '2002:7f00::/24']),
  },
  {
    kind: 'a link-local address',
    blocks: blockList(['169.254.0.0/16', 'fe80::/10', '64:ff9b::a9fe:0/112', '2002:a9fe::/32']),
  },
  {
    // Those that are not link-local: of AWS over IPv6, Alibaba, Oracle and Azure.
    kind: "the cloud's metadata service",
    blocks: blockList([
      'fd00:ec2::254',
      '100.100.100.200',
      '192.0.0.192',
      '168.63.129.16',
      '64:ff9b::6464:64c8',
      '64:ff9b::c000:c0',
      '64:ff9b::a83f:8110',
      '2002:6464:64c8::/48',
      '2002:c000:c0::/48',
      '2002:a83f:8110::/48',
    ]),
  },
  { kind: 'no address of one host', blocks: blockList(['0.0.0.0/8', '::', '224.0.0.0/3', 'ff00::/8']) },
  {
    // IPv4-compatible, IPv4-translated, NAT64 of a network's own, Teredo.
    kind: 'an IPv4 address in a form that does not say where it leads',
    blocks: blockList(['::/96', '::ffff:0:0:0/96', '64:ff9b:1::/48', '2001::/32']),
  },
];

function blockList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [ip = '', bits] = entry.split('/');
    const family = isIPv6(ip) ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(ip, family);
    else list.addSubnet(ip, Number(bits), family);
  }
  return list;
}

function isOwn(ip: string): boolean {
  const plain = plainIp(ip);
  return Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === plain));
}
