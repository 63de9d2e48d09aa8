/**
 * A listener that terminates TLS with `createInboundTls`, and clients for it: real sockets on loopback.
 *
 * It reads the ClientHello with a few lines of its own and puts it back, as the road does before the room.
 */
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import type { SecretMaterial } from '../../src/core/secret.ts';
import { ListenerCounters } from '../../src/observe/counters.ts';
import { createInboundTls, type HandshakeResult, type InboundTls } from '../../src/tls/inbound-tls.ts';
import type { Issued, TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

export const HTTP_CHAIN: readonly string[] = ['http/1.1'];
export const TCP_CHAIN: readonly string[] = ['istio-peer-exchange', 'h2', 'http/1.1'];

const WAIT_MS = 8_000;

/** A secret for `TestTerminator`; every call of the same arguments gives the same ticket secret. */
export function secretOf(
  own: Issued,
  bundles: Readonly<Record<string, string>>,
  version = 1,
  trustVersion = 1,
): SecretMaterial {
  return {
    version,
    trustVersion,
    certificateChainPem: own.chainPem,
    privateKeyPem: own.keyPem,
    bundles,
    ticketSecret: Buffer.alloc(32, trustVersion),
  };
}

export interface TerminatorOptions {
  readonly answerable?: readonly string[];
  readonly handshakeTimeoutMs?: number;
  readonly allowHalfOpen?: boolean;
  /** Called in the turn of the answer, before the default of greeting the client with `ok`. */
  readonly onResult?: (result: HandshakeResult) => void;
}

/** Accepts, hands over, and greets every accepted client with `ok` and an end. */
export class TestTerminator implements AsyncDisposable {
  readonly tls: InboundTls;
  readonly counters: ListenerCounters = new ListenerCounters();
  readonly bugs: unknown[] = [];
  readonly results: HandshakeResult[] = [];
  readonly sockets: Set<net.Socket> = new Set<net.Socket>();
  options: TerminatorOptions;
  readonly #server: net.Server;
  #waiting: ((result: HandshakeResult) => void)[] = [];

  private constructor(options: TerminatorOptions) {
    this.options = options;
    this.tls = createInboundTls({
      counters: this.counters,
      nowMs: Date.now,
      onBug: (thrown) => {
        this.bugs.push(thrown);
      },
    });
    this.#server = net.createServer({ allowHalfOpen: options.allowHalfOpen ?? true }, this.#onSocket);
  }

  static async start(options: TerminatorOptions = {}): Promise<TestTerminator> {
    const terminator = new TestTerminator(options);
    terminator.#server.listen(0, '127.0.0.1');
    await once(terminator.#server, 'listening');
    return terminator;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next answer that the room gives. */
  next(): Promise<HandshakeResult> {
    const { promise, resolve } = Promise.withResolvers<HandshakeResult>();
    this.#waiting.push(resolve);
    return withDeadline(promise, WAIT_MS, 'an answer of the handshake');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  readonly #onSocket = (socket: net.Socket): void => {
    this.sockets.add(socket);
    socket.on('close', () => {
      this.sockets.delete(socket);
    });
    socket.on('error', () => {});
    let read = Buffer.alloc(0);
    const onReadable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      read = Buffer.concat([read, chunk]);
      const isHello = read[0] === 0x16;
      if (isHello && (read.length < 5 || read.length < 5 + read.readUInt16BE(3))) return;
      socket.off('readable', onReadable);
      socket.unshift(read);
      this.tls.accept(
        socket,
        isHello ? readHello(read) : { sni: '', alpn: [] },
        this.options.answerable ?? HTTP_CHAIN,
        { handshakeTimeoutMs: this.options.handshakeTimeoutMs ?? 5_000 },
        this.#onResult,
      );
    };
    socket.on('readable', onReadable);
  };

  readonly #onResult = (result: HandshakeResult): void => {
    this.results.push(result);
    this.options.onResult?.(result);
    if (result.ok && this.options.onResult === undefined) result.secure.socket.end('ok');
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve(result);
  };
}

/** SNI and ALPN of one ClientHello record; anything odd reads as absent. */
export function readHello(record: Buffer): { sni: string; alpn: string[] } {
  try {
    return readFields(record);
  } catch {
    return { sni: '', alpn: [] };
  }
}

function readFields(record: Buffer): { sni: string; alpn: string[] } {
  const found: { sni: string; alpn: string[] } = { sni: '', alpn: [] };
  let at = 5 + 4 + 2 + 32;
  at += 1 + record[at]!;
  at += 2 + record.readUInt16BE(at);
  at += 1 + record[at]!;
  const end = at + 2 + record.readUInt16BE(at);
  at += 2;
  while (at < end) {
    const type = record.readUInt16BE(at);
    const length = record.readUInt16BE(at + 2);
    const body = record.subarray(at + 4, at + 4 + length);
    if (type === 0 && length > 5) found.sni = body.toString('latin1', 5).toLowerCase();
    if (type === 16) {
      for (let i = 2; i < body.length; i += 1 + body[i]!)
        found.alpn.push(body.toString('latin1', i + 1, i + 1 + body[i]!));
    }
    at += 4 + length;
  }
  return found;
}

export type ClientOptions = Omit<tls.ConnectionOptions, 'cert' | 'key' | 'ca'>;

/** What a client saw of one connection to its end. */
export interface ClientView {
  /** Everything that the server sent after the handshake. */
  readonly text: string;
  readonly serverSerial: string;
  readonly reused: boolean;
  readonly alpn: string | false | null;
  readonly protocol: string | null;
  readonly cipher: string;
  readonly group: string;
  /** The last session that the server gave. */
  readonly session: Buffer | undefined;
  readonly error: NodeJS.ErrnoException | null;
}

/** Connects with an identity (null: none), reads to the end. Never rejects for what the server does. */
export async function connect(
  port: number,
  ca: TestCa,
  identity: Issued | null,
  options: ClientOptions = {},
): Promise<ClientView> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    ca: ca.rootPem,
    checkServerIdentity: () => undefined,
    // Raw sessions are only taken by an unverified client; what is tested is the server.
    ...(options.session === undefined ? {} : { rejectUnauthorized: false }),
    ALPNProtocols: ['http/1.1'],
    ...(identity === null ? {} : { cert: identity.chainPem, key: identity.keyPem }),
    ...options,
  });
  const view = {
    text: '',
    serverSerial: '',
    reused: false,
    alpn: null as string | false | null,
    protocol: null as string | null,
    cipher: '',
    group: '',
    session: undefined as Buffer | undefined,
    error: null as NodeJS.ErrnoException | null,
  };
  socket.on('session', (session: Buffer) => {
    view.session = session;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    view.error ??= error;
  });
  socket.on('secureConnect', () => {
    view.reused = socket.isSessionReused();
    view.serverSerial = socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
    view.alpn = socket.alpnProtocol;
    view.protocol = socket.getProtocol();
    view.cipher = socket.getCipher().name;
    view.group = (socket.getEphemeralKeyInfo() as { name?: string } | null)?.name ?? '';
  });
  socket.on('data', (chunk: Buffer) => {
    view.text += chunk.toString('latin1');
  });
  socket.on('end', () => {
    socket.end();
  });
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on('close', () => {
    resolve();
  });
  await withDeadline(closed, WAIT_MS, 'the end of a client connection', () => JSON.stringify(view.error));
  return view;
}
