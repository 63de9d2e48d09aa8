/**
 * A client that sends the bytes it is given, whole or in chosen cuts, over TCP or TLS, and reads bytes back.
 *
 * Every read has a deadline and fails with what came instead.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { readResponse, type HttpResponse } from './http-response-reader.ts';
import { withDeadline } from './with-deadline.ts';

export interface RawClientOptions {
  readonly port: number;
  readonly host?: string;
  readonly localAddress?: string;
  /** Present: TLS. Verification is up to these options; tests of refusals often want `rejectUnauthorized: false`. */
  readonly tls?: tls.ConnectionOptions;
  /** Deadline of every wait; default 5,000. */
  readonly timeoutMs?: number;
}

/** How the other side ended the connection. */
export type Ending = 'end' | 'reset';

/** Connects, TLS handshake included; rejects with the socket's own error. */
export async function connectRaw(options: RawClientOptions): Promise<RawClient> {
  const timeoutMs = options.timeoutMs ?? 5_000;
  const tcp = net.connect({
    host: options.host ?? '127.0.0.1',
    port: options.port,
    noDelay: true,
    allowHalfOpen: true,
    ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
  });
  try {
    await withDeadline(once(tcp, 'connect'), timeoutMs, `a connection to port ${options.port}`);
    if (options.tls === undefined) return new RawClient(tcp, tcp, timeoutMs);
    const secured = tls.connect({ ...options.tls, socket: tcp });
    await withDeadline(once(secured, 'secureConnect'), timeoutMs, `a TLS handshake on port ${options.port}`);
    return new RawClient(secured, tcp, timeoutMs);
  } catch (error) {
    tcp.destroy();
    throw error;
  }
}

export class RawClient implements Disposable {
  /** The TLS socket, or the TCP socket itself. */
  readonly socket: net.Socket;
  readonly tcp: net.Socket;
  readonly #timeoutMs: number;
  #received: Buffer = Buffer.alloc(0);
  #ending: Ending | null = null;
  #wake = Promise.withResolvers<void>();

  constructor(socket: net.Socket, tcp: net.Socket, timeoutMs: number) {
    this.socket = socket;
    this.tcp = tcp;
    this.#timeoutMs = timeoutMs;
    socket.on('data', (chunk: Buffer) => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#changed();
    });
    socket.on('end', () => {
      this.#finish('end');
    });
    const broke = (): void => {
      this.#finish('reset');
    };
    socket.on('error', broke);
    if (tcp !== socket) tcp.on('error', broke);
    socket.on('close', () => {
      this.#finish('end');
    });
  }

  /** The TLS side of the connection: session, protocol, peer certificate. */
  get secured(): tls.TLSSocket {
    if (this.socket instanceof tls.TLSSocket) return this.socket;
    throw new TypeError('this connection has no TLS');
  }

  /** Bytes received and not yet taken by a read. */
  get pending(): Buffer {
    return this.#received;
  }

  /** How the other side ended; null while it has not. */
  get ending(): Ending | null {
    return this.#ending;
  }

  /** Strings are latin1: one character, one byte. Resolves when the kernel has taken the bytes, or the connection broke. */
  write(bytes: string | Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => {
      resolve();
    });
    return promise;
  }

  /** Sends the pieces between the offsets `cuts` (ascending) one by one, a few event-loop turns apart. */
  async writeInCuts(bytes: string | Uint8Array, cuts: readonly number[]): Promise<void> {
    const all = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes);
    let from = 0;
    for (const cut of [...cuts, all.length]) {
      await this.write(all.subarray(from, cut));
      for (let turn = 0; turn < 3; turn++) {
        await new Promise<void>((resume) => {
          setImmediate(resume);
        });
      }
      from = cut;
    }
  }

  /** Half-closes: FIN (with close_notify under TLS); reading goes on. */
  end(): void {
    this.socket.end();
  }

  /** RST. */
  reset(): void {
    this.tcp.resetAndDestroy();
    this.socket.destroy();
  }

  /** Stops reading, so that the other side meets back-pressure; any read below resumes. */
  pause(): void {
    this.socket.pause();
  }

  /** Takes exactly `count` bytes. */
  async readBytes(count: number): Promise<Buffer> {
    await this.#until(() => this.#received.length >= count, `${count} bytes`);
    return this.#take(count);
  }

  /** Takes everything up to and including `marker`. */
  async readUntil(marker: string): Promise<Buffer> {
    const wanted = Buffer.from(marker, 'latin1');
    await this.#until(() => this.#received.includes(wanted), `"${marker}"`);
    return this.#take(this.#received.indexOf(wanted) + wanted.length);
  }

  /** Takes everything until the other side ends, and says how it did. */
  async readToEnd(): Promise<{ readonly bytes: Buffer; readonly ending: Ending }> {
    await this.#until(() => this.#ending !== null, 'the end of the connection');
    return { bytes: this.#take(this.#received.length), ending: this.#ending ?? 'end' };
  }

  /** Takes what comes until nothing came for `quietMs`: for asserting that no more comes. */
  async readQuiet(quietMs = 50): Promise<Buffer> {
    let length = -1;
    this.socket.resume();
    while (length !== this.#received.length && this.#ending === null) {
      length = this.#received.length;
      await new Promise<void>((resume) => {
        setTimeout(resume, quietMs);
      });
    }
    return this.#take(this.#received.length);
  }

  /** Takes one HTTP/1 response, interim ones before it included. `method` matters for HEAD and CONNECT. */
  async readResponse(method = 'GET'): Promise<HttpResponse> {
    let response: HttpResponse | null = null;
    let consumed = 0;
    await this.#until(() => {
      const read = readResponse(this.#received, method, this.#ending !== null);
      if (read === null) return false;
      ({ response, consumed } = read);
      return true;
    }, 'a whole HTTP response');
    this.#take(consumed);
    if (response === null) throw new Error('unreachable: the wait above ends with a response');
    return response;
  }

  /** Writes a request and takes its response. */
  async request(head: string | Uint8Array, method = 'GET'): Promise<HttpResponse> {
    await this.write(head);
    return this.readResponse(method);
  }

  /** Destroys the connection; safe to call twice. */
  close(): void {
    this.socket.destroy();
    this.tcp.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #take(count: number): Buffer {
    const taken = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return taken;
  }

  #finish(ending: Ending): void {
    this.#ending ??= ending;
    this.#changed();
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  async #until(done: () => boolean, what: string): Promise<void> {
    this.socket.resume();
    const loop = async (): Promise<void> => {
      while (!done()) {
        if (this.#ending !== null)
          throw new Error(`the connection ended (${this.#ending}) before ${what}: ${this.#shown()}`);
        await this.#wake.promise;
      }
    };
    await withDeadline(loop(), this.#timeoutMs, what, () => this.#shown());
  }

  #shown(): string {
    const text = this.#received.subarray(0, 400).toString('latin1');
    return `${this.#received.length} bytes ${JSON.stringify(text)}`;
  }
}
