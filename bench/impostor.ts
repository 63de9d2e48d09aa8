/**
 * A server of the benchmark that stands where the server's sidecar should be, with whatever certificate it is given:
 * it answers every request, so that only the client's sidecar can say no. It knows who came, and how far.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:tls';
import type { Server, TLSSocket } from 'node:tls';
import type { CertificateFiles } from './certificates.ts';
import { answerBody } from './load/answer.ts';

export class Impostor {
  readonly #server: Server;
  readonly #live = new Set<TLSSocket>();
  /** TCP connections and requests since `show`. */
  connections = 0;
  requests = 0;

  private constructor(server: Server) {
    this.#server = server;
    const body = answerBody();
    const head = `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    server.on('connection', () => {
      this.connections += 1;
    });
    server.on('tlsClientError', () => undefined);
    server.on('secureConnection', (socket) => {
      this.#live.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => this.#live.delete(socket));
      socket.once('data', () => {
        this.requests += 1;
        socket.end(Buffer.concat([Buffer.from(head, 'latin1'), body]));
      });
    });
  }

  static async start(certificate: CertificateFiles, clientRoots: string): Promise<Impostor> {
    const server = createServer({
      cert: readFileSync(certificate.certificate),
      key: readFileSync(certificate.key),
      ca: readFileSync(clientRoots),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
    });
    const impostor = new Impostor(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return impostor;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Shows another certificate from now on. */
  show(certificate: CertificateFiles, clientRoots: string): void {
    this.#server.setSecureContext({
      cert: readFileSync(certificate.certificate),
      key: readFileSync(certificate.key),
      ca: readFileSync(clientRoots),
    });
    this.connections = 0;
    this.requests = 0;
  }

  async end(): Promise<void> {
    for (const socket of this.#live) socket.destroy();
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }
}
