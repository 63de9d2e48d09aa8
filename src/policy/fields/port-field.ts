/** `ports` and `destination.port`: the workload's own port, not the Service's. */
import type { RequestView } from '../request-view.ts';
import { textKeys } from './field.ts';
import type { Field, IndexKey } from './field.ts';

export class PortField implements Field {
  readonly keys: readonly IndexKey[];
  readonly #ports: readonly number[];

  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.keys = textKeys(
      'port',
      ports.map((port) => ({ kind: 'exact', text: String(port) })),
    );
  }

  hit(view: RequestView): boolean {
    return this.#ports.includes(view.connection.facts.destinationPort);
  }

  got(view: RequestView): readonly string[] {
    return [String(view.connection.facts.destinationPort)];
  }
}

/** null: no port (Go's ParseUint and its range check). */
export function parsePort(value: string): number | null {
  if (!/^\d{1,10}$/.test(value)) return null;
  const port = Number(value);
  return port <= 65_535 ? port : null;
}
