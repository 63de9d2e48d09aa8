/** A body that ended in the reader's buffer with more requests behind it once left the connection without a phase. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startProxy } from '../http/proxy-fixture.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

describe('a request with a body and others behind it', () => {
  it('is not cut at the deadline of a phase that is over while its answer is still coming', async () => {
    const size = 20;
    let timer: NodeJS.Timeout | undefined;
    await using upstream = await startRecordingUpstream({
      answer: ({ connection, method }) => {
        if (method !== 'POST') return 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
        let sent = 0;
        timer = setInterval(() => {
          connection.socket.write('x');
          if (++sent === size) clearInterval(timer);
        }, 40);
        return `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`;
      },
    });
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      limits: { idleTimeoutMs: 300, maxPipelined: 2 },
    });
    using client = await proxy.connect();
    const get = 'GET / HTTP/1.1\r\nhost: h\r\n\r\n';
    await client.write(`POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody${get.repeat(3)}`);
    assert.equal((await client.readResponse()).body.length, size);
    for (let i = 0; i < 3; i++) assert.equal((await client.readResponse()).status, 200);
    clearInterval(timer);
  });
});
