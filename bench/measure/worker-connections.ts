/**
 * How many live connections each worker of a Postern has, from its admin port.
 */

interface ConfigDump {
  readonly connections: {
    readonly count: number;
    readonly first: readonly { readonly worker?: number }[];
  };
}

/** Most first. Throws if the dump does not show all connections, each with its worker. */
export function countByWorker({ connections }: ConfigDump): number[] {
  const { count, first } = connections;
  if (first.length !== count)
    throw new Error(`The admin port shows ${first.length} of ${count} connections: open fewer`);
  const counts = new Map<number, number>();
  for (const { worker } of first) {
    if (worker === undefined) throw new Error('The admin port does not say whose connections it shows');
    counts.set(worker, (counts.get(worker) ?? 0) + 1);
  }
  return [...counts.values()].toSorted((a, b) => b - a);
}

export async function connectionsByWorker(adminPort: number): Promise<number[]> {
  const response = await fetch(`http://127.0.0.1:${adminPort}/config_dump`);
  if (!response.ok) throw new Error(`The admin port answered ${response.status} to /config_dump`);
  return countByWorker((await response.json()) as ConfigDump);
}
