/** A connection whose handshake lasts across a change of rules is not served by those that were. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { withDeadline } from '../support/with-deadline.ts';
import { service } from './flow-mesh.ts';
import { from, policy, PolicyMesh } from './policy-mesh.ts';

const DENY_NOBODY = policy('none', `{action: DENY, rules: ${from('namespaces', 'nowhere')}}`);

/** Lets a client's first flight through and holds the others until it is told to go on. */
async function holdHandshakes(to: number): Promise<{
  readonly port: number;
  readonly held: Promise<void>;
  readonly release: () => void;
  readonly close: () => void;
}> {
  const sockets: net.Socket[] = [];
  const held = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const server = net.createServer((client) => {
    const upstream = net.connect(to, '127.0.0.1');
    sockets.push(client, upstream);
    for (const socket of [client, upstream]) socket.on('error', () => {});
    upstream.pipe(client);
    client.once('data', (hello: Buffer) => {
      upstream.write(hello);
      client.once('data', (flight: Buffer) => {
        client.pause();
        held.resolve();
        void released.promise.then(() => {
          upstream.write(flight);
          return client.pipe(upstream);
        });
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  const { port } = server.address() as net.AddressInfo;
  return { port, held: held.promise, release: released.resolve, close };
}

describe('a handshake that outlasts a change', () => {
  for (const [name, portName, isServed] of [
    ['is served where nothing of its port changed', 'tcp', true],
    ['is ended where its port speaks HTTP now: its bytes would pass by all HTTP rules', 'http', false],
  ] as const) {
    it(name, async () => {
      await using mesh = await PolicyMesh.start({ documents: DENY_NOBODY, port: 'tcp' });
      const hold = await holdHandshakes(mesh.sidecar.port);
      using _ = { [Symbol.dispose]: hold.close };
      const client = tls.connect({ port: hold.port, ...mesh.mesh.clientTls(['istio']) });
      client.on('error', () => {});
      client.write('GET / HTTP/1.1\r\nhost: httpbin.foo\r\nx-forwarded-client-cert: By=a;URI=b\r\n\r\n');
      await withDeadline(hold.held, 5_000, 'the second flight of the handshake');
      const at = mesh.sidecar.logs.length;
      const changed = policy('none', `{action: DENY, rules: ${from('namespaces', 'elsewhere')}}`);
      mesh.mesh.documents(service(portName, mesh.app.port) + changed);
      await mesh.sidecar.waitForLog('reloaded', at);
      const ended = once(client, 'close').then(() => 'ended');
      const answered = once(client, 'data').then(() => 'answered');
      hold.release();
      const outcome = await withDeadline(Promise.race([ended, answered]), 5_000, 'an answer or the end');
      assert.equal(outcome, isServed ? 'answered' : 'ended');
      assert.equal(mesh.app.requests.length, isServed ? 1 : 0);
      client.destroy();
    });
  }
});
