/** A filter that asked for the body and looked away once left a rejection that ended the process with its client. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONTINUE, type Filter } from '../../src/http/filter.ts';
import { startProxy } from '../http/proxy-fixture.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

describe('a filter that does not wait for the body that it asked for', () => {
  it('leaves no unhandled rejection when the client goes', async (t) => {
    const unhandled: unknown[] = [];
    const note = (thrown: unknown): void => {
      unhandled.push(thrown);
    };
    process.on('unhandledRejection', note);
    t.after(() => process.off('unhandledRejection', note));
    const filter: Filter = {
      name: 'looks away',
      onRequest(request) {
        for (let i = 0; i < 2; i++) void request.readBody(1_000);
        return new Promise(() => CONTINUE);
      },
    };
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, filters: [filter] });
    using client = await proxy.connect();
    await client.write('POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nabc');
    await proxy.until(() => proxy.http.rqTotal === 1, 'the request');
    client.reset();
    await proxy.entry();
    await new Promise((resume) => setImmediate(resume));
    assert.deepEqual(unhandled, []);
  });
});
