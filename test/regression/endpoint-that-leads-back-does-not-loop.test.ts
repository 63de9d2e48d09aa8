import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EGRESS_HTTP, FlowClient, httpbinService } from '../flow/flow-pair.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { TestCa } from '../support/test-ca.ts';

// One request to a service whose endpoint is the egress listener itself came back as the next one, and so on, until
// limits.maxConnections was used up.
describe('an endpoint that is an egress listener of the same sidecar', () => {
  for (const [bind, address] of [
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', 'localhost'],
    ['0.0.0.0', '127.0.0.9'],
  ] as const) {
    it(`is left out, alone or beside others (bound to ${bind}, known as ${address})`, async () => {
      await using app = await startEchoApp();
      const ca = await TestCa.create('cluster.local');
      const egress = EGRESS_HTTP.replace('127.0.0.1', bind);
      await using client = await FlowClient.start(ca, egress, undefined, 'limits: {maxConnections: 50}');
      const back = { address, port: client.egress };
      await client.setDocuments(egress + httpbinService([back]));
      const { body, status } = await client.call('httpbin.foo');
      assert.deepEqual([status, body], [503, 'no healthy upstream']);
      assert.equal(client.sidecar.logsOf('endpoint_leads_back').length, 1);
      assert.equal(client.sidecar.logsOf('too_many_connections').length, 0);

      await client.setDocuments(egress + httpbinService([back, { port: app.port }]));
      for (let call = 0; call < 4; call++) assert.equal((await client.call('httpbin.foo')).status, 200);
    });
  }
});
