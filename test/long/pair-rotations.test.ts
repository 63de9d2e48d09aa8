import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogLine } from '../support/spawn-postern.ts';
import { AppLoad } from '../mesh-life/app-load.ts';
import { ProcessMesh, SHORT_LIVED } from '../mesh-life/process-mesh.ts';
import { longShare } from '../support/long-seconds.ts';

/** Each takes about a second; in a slice of CI there are fewer. */
const ROTATIONS = longShare(20, 30, 3);

describe('rotations over SDS under load', () => {
  it(`cost no request: ${ROTATIONS} of both sidecars, one after the other`, async (t) => {
    await using mesh = await ProcessMesh.start({ certificate: SHORT_LIVED });
    await using load = new AppLoad(mesh);
    const serials = new Map([
      ['sleep', new Set<unknown>()],
      ['httpbin', new Set<unknown>()],
    ]);
    await Promise.all(
      (['sleep', 'httpbin'] as const).map(async (workload) => {
        const proxy = mesh.process(`proxy-${workload}`);
        const seen = serials.get(workload)!;
        const isNew = (line: LogLine): boolean => line['code'] === 'secret' && !seen.has(line['serial']);
        while (seen.size < ROTATIONS + 1) seen.add((await proxy.waitForLog(isNew, 'a rotation'))['serial']);
      }),
    );
    await load.more(20);
    await load.stop();
    t.diagnostic(`${load.answered} requests`);
    assert.deepEqual(load.failures, []);
    assert.ok(load.answered > 25 * ROTATIONS, `${load.answered} requests are no load`);
  });
});
