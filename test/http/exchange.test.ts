/** Requests and answers through the whole chain: what the upstream saw, byte for byte, and what the client got. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkLeaks } from '../support/leak-check.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { startProxy } from './proxy-fixture.ts';

const GET = 'GET /a HTTP/1.1\r\nhost: h\r\n\r\n';

describe('keep-alive and pipelining', () => {
  checkLeaks();

  it('several requests on one connection use one upstream connection', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    for (let i = 0; i < 3; i++) assert.equal((await client.request(GET)).status, 200);
    assert.equal(upstream.connections.length, 1);
    assert.equal(upstream.text, GET.repeat(3));
    assert.equal(proxy.http.rq2xx, 3);
    assert.equal(proxy.entries[0]!.responseCodeDetails, 'via_upstream');
  });

  it('pipelined requests are answered in order, each before the next is sent upstream', async () => {
    await using upstream = await startRecordingUpstream({
      answer: (request) =>
        `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n${request.target.slice(1).padEnd(2, '!')}`,
    });
    await using proxy = await startProxy({ upstreamPort: upstream.port, builtIn: false });
    using client = await proxy.connect();
    const targets = Array.from({ length: 40 }, (_, i) => `/${i}`);
    await client.write(targets.map((target) => `GET ${target} HTTP/1.1\r\nhost: h\r\n\r\n`).join(''));
    for (const target of targets) {
      const response = await client.readResponse();
      assert.equal(response.body.toString(), target.slice(1).padEnd(2, '!'));
    }
    assert.equal(upstream.requests.length, 40);
  });

  it('a half-close after pipelined requests still gets every answer, then FIN', async () => {
    await using upstream = await startRecordingUpstream();
    await using proxy = await startProxy({
      upstreamPort: upstream.port,
      builtIn: false,
      limits: { maxPipelined: 1 },
    });
    using client = await proxy.connect();
    await client.write(GET.repeat(5));
    client.end();
    const { bytes, ending } = await client.readToEnd();
    assert.equal(bytes.toString('latin1').match(/HTTP\/1\.1 200/g)?.length, 5);
    assert.equal(ending, 'end');
  });
});
