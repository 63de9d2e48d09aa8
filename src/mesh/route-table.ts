/**
 * Host tables: which names of a service stand in Host, for all HTTP services of one port, or of all ports.
 */
import { alternateNames, isWildcard } from './host-names.ts';
import type { RouteTable } from './plan.ts';
import type { ListedPort } from './outbound-clusters.ts';

interface HostRow {
  readonly name: string;
  readonly cluster: string;
  readonly port: number;
  /** Also without the port. */
  readonly bare: boolean;
}

/** One table for the services of one port, in which any port in Host is as good as none. */
export function tableOfPort(name: string, ports: readonly ListedPort[], clientNamespace: string): RouteTable {
  return tableOf(name, ports, clientNamespace, () => true, true);
}

/** One table for services of all ports: the name alone is a service's only port, or port 80. */
export function tableOfAllPorts(
  name: string,
  ports: readonly ListedPort[],
  clientNamespace: string,
): RouteTable {
  return tableOf(name, ports, clientNamespace, isToldByName, false);
}

/** Everything goes to one service. */
export function tableOfOne({ service, port, cluster }: ListedPort): RouteTable {
  return {
    name: `${service.host}:${port.number}`,
    hosts: {},
    wildcards: [{ suffix: '', cluster }],
    ignoresPort: true,
  };
}

function isToldByName({ service, port }: ListedPort): boolean {
  return service.ports.length === 1 || port.number === 80;
}

function tableOf(
  name: string,
  ports: readonly ListedPort[],
  clientNamespace: string,
  isBare: (listed: ListedPort) => boolean,
  ignoresPort: boolean,
): RouteTable {
  const rows: HostRow[] = [];
  const shorter: HostRow[] = [];
  for (const listed of ports) {
    const { service, port, cluster } = listed;
    const bare = isBare(listed);
    const add = (to: HostRow[], host: string): void => {
      to.push({ name: host, cluster, port: port.number, bare });
    };
    for (const host of [service.host, ...service.aliases]) {
      const alternates = alternateNames(host, clientNamespace);
      add(rows, host);
      for (const alternate of alternates) add(shorter, alternate);
      // Single instances of a headless Service have names of their own below its name.
      if (service.headless) for (const parent of [host, ...alternates]) add(shorter, `*.${parent}`);
    }
    for (const address of service.addresses) add(shorter, address.includes(':') ? `[${address}]` : address);
  }
  // Full names first: no alternate name of one service takes the full name of another.
  return { name, ...collect([...rows, ...shorter]), ignoresPort };
}

function collect(rows: readonly HostRow[]): Pick<RouteTable, 'hosts' | 'wildcards'> {
  const hosts = new Map<string, string>();
  const suffixes = new Map<string, string>();
  for (const { name, cluster, port, bare } of rows) {
    const wildcard = isWildcard(name);
    const to = wildcard ? suffixes : hosts;
    const text = wildcard ? name.slice(1) : name;
    if (bare && !to.has(text)) to.set(text, cluster);
    const withPort = `${text}:${port}`;
    if (!to.has(withPort)) to.set(withPort, cluster);
  }
  return {
    // Not by assignment: a host may be named `__proto__`.
    hosts: Object.fromEntries(hosts),
    wildcards: [...suffixes]
      .map(([suffix, cluster]) => ({ suffix, cluster }))
      .toSorted((a, b) => b.suffix.length - a.suffix.length),
  };
}
