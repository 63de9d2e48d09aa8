import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Filter } from '../../src/index.ts';
import { EGRESS_HTTP, FlowClient, httpbinService } from '../flow/flow-pair.ts';
import { startEchoApp } from '../support/echo-app.ts';
import { TestCa } from '../support/test-ca.ts';

// A request that waits, for a filter or before it is tried again, kept the endpoints of the snapshot under which it
// came: it went out in plaintext after mTLS had come into force.
describe('an outbound request that waits while the documents change', () => {
  const cases: readonly [what: string, documents: string, status: number][] = [
    ['goes by mTLS where mTLS is in force now', httpbinService([{ port: 1, account: 'httpbin' }]), 503],
    ['goes nowhere where its service is gone', '', 503],
  ];
  for (const [what, documents, status] of cases) {
    it(what, async () => {
      const arrived = Promise.withResolvers<void>();
      const go = Promise.withResolvers<void>();
      const wait: Filter = {
        name: 'wait',
        direction: 'outbound',
        async onRequest() {
          arrived.resolve();
          await go.promise;
          return { kind: 'continue' };
        },
      };
      const ca = await TestCa.create('cluster.local');
      await using app = await startEchoApp();
      const plain = EGRESS_HTTP + httpbinService([{ port: app.port }]);
      await using client = await FlowClient.start(ca, plain, undefined, '', [wait]);
      const answer = client.call('httpbin.foo');
      await arrived.promise;
      await client.setDocuments(EGRESS_HTTP + documents.replace(': 1}', `: ${app.port}}`));
      go.resolve();
      assert.equal((await answer).status, status);
    });
  }
});
