/**
 * A raw TCP app that keeps the exact bytes of what it gets and answers by a script.
 *
 * Its own reading is deliberately lenient (bare LF, odd Transfer-Encoding, repeated Content-Length): the victim of a
 * smuggling attack. A request that the attacker hid shows up as one more entry of `requests`.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { splitLeniently, type LenientRequest } from './lenient-request.ts';
import { withDeadline } from './with-deadline.ts';

export interface RecordedRequest extends LenientRequest {
  readonly connection: RecordedConnection;
}

export interface RecordedConnection {
  readonly id: number;
  readonly socket: Socket;
  /** Every byte that came, in order. */
  readonly bytes: Buffer;
  /** How the proxy ended it; null while it has not. */
  readonly ending: 'end' | 'reset' | null;
  /** Waits until `bytes` satisfies `done`. */
  until(done: (bytes: Buffer) => boolean, what: string): Promise<Buffer>;
  /** Waits until the proxy ends it. */
  ended(): Promise<'end' | 'reset'>;
}

export interface RecordingUpstreamOptions {
  /** Answers a request that was read leniently; a string is written as latin1, null: no answer. Default: 200 with body `ok`. */
  readonly answer?: (request: RecordedRequest) => string | Uint8Array | null;
  /** Takes a connection over from its first moment; then nothing is read as HTTP and `answer` is not called. */
  readonly script?: (connection: RecordedConnection) => void;
  /** Which framing header wins when both are there. */
  readonly prefer?: 'content-length' | 'transfer-encoding';
  readonly host?: string;
  readonly timeoutMs?: number;
}

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Listens on a free port; the owner ends it with `close` or `await using`. */
export async function startRecordingUpstream(
  options: RecordingUpstreamOptions = {},
): Promise<RecordingUpstream> {
  const upstream = new RecordingUpstream(options);
  await upstream.listen();
  return upstream;
}

export class RecordingUpstream implements AsyncDisposable {
  readonly connections: RecordedConnection[] = [];
  readonly requests: RecordedRequest[] = [];
  readonly #options: RecordingUpstreamOptions;
  readonly #server: Server;
  #wake = Promise.withResolvers<void>();

  constructor(options: RecordingUpstreamOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#accept(socket);
    });
  }

  get host(): string {
    return this.#options.host ?? '127.0.0.1';
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Everything that came on all connections, as latin1 text. */
  get text(): string {
    return this.connections.map((connection) => connection.bytes.toString('latin1')).join('');
  }

  async listen(): Promise<void> {
    this.#server.listen(0, this.host);
    await once(this.#server, 'listening');
  }

  /** Waits for the `index`-th connection. */
  connection(index = 0): Promise<RecordedConnection> {
    return this.#nth(this.connections, index, 'connection');
  }

  /** Waits for the `index`-th request as the lenient reader sees them. */
  request(index = 0): Promise<RecordedRequest> {
    return this.#nth(this.requests, index, 'request');
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  async #wait<T>(ready: () => T | undefined, what: string, seen: () => string): Promise<T> {
    const loop = async (): Promise<T> => {
      for (;;) {
        const value = ready();
        if (value !== undefined) return value;
        await this.#wake.promise;
      }
    };
    return withDeadline(loop(), this.#options.timeoutMs ?? 5_000, what, seen);
  }

  #nth<T>(list: readonly T[], index: number, noun: string): Promise<T> {
    return this.#wait(
      () => list[index],
      `${noun} ${index} at the upstream`,
      () => `${list.length} of them, bytes ${JSON.stringify(this.text.slice(0, 400))}`,
    );
  }

  #accept(socket: Socket): void {
    let bytes: Buffer = Buffer.alloc(0);
    let ending: 'end' | 'reset' | null = null;
    const connection: RecordedConnection = {
      id: this.connections.length,
      socket,
      get bytes() {
        return bytes;
      },
      get ending() {
        return ending;
      },
      until: (done, what) =>
        this.#wait(
          () => (done(bytes) ? bytes : undefined),
          what,
          () => JSON.stringify(bytes.toString('latin1').slice(0, 400)),
        ),
      ended: () =>
        this.#wait(
          () => ending ?? undefined,
          'the end of an upstream connection',
          () => JSON.stringify(bytes.toString('latin1').slice(0, 400)),
        ),
    };
    this.connections.push(connection);
    let read = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (this.#options.script === undefined) read = this.#answerAll(connection, read);
      this.#changed();
    });
    socket.on('end', () => {
      ending ??= 'end';
      if (this.#options.script === undefined) socket.end();
      this.#changed();
    });
    socket.on('error', () => {
      ending ??= 'reset';
      this.#changed();
    });
    socket.on('close', () => {
      ending ??= 'end';
      this.#changed();
    });
    this.#options.script?.(connection);
    this.#changed();
  }

  #answerAll(connection: RecordedConnection, from: number): number {
    const { requests, consumed } = splitLeniently(
      connection.bytes.subarray(from),
      this.#options.prefer ?? 'transfer-encoding',
    );
    for (const read of requests) {
      const request: RecordedRequest = { ...read, connection };
      this.requests.push(request);
      const answer = this.#options.answer === undefined ? OK : this.#options.answer(request);
      if (answer !== null && connection.socket.writable) {
        connection.socket.write(typeof answer === 'string' ? Buffer.from(answer, 'latin1') : answer);
      }
    }
    return from + consumed;
  }
}
