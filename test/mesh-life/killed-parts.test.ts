import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { LogLine, PosternProcess } from '../support/spawn-postern.ts';
import { AppLoad } from './app-load.ts';
import { ProcessMesh, SHORT_LIVED } from './process-mesh.ts';

const READY_WITHIN_MS = 10_000;

const hasCode =
  (code: string) =>
  (line: LogLine): boolean =>
    line['code'] === code;

/** A certificate came into force that the agent got after entry `from` of its log; it need not be the first one. */
const isFrom =
  (agent: PosternProcess, from = 0) =>
  ({ code, serial }: LogLine): boolean =>
    code === 'secret' &&
    agent.logs
      .slice(from)
      .some((line) => line['code'] === 'certificate_received' && line['serial'] === serial);

describe('a part that is killed and started again under load', () => {
  it('costs no request where it is the CA, and certificates are renewed once it is back', async (t) => {
    await using mesh = await ProcessMesh.start({ certificate: SHORT_LIVED });
    await using load = new AppLoad(mesh);
    await load.more(50);
    const agent = mesh.process('agent-httpbin');
    const proxy = mesh.process('proxy-httpbin');
    let [seenByAgent, seenByProxy] = [agent.logs.length, proxy.logs.length];
    await agent.waitForLog(hasCode('certificate_received'), 'a renewal', seenByAgent);

    seenByAgent = agent.logs.length;
    await mesh.kill('ca');
    await agent.waitForLog(hasCode('ca_unreachable'), 'a renewal that fails', seenByAgent);
    await load.more(100);
    for (const part of ['agent-sleep', 'agent-httpbin', 'proxy-sleep', 'proxy-httpbin'] as const)
      assert.ok(await mesh.isReady(part), `${part} has a valid certificate and is ready`);

    [seenByAgent, seenByProxy] = [agent.logs.length, proxy.logs.length];
    const readyMs = await mesh.becomesReady('ca');
    t.diagnostic(`the CA was ready after ${readyMs.toFixed(0)} ms`);
    assert.ok(readyMs < READY_WITHIN_MS);
    const renewed = await agent.waitForLog(hasCode('certificate_received'), 'a renewal', seenByAgent);
    assert.equal(renewed['rootsChanged'], false, 'the root is the one of the folder');
    await proxy.waitForLog(isFrom(agent, seenByAgent), 'a certificate of after the restart', seenByProxy);
    await load.more(50);
    await load.stop();
    t.diagnostic(`${load.answered} requests`);
    assert.deepEqual(load.failures, []);
  });

  it('costs no request where it is an agent, which finds the socket that it left behind', async (t) => {
    await using mesh = await ProcessMesh.start({ certificate: SHORT_LIVED });
    await using load = new AppLoad(mesh);
    await load.more(50);
    for (const workload of ['httpbin', 'sleep'] as const) {
      const proxy = mesh.process(`proxy-${workload}`);
      const from = proxy.logs.length;
      await mesh.kill(`agent-${workload}`);
      assert.ok(existsSync(mesh.folder.join('run', `${workload}.sock`)), 'a dead socket is in the way');
      await proxy.waitForLog(hasCode('sds_disconnected'), 'the loss of the agent', from);
      await load.more(50);
      assert.ok(await mesh.isReady(`proxy-${workload}`));
      const readyMs = await mesh.becomesReady(`agent-${workload}`);
      t.diagnostic(`the agent of ${workload} was ready after ${readyMs.toFixed(0)} ms`);
      assert.ok(readyMs < READY_WITHIN_MS);
      const agent = mesh.process(`agent-${workload}`);
      await proxy.waitForLog(isFrom(agent), 'a certificate of the new agent', from);
      await load.more(50);
    }
    await load.stop();
    t.diagnostic(`${load.answered} requests`);
    assert.deepEqual(load.failures, []);
  });
});
