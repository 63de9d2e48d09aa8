/** A drain once ended an answer that ends with the connection by FIN: the client took half of it for all. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startProxy } from '../http/proxy-fixture.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

describe('an answer that ends with the connection', () => {
  it('is reset, not ended, when the proxy cuts it', async () => {
    await using upstream = await startRecordingUpstream({
      answer: () => 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port });
    using client = await proxy.connect();
    await client.write('GET / HTTP/1.0\r\nhost: h\r\n\r\n');
    await client.readUntil('half');
    proxy.connections[0]!.destroy('draining');
    assert.equal((await client.readToEnd()).ending, 'reset');
  });
});
