/** Scenario: who answers for a service has a good certificate of the mesh, and of another service account. */
import type { Scenario } from './check.ts';
import { statusOf } from './describe-exchange.ts';

const SERVICE = 'payments.foo';

export const wrongServer: Scenario = {
  title: 'A server that is somebody else',
  checks: [
    {
      name: 'wrong service account',
      expected: '503, upstream_identity_mismatch, the app saw 0 requests',
      async observe(mesh) {
        const app = mesh.apps['foo/httpbin'];
        const before = app.requestsSeen;
        const done = await mesh.call('foo/sleep', SERVICE);
        const status = statusOf(done);
        const seen = app.requestsSeen - before;
        if (done.answer?.status !== 503) return { got: `${status}, the app saw ${seen} requests`, notes: [] };
        const line = await mesh.workloads['foo/sleep'].logs.waitFor(`about "${SERVICE}"`, (one) =>
          one.field('cluster').includes(SERVICE),
        );
        return {
          got: `${status}, ${line.code}, the app saw ${seen} requests`,
          notes: [line.field('hint') || line.message],
        };
      },
    },
  ],
};
