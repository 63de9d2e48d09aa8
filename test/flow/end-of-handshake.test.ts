import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { CONTINUE, type Filter } from '../../src/index.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { FlowMesh, MESH_ALPN, peerAuthentication, service } from './flow-mesh.ts';

/** Hands a client's ClientHello on and holds what comes after it until `release`. */
class Relay implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets: net.Socket[] = [];
  /** Settles when the client's second flight is here. */
  readonly held: Promise<void>;
  release: () => void = () => {};

  private constructor(to: number) {
    const held = Promise.withResolvers<void>();
    this.held = held.promise;
    this.#server = net.createServer((client) => {
      const upstream = net.connect({ host: '127.0.0.1', port: to });
      this.#sockets.push(client, upstream);
      for (const socket of [client, upstream]) socket.on('error', () => {});
      upstream.pipe(client);
      client.once('data', (hello: Buffer) => {
        upstream.write(hello);
        const kept: Buffer[] = [];
        client.on('data', (chunk: Buffer) => {
          kept.push(chunk);
          held.resolve();
        });
        this.release = () => {
          upstream.write(Buffer.concat(kept));
        };
      });
      upstream.on('close', () => client.end());
    });
  }

  static async start(to: number): Promise<Relay> {
    const relay = new Relay(to);
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}

/** Destroying both sockets of a connection in the turn in which its handshake ends once crashed the whole process. */
describe('a connection that ends in the turn in which its handshake ends', () => {
  for (const port of ['http', 'tcp']) {
    it(`is closed by a drain that began meanwhile, on a port named ${port}, and the process lives`, async () => {
      await using app = await startRecordingUpstream();
      using mesh = await FlowMesh.create({
        appPort: app.port,
        documents: peerAuthentication('STRICT') + service(port, app.port),
        settings: 'drain: 50ms\ndrainMax: 1s',
      });
      await using sidecar = await mesh.inProcess();
      await using relay = await Relay.start(sidecar.port);
      const connecting = mesh.connect(relay.port, MESH_ALPN);
      await relay.held;
      const drained = sidecar.drain();
      relay.release();
      using client = await connecting;
      assert.equal((await client.readToEnd()).bytes.length, 0);
      await drained;
      assert.deepEqual(sidecar.logsOf('bug'), []);
    });
  }

  it('is closed by a filter that denies at once, a hundred times over, and the process lives', async () => {
    await using app = await startRecordingUpstream();
    using mesh = await FlowMesh.create({
      appPort: app.port,
      documents: peerAuthentication('STRICT') + service('tcp', app.port),
    });
    let deny = true;
    const filter: Filter = {
      name: 'mine',
      onConnection: () =>
        deny
          ? {
              kind: 'deny',
              code: 'filter_denied',
              status: 403,
              body: '',
              headers: [],
              details: 'd',
              why: 'w',
            }
          : CONTINUE,
    };
    await using sidecar = await mesh.inProcess([filter]);
    for (let round = 0; round < 100; round++) {
      using client = await mesh.connect(sidecar.port, []);
      assert.equal((await client.readToEnd()).bytes.length, 0);
    }
    assert.equal(app.connections.length, 0);
    deny = false;
    using client = await mesh.connect(sidecar.port, []);
    await client.write('GET / HTTP/1.1\r\n\r\n');
    assert.equal((await client.readResponse()).status, 200);
  });
});
