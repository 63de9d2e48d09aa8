/**
 * Istio's certificate service over TLS (`istio.v1.auth.IstioCertificateService`): its own server certificate, by the
 * CA itself and renewed while it runs, and every bound on what callers who have proved nothing can make it hold.
 *
 * TLS is ours and not the gRPC library's: so connections are counted and bounded before their first request.
 */
import { webcrypto } from 'node:crypto';
import { isIP, type AddressInfo, type Socket } from 'node:net';
import { createServer, type Server as TlsServer, type TLSSocket } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { type ConnectionInjector, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { detach } from '../core/detach.ts';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { IstioCertificateResponseSchema, IstioCertificateService } from '../wire/gen/istio/v1/auth/ca_pb.ts';
import { GrpcError, serveGrpc } from '../wire/grpc-service.ts';
import type { Authority } from './authority.ts';
import { exportPrivateKey, generateKeys, KEY_ALGORITHMS } from './authority-keys.ts';
import { CaRefusal, type CaService } from './ca-service.ts';
import { ISTIO_CA_NAME } from './ca-names.ts';
import { createCallDeadline } from './call-deadline.ts';

/** A request has a CSR and little else. */
export const MAX_REQUEST_BYTES = 32_768;
export const MAX_CONNECTIONS = 256;
export const MAX_CALLS_PER_CONNECTION = 16;
const CALL_TIMEOUT_MS = 10_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 10_000;
const MAX_CONNECTION_AGE_MS = 600_000;
/** Of one HTTP/2 session, in megabytes: what Node itself has as its default. */
const MAX_SESSION_MEGABYTES = 10;
/** Calls under way get this long at the end. */
const DRAIN_MS = 2_000;

const SERVER_LIFE_MS = 86_400_000;
const RENEWAL_CHECK_MS = 5_000;
const OWN_NAMES = [ISTIO_CA_NAME, 'localhost', '127.0.0.1', '::1'];

export interface CaServerOptions {
  readonly bind: string;
  /** 0: a free one. */
  readonly port: number;
  /** DNS names and addresses of the server certificate, besides Istio's and loopback's. */
  readonly names: readonly string[];
  readonly authority: Authority;
  readonly service: CaService;
  readonly log: Log;
  /** Wall clock. */
  readonly nowMs?: () => number;
  /** How often the end of the server certificate is looked at. */
  readonly renewalCheckMs?: number;
  /** From the first byte of a call to its answer. */
  readonly callTimeoutMs?: number;
}

export interface CaServer {
  readonly port: number;
  readonly certificateNotAfterMs: number;
  /** PKCS #8 of the server certificate. Never to be logged or written. */
  readonly keyPem: string;
  close(): Promise<void>;
}

/** Rejects with the listener's own error if the address cannot be listened on. */
export async function openCaServer(options: CaServerOptions): Promise<CaServer> {
  const server = new RunningCaServer(options);
  await server.open();
  return server;
}

class RunningCaServer implements CaServer {
  readonly #options: CaServerOptions;
  readonly #nowMs: () => number;
  readonly #grpc: Server;
  readonly #injector: ConnectionInjector;
  readonly #sockets = new Set<Socket>();
  #tls: TlsServer | null = null;
  #renewalTimer: NodeJS.Timeout | null = null;
  #renewing: Promise<void> = Promise.resolve();
  #renewAtMs = 0;
  #isFailing = false;
  certificateNotAfterMs = 0;
  keyPem = '';
  port = 0;

  constructor(options: CaServerOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#grpc = new Server({
      'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
      'grpc.max_concurrent_streams': MAX_CALLS_PER_CONNECTION,
      'grpc.max_connection_idle_ms': IDLE_TIMEOUT_MS,
      'grpc.max_connection_age_ms': MAX_CONNECTION_AGE_MS,
      'grpc.max_connection_age_grace_ms': CALL_TIMEOUT_MS,
      'grpc-node.max_session_memory': MAX_SESSION_MEGABYTES,
      'grpc.enable_channelz': 0,
      interceptors: [createCallDeadline(options.callTimeoutMs ?? CALL_TIMEOUT_MS)],
    });
    serveGrpc(this.#grpc, IstioCertificateService, {
      createCertificate: async (request, call) => {
        try {
          const certChain = await options.service.createCertificate({
            authorization: call.metadata.get('authorization').map(String),
            csrPem: request.csr,
            validitySeconds: request.validityDuration,
            metadata: request.metadata ?? {},
            peer: call.getPeer(),
          });
          return create(IstioCertificateResponseSchema, { certChain: [...certChain] });
        } catch (thrown) {
          if (thrown instanceof CaRefusal) throw new GrpcError(status[thrown.status], thrown.message);
          throw thrown;
        }
      },
    });
    this.#injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
  }

  async open(): Promise<void> {
    const { bind, log, port } = this.#options;
    const tls = createServer({
      ...(await this.#issue()),
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['h2'],
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.#tls = tls;
    tls.maxConnections = MAX_CONNECTIONS;
    tls.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    tls.on('drop', () =>
      log.warn('too_many_connections', { max: MAX_CONNECTIONS }, 'Closed a connection to the CA'),
    );
    tls.on('tlsClientError', (error, socket) =>
      log.debug('tls_handshake_failed', { error, peer: socket.remoteAddress }, 'A TLS handshake failed'),
    );
    tls.on('secureConnection', (socket) => this.#serve(socket));
    try {
      await new Promise<void>((resolve, reject) => {
        tls.once('error', reject);
        tls.listen(port, bind, () => {
          tls.off('error', reject);
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has no other
          this.port = (tls.address() as AddressInfo).port;
          tls.on('error', (error) => log.error('bug', { error }, 'The listener of the CA failed'));
          resolve();
        });
      });
    } catch (thrown) {
      this.#tls = null;
      await this.close();
      throw thrown;
    }
    this.#renewalTimer = setInterval(
      () => this.#checkRenewal(),
      this.#options.renewalCheckMs ?? RENEWAL_CHECK_MS,
    );
  }

  async close(): Promise<void> {
    if (this.#renewalTimer !== null) clearInterval(this.#renewalTimer);
    this.#renewalTimer = null;
    const tls = this.#tls;
    this.#tls = null;
    const isClosed = new Promise<void>((resolve) => {
      if (tls === null) resolve();
      else tls.close(() => resolve());
    });
    await this.#drainCalls();
    this.#injector.destroy();
    this.#grpc.forceShutdown();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([isClosed, this.#renewing]);
  }

  async #drainCalls(): Promise<void> {
    let timer: NodeJS.Timeout | null = null;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS);
      this.#grpc.tryShutdown(() => resolve());
    });
    if (timer !== null) clearTimeout(timer);
  }

  #serve(socket: TLSSocket): void {
    // The session has its own handler once it is there; until then a reset must not be an exception.
    socket.on('error', () => {});
    if (socket.alpnProtocol === 'h2') this.#injector.injectConnection(socket);
    else socket.destroy();
  }

  async #issue(): Promise<{ readonly key: string; readonly cert: string }> {
    const { authority, bind, names } = this.#options;
    const keys = await generateKeys(KEY_ALGORITHMS['ecdsa-p256']);
    const publicKey = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
    const isEverywhere = isIP(bind) !== 0 && /^[0.:]+$/.test(bind);
    const all = new Set([...OWN_NAMES, ...(isEverywhere ? [] : [bind]), ...names]);
    const leaf = await authority.issueServer({ names: [...all], publicKey, ttlMs: SERVER_LIFE_MS });
    const nowMs = this.#nowMs();
    this.certificateNotAfterMs = leaf.notAfterMs;
    this.#renewAtMs = nowMs + Math.max(0, leaf.notAfterMs - nowMs) / 2;
    this.keyPem = await exportPrivateKey(keys);
    return { key: this.keyPem, cert: leaf.chainPem };
  }

  #checkRenewal(): void {
    if (this.#nowMs() < this.#renewAtMs) return;
    // Not again before this one has ended.
    this.#renewAtMs = Number.POSITIVE_INFINITY;
    this.#renewing = this.#renew();
    detach(this.#renewing, () => {});
  }

  async #renew(): Promise<void> {
    const { log } = this.#options;
    try {
      const context = await this.#issue();
      this.#tls?.setSecureContext({ ...context, minVersion: 'TLSv1.2' });
      this.#isFailing = false;
      const notAfter = new Date(this.certificateNotAfterMs).toISOString();
      log.info('server_certificate_renewed', { notAfter }, "Renewed the CA server's own certificate");
    } catch (thrown) {
      this.#renewAtMs = 0;
      // Told once, tried again at every check.
      if (!this.#isFailing)
        log.error('signing_failed', { why: messageOf(thrown) }, "Cannot renew the CA server's certificate");
      this.#isFailing = true;
    }
  }
}
