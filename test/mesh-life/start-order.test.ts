import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { LogLine } from '../support/spawn-postern.ts';
import { AppLoad } from './app-load.ts';
import { ProcessMesh } from './process-mesh.ts';

const hasCode =
  (code: string) =>
  (line: LogLine): boolean =>
    line['code'] === code;

describe('a mesh whose parts start in the wrong order', () => {
  it('becomes ready by itself: sidecars wait for their agents, agents for the CA', async () => {
    await using mesh = await ProcessMesh.create();
    // The root is there, as after any first start: an agent without it knows nobody to ask.
    await mesh.spawn('ca').ready();
    await mesh.kill('ca');

    const proxies = [mesh.spawn('proxy-sleep'), mesh.spawn('proxy-httpbin')];
    await Promise.all(proxies.map((proxy) => proxy.waitForLog(hasCode('sds_disconnected'))));
    const agents = [mesh.spawn('agent-httpbin'), mesh.spawn('agent-sleep')];
    await Promise.all(agents.map((agent) => agent.waitForLog(hasCode('ca_unreachable'))));
    for (const one of [...proxies, ...agents])
      assert.equal(one.stdout, '', 'no certificate, so nothing says that it is ready');

    const from = performance.now();
    await mesh.spawn('ca').ready();
    await Promise.all([...proxies, ...agents].map((one) => one.ready()));
    assert.ok(performance.now() - from < 10_000, 'ready within ten seconds of the last part');
    for (const part of ['agent-sleep', 'agent-httpbin', 'proxy-sleep', 'proxy-httpbin'] as const)
      assert.ok(await mesh.isReady(part));
    await using load = new AppLoad(mesh);
    await load.more(20);
    await load.stop();
    assert.deepEqual(load.failures, []);
  });
});
