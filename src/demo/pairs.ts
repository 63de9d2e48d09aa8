/** Scenario: from app to app through both sidecars, for every pair of the mesh. */
import type { PlannedCheck, Scenario } from './check.ts';
import {
  CLIENT_NAMES,
  type ClientName,
  partsOf,
  SERVER_NAMES,
  type ServerName,
  spiffeIdOf,
} from './demo-names.ts';
import { clientAsSeen } from './describe-exchange.ts';

export const pairs: Scenario = {
  title: 'From app to app, through both sidecars',
  checks: CLIENT_NAMES.flatMap((client) => SERVER_NAMES.map((server) => pair(client, server))),
};

function pair(client: ClientName, server: ServerName): PlannedCheck {
  const { namespace, serviceAccount } = partsOf(server);
  return {
    name: `${client} → ${server}`,
    expected: `200, ${server} saw ${spiffeIdOf(client)}`,
    async observe(mesh) {
      const service = `${serviceAccount}.${namespace}`;
      const done = await mesh.call(client, service);
      if (done.answer?.status === 200) return { got: clientAsSeen(done), notes: [] };
      // What the caller's sidecar has said of it, if anything.
      const line = mesh.workloads[client].logs.newest((one) => one.field('cluster').includes(service));
      const notes = line === null ? [] : [`${client}: ${line.code}: ${line.field('hint') || line.message}`];
      return { got: clientAsSeen(done), notes };
    },
  };
}
