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
      const done = await mesh.call(client, `${serviceAccount}.${namespace}`);
      return { got: clientAsSeen(done), notes: [] };
    },
  };
}
