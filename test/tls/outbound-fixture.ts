/** TLS servers to dial, and `createOutboundTls` in front of them: real sockets on loopback. */
import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import type { DialTarget, DialTls, ExternalTlsSettings } from '../../src/core/dialer.ts';
import {
  type ConnectFailure,
  createOutboundTls,
  type OutboundTls,
  type SecureUpstream,
} from '../../src/tls/outbound-tls.ts';
import type { Issued } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

export const WANTED = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const WAIT_MS = 3_000;

export interface TestServerOptions {
  /** null: no certificate, so that nothing but what `script` does happens. */
  readonly identity: Issued | null;
  readonly options?: tls.TlsOptions;
  /** Takes the raw connection over in place of TLS. */
  readonly script?: (socket: Socket) => void;
}

/** Answers every chunk with `ok`; keeps what clients presented and sent. */
export class TestServer implements AsyncDisposable {
  readonly serials: string[] = [];
  readonly resumed: boolean[] = [];
  readonly sockets: Set<Socket> = new Set<Socket>();
  /** Of terminated connections, by code. */
  readonly errors: string[] = [];
  received = '';
  /** Raw connections so far. */
  accepted = 0;
  identity: tls.Server | null = null;
  readonly #server: net.Server;
  #wake = Promise.withResolvers<void>();

  constructor(options: TestServerOptions) {
    this.use(options.identity, options.options);
    this.#server = net.createServer({ noDelay: true }, (socket) => {
      this.accepted++;
      this.sockets.add(socket);
      socket.on('close', () => {
        this.sockets.delete(socket);
        this.#changed();
      });
      socket.on('error', () => {});
      if (options.script !== undefined) options.script(socket);
      else this.identity!.emit('connection', socket);
      this.#changed();
    });
  }

  /** Presents another identity from the next connection on. */
  use(identity: Issued | null, options: tls.TlsOptions = {}): void {
    if (identity === null) return;
    this.identity = tls.createServer({
      cert: identity.chainPem,
      key: identity.keyPem,
      requestCert: true,
      rejectUnauthorized: false,
      sessionIdContext: 'test',
      ticketKeys: TICKET_KEYS,
      ALPNProtocols: ['istio'],
      ...options,
    });
    this.identity.on('tlsClientError', () => {});
    this.identity.on('secureConnection', (socket) => {
      this.serials.push(socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '');
      this.resumed.push(socket.isSessionReused());
      socket.on('error', (error: NodeJS.ErrnoException) => {
        this.errors.push(error.code ?? '');
        this.#changed();
      });
      socket.on('data', (chunk: Buffer) => {
        this.received += chunk.toString('latin1');
        socket.write('ok');
        this.#changed();
      });
      socket.on('end', () => socket.end());
      this.#changed();
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async until(done: () => boolean, what: string): Promise<void> {
    const loop = async (): Promise<void> => {
      while (!done()) await this.#wake.promise;
    };
    await withDeadline(loop(), WAIT_MS, what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}

const TICKET_KEYS: Buffer = Buffer.alloc(48, 7);

export async function startServer(options: TestServerOptions): Promise<TestServer> {
  const server = new TestServer(options);
  await server.listen();
  return server;
}

export function meshTls(subjectAltNames: readonly string[] = [WANTED]): DialTls {
  const alpn = ['istio-http/1.1', 'istio', 'http/1.1'];
  return {
    kind: 'istio',
    sni: 'outbound_.80_._.httpbin.foo.svc.cluster.local',
    alpn,
    subjectAltNames,
    external: null,
  };
}

export function externalTls(settings: Partial<ExternalTlsSettings>, names: Partial<DialTls> = {}): DialTls {
  return {
    kind: 'external',
    sni: 'www.example.com',
    alpn: [],
    subjectAltNames: [],
    external: { verify: 'name', caPem: '', certificatePem: '', privateKeyPem: '', ...settings },
    ...names,
  };
}

export function targetOf(port: number, dialTls: DialTls): DialTarget & { readonly tls: DialTls } {
  return { host: '127.0.0.1', port, cluster: 'outbound|80||httpbin.foo.svc.cluster.local', tls: dialTls };
}

/** A dial that ended: with a server, or with why not. */
export interface Dialled {
  readonly secure: SecureUpstream | null;
  readonly failure: ConnectFailure | null;
  /** What the server sent so far. */
  readonly text: () => string;
}

export interface DialOptions {
  readonly connectTimeoutMs?: number;
  readonly handshakeTimeoutMs?: number;
}

export interface Dialling {
  readonly tls: OutboundTls;
  readonly bugs: unknown[];
}

export function startRoom(nowMs: () => number = Date.now): Dialling {
  const bugs: unknown[] = [];
  return { tls: createOutboundTls({ nowMs, onBug: (thrown) => bugs.push(thrown) }), bugs };
}

export function dial(
  room: Dialling,
  target: DialTarget & { readonly tls: DialTls },
  options: DialOptions = {},
): Promise<Dialled> {
  let text = '';
  const { promise, resolve, reject } = Promise.withResolvers<Dialled>();
  let turnOver = false;
  let answers = 0;
  const answer = (secure: SecureUpstream | null, failure: ConnectFailure | null): void => {
    if (!turnOver || ++answers > 1) reject(new Error(`answered in the caller's turn, or ${answers} times`));
    resolve({ secure, failure, text: () => text });
  };
  room.tls.connect(
    target,
    {
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
      handshakeTimeoutMs: options.handshakeTimeoutMs ?? 5_000,
    },
    (secure) => answer(secure, null),
    (failure) => answer(null, failure),
    (view) => {
      text += view.toString('latin1');
    },
  );
  turnOver = true;
  return withDeadline(promise, WAIT_MS, 'the end of a dial');
}

/** Sends, waits for `ok` and its tickets, and ends. */
export async function useOnce(dialled: Dialled): Promise<void> {
  const { socket } = dialled.secure!;
  const closed = once(socket, 'close');
  socket.write('hello');
  socket.end();
  socket.resume();
  await withDeadline(closed, WAIT_MS, 'the end of a connection');
}
