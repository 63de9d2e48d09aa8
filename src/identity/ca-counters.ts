/** What a CA counts, and how Prometheus reads it. prom-client is loaded with the first scrape. */
import type { ErrorCodeName } from '../core/errors.ts';

export class CaCounters {
  issued = 0;
  readonly refused: Map<ErrorCodeName, number> = new Map<ErrorCodeName, number>();

  refuse(code: ErrorCodeName): void {
    this.refused.set(code, (this.refused.get(code) ?? 0) + 1);
  }

  /** The Prometheus text format. */
  async render(rootNotAfterMs: number, serverNotAfterMs: number): Promise<string> {
    const { Counter, Gauge, Registry } = await import('prom-client');
    const registers = [new Registry()];
    const [registry] = registers;
    new Counter({
      name: 'postern_ca_certificates_issued_total',
      help: 'Certificates issued to workloads',
      registers,
    }).inc(this.issued);
    const refused = new Counter({
      name: 'postern_ca_requests_refused_total',
      help: 'Certificate requests refused, by code',
      labelNames: ['code'],
      registers,
    });
    for (const [code, count] of this.refused) refused.inc({ code }, count);
    const gauges = [
      ['postern_ca_root_not_after_seconds', 'End of the root certificate, Unix time', rootNotAfterMs],
      ['postern_ca_server_not_after_seconds', "End of the CA server's own certificate", serverNotAfterMs],
    ] as const;
    for (const [name, help, atMs] of gauges)
      new Gauge({ name, help, registers }).set(Math.floor(atMs / 1000));
    return registry!.metrics();
  }
}
