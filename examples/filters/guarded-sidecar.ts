/**
 * A sidecar with filters of one's own: `node examples/filters/guarded-sidecar.ts postern.yaml`.
 *
 * Outside of this repository the imports are from 'postern'.
 */
import { createSidecar } from '../../src/index.ts';
import { rateLimit } from './rate-limit.ts';
import { tenant } from './tenant.ts';

const [, , config = 'postern.yaml'] = process.argv;
const sidecar = await createSidecar({
  config,
  // After the policies and in this order: what has no tenant takes nothing from a bucket. Answers meet them in reverse.
  filters: [
    tenant(
      new Map([
        ['foo', 'foo-inc'],
        ['', 'nobody'],
      ]),
    ),
    rateLimit({ requestsPerSecond: 1, burst: 3 }),
  ],
});
process.once('SIGTERM', () => {
  sidecar.drain().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
});
console.log(JSON.stringify({ ready: true, ports: sidecar.ports }));
