import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogLine } from '../support/spawn-postern.ts';
import { AppLoad } from './app-load.ts';
import { ProcessMesh, SHORT_LIVED } from './process-mesh.ts';

describe('rotations over SDS under load', () => {
  it('cost no request: twenty of both sidecars, one after the other', async (t) => {
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
        while (seen.size < 21) seen.add((await proxy.waitForLog(isNew, 'a rotation'))['serial']);
      }),
    );
    await load.more(20);
    await load.stop();
    t.diagnostic(`${load.answered} requests`);
    assert.deepEqual(load.failures, []);
    assert.ok(load.answered > 500, `${load.answered} requests are no load`);
  });
});
