/** An answer to `Expect: 100-continue` or to a long upload once closed the connection without saying so. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startProxy } from '../http/proxy-fixture.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

describe('an answer that comes before a request body that is not read to its end', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['a refusal of Expect', 'expect: 100-continue\r\ncontent-length: 3', '6\r\ndenied\r\n0\r\n\r\n'],
    ['an empty answer to a long upload', 'content-length: 1000000', ''],
    ['an empty answer to an endless upload', 'transfer-encoding: chunked', ''],
  ];
  for (const [name, fields, body] of cases) {
    it(`says that the connection ends: ${name}`, async () => {
      const framing = body === '' ? 'content-length: 0' : 'transfer-encoding: chunked';
      await using upstream = await startRecordingUpstream({
        script: ({ socket }) => {
          socket.once('data', () => socket.write(`HTTP/1.1 413 No\r\n${framing}\r\n\r\n${body}`));
        },
      });
      await using proxy = await startProxy({ upstreamPort: upstream.port });
      using client = await proxy.connect();
      const response = await client.request(`POST / HTTP/1.1\r\nhost: h\r\n${fields}\r\n\r\n`);
      assert.deepEqual([response.status, response.header('connection')], [413, 'close']);
      await client.readToEnd();
    });
  }
});
