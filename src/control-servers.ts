/** The control half's own servers: admin, readiness and metrics, each at its address of postern.yaml. */
import { createAdminEndpoints, createMetricsEndpoints, createReadinessEndpoints } from './admin-endpoints.ts';
import type { AdminSources } from './admin-endpoints.ts';
import { formatAddress } from './core/address.ts';
import { messageOf } from './core/errors.ts';
import { listenFix } from './core/listen-fix.ts';
import { openAdminServer } from './observe/admin-server.ts';
import type { AdminServer, EndpointTable } from './observe/admin-server.ts';
import type { Log } from './observe/log.ts';
import { StartError } from './start-error.ts';

export interface ServerPorts {
  readonly admin: number;
  readonly readiness: number;
  readonly metrics: number;
}

export class ControlServers {
  readonly #sources: AdminSources;
  readonly #log: Log;
  readonly #servers: AdminServer[] = [];

  constructor(sources: AdminSources, log: Log) {
    this.#sources = sources;
    this.#log = log;
  }

  /** Rejects with `StartError` if one of them cannot listen; those that are open stay so until `close`. */
  async open(): Promise<ServerPorts> {
    return {
      admin: await this.#serve('admin', createAdminEndpoints(this.#sources)),
      readiness: await this.#serve('readiness', createReadinessEndpoints(this.#sources)),
      metrics: await this.#serve('metrics', createMetricsEndpoints(this.#sources)),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
  }

  async #serve(setting: keyof ServerPorts, endpoints: EndpointTable): Promise<number> {
    const address = this.#sources.config[setting];
    const access = setting === 'admin' ? 'admin' : 'open';
    try {
      const server = await openAdminServer({ ...address, endpoints, access, log: this.#log });
      this.#servers.push(server);
      return server.address().port;
    } catch (thrown) {
      const where = formatAddress({ ip: address.bind, port: address.port });
      const fix = listenFix(thrown, setting, 'port');
      throw new StartError([`postern: Cannot listen on "${where}": ${messageOf(thrown)}; ${fix}`]);
    }
  }
}
