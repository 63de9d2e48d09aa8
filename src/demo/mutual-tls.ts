/** Scenario: the sidecar is ready, and the app learns who calls it. */
import type { Scenario } from './check.ts';
import { CLIENT_ID } from './demo-documents.ts';
import { getRequest } from './demo-mesh.ts';
import { clientAsSeen, statusOf } from './describe-exchange.ts';

export const mutualTls: Scenario = {
  title: 'Identity',
  checks: [
    {
      name: 'readiness',
      expected: '200 LIVE',
      async observe(mesh) {
        const done = await mesh.get('readiness', '/healthz/ready');
        return { got: `${statusOf(done)} ${done.answer?.body.trim() ?? ''}`.trim(), notes: [] };
      },
    },
    {
      name: 'mTLS',
      expected: `200, the app saw ${CLIENT_ID}`,
      async observe(mesh) {
        const done = await mesh.send(mesh.client(mesh.certificates.clients.sleep), getRequest('/'));
        return { got: clientAsSeen(done), notes: [] };
      },
    },
  ],
};
