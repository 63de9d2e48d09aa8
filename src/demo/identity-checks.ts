/** Scenario: the sidecars are ready, and an app learns who calls it, also from a client that is not Postern. */
import type { PlannedCheck, Scenario } from './check.ts';
import { getRequest } from './demo-mesh.ts';
import { CLIENT_ID, WORKLOAD_NAMES } from './demo-names.ts';
import { clientAsSeen, statusOf } from './describe-exchange.ts';

export const identityChecks: Scenario = {
  title: 'Identity, by SDS from an agent for each workload',
  checks: [
    ...WORKLOAD_NAMES.map((name): PlannedCheck => ({
      name: `readiness of ${name}`,
      expected: '200 LIVE',
      async observe(mesh) {
        const done = await mesh.get(mesh.workloads[name], 'readiness', '/healthz/ready');
        return { got: `${statusOf(done)} ${done.answer?.body.trim() ?? ''}`.trim(), notes: [] };
      },
    })),
    {
      name: 'mTLS',
      expected: `200, foo/httpbin saw ${CLIENT_ID}`,
      async observe(mesh) {
        const done = await mesh.send(mesh.sleepItself(), getRequest('/'));
        return { got: clientAsSeen(done), notes: ["a plain TLS client with foo/sleep's certificate"] };
      },
    },
  ],
};
