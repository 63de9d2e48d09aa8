/** An issuer's HTTP server on loopback: each path has an answer that the test may change. */
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface KeySetAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Writes what it likes instead. */
  readonly respond?: (response: http.ServerResponse) => void;
}

export class KeySetServer implements AsyncDisposable {
  /** By path. */
  readonly answers = new Map<string, KeySetAnswer>();
  /** Paths asked for, in order. */
  readonly asked: string[] = [];
  readonly port: number;
  readonly #server: http.Server;

  private constructor(server: http.Server, port: number) {
    this.#server = server;
    this.port = port;
    server.on('request', (request, response) => {
      const path = request.url ?? '';
      this.asked.push(path);
      const { body = '', headers = {}, respond, status = 200 } = this.answers.get(path) ?? { status: 404 };
      if (respond !== undefined) respond(response);
      else response.writeHead(status, headers).end(body);
    });
  }

  static async start(host = '127.0.0.1'): Promise<KeySetServer> {
    const server = http.createServer();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(0, host, resolve);
    await promise;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it listens on TCP
    return new KeySetServer(server, (server.address() as AddressInfo).port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
