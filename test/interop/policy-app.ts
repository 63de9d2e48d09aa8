/**
 * The app behind both proxies: it answers an HTTP request with its head as it came, anything else with `pong`.
 */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { WORKLOAD_PORT } from './policy-alphabet.ts';

/** Thirds of 127.77.0.0/17; each comparison that runs has one of its own. */
const PLACES = [0, 16, 32, 48, 64, 80, 96, 112] as const;

/** Longer than the head of a TLS record, so that a TLS client sees that it is none. */
/** Asked as an ext_authz provider that refuses. */
const REFUSED = 'HTTP/1.1 403 Forbidden\r\ncontent-length: 7\r\nx-why: refused\r\n\r\nrefused';
const REFUSED_HEAD = REFUSED.slice(0, -'refused'.length);

const PONG = 'pong, that was no HTTP';
/** A request line, as far as it has come; tests send nothing that is cut before its first blank. */
const BEGINS_AS_HTTP = /^(?!PRI )[A-Z]{3,} /;

export class PolicyApp implements AsyncDisposable {
  readonly host: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(host: string) {
    this.host = host;
    this.#server = createServer({ noDelay: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => socket.destroy());
      answer(socket);
    });
  }

  /** Takes the first place where nobody listens on the workload's port. */
  static async start(): Promise<PolicyApp> {
    let why: unknown;
    for (const place of PLACES) {
      const app = new PolicyApp(`127.77.${place}.1`);
      try {
        app.#server.listen(WORKLOAD_PORT, app.host);
        await once(app.#server, 'listening');
        return app;
      } catch (thrown) {
        why = thrown;
      }
    }
    throw new Error(`no address of 127.77.0.0/17 has a free port ${WORKLOAD_PORT}`, { cause: why });
  }

  /** The address of the `slot`-th listener beside the app. */
  address(slot: number): string {
    const [first, second, third] = this.host.split('.');
    return `${first}.${second}.${Number(third) + 1 + Math.trunc(slot / 250)}.${1 + (slot % 250)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

function answer(socket: Socket): void {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    if (!BEGINS_AS_HTTP.test(text)) {
      text = '';
      socket.write(PONG);
      return;
    }
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end);
      text = text.slice(end + 4);
      if (/^[A-Z]+ \/refuse/.test(head)) {
        socket.write(head.startsWith('HEAD ') ? REFUSED_HEAD : REFUSED);
        continue;
      }
      const [length, body] = head.startsWith('HEAD ') ? [2, ''] : [head.length, head];
      socket.write(Buffer.from(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n${body}`, 'latin1'));
    }
  });
}
