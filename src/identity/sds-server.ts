/**
 * SDS on a Unix socket, as Istio's agent serves it: `StreamSecrets` with the names `default` and `ROOTCA`. The
 * workload's own secrets and no others; who may ask is decided by the socket's mode and by the peer's user, who is
 * given something by the provider, which is told the stream's token.
 */
import { createServer, type Socket } from 'node:net';
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js';
import type { Log } from '../observe/log.ts';
import { SecretDiscoveryService } from '../wire/gen/envoy/service/secret/v3/sds_pb.ts';
import { serveGrpc } from '../wire/grpc-service.ts';
import { createPeerUser } from './sds-peer-user.ts';
import { DEFAULT_BUNDLE_NAME, DEFAULT_CERTIFICATE_NAME, MAX_SDS_MESSAGE_BYTES } from './sds-resources.ts';
import { listenOnSocket } from './sds-socket.ts';
import { SdsStream } from './sds-stream.ts';
import type { SecretProvider } from './workload-secrets.ts';

export interface SdsServerOptions {
  /** Of the socket. */
  readonly path: string;
  /** Of the socket, e.g. 0o600. */
  readonly mode: number;
  /** Users that may connect; empty: whoever the mode lets in. */
  readonly uids: readonly number[];
  readonly provider: SecretProvider;
  readonly certificateName?: string;
  readonly bundleName?: string;
  readonly log: Log;
}

export interface SdsServer {
  readonly path: string;
  /** Ends every stream and connection and removes the socket. */
  close(): Promise<void>;
}

/** Connections at a time: a proxy has one. */
export const MAX_SDS_CONNECTIONS = 32;
/** Streams of a connection at a time: Envoy has one for each name and place of use. */
export const MAX_SDS_STREAMS = 128;
/** A request holds names and the proxy's node; Istio's has some ten thousand bytes of it. */
const MAX_REQUEST_BYTES = 131_072;
/** Megabytes of one HTTP/2 session. */
const MAX_SESSION_MEMORY = 10;
/** A peer that is gone, or never began to speak HTTP/2, is found by pings. */
const PING_INTERVAL_MS = 60_000;
const PING_TIMEOUT_MS = 20_000;

/** Rejects with `sds_not_listening`. */
export async function createSdsServer(options: SdsServerOptions): Promise<SdsServer> {
  const { log, provider, uids } = options;
  const streams = new Set<SdsStream>();
  const sockets = new Set<Socket>();
  const peerUser = uids.length === 0 ? null : createPeerUser();
  const streamOptions = {
    provider,
    certificateName: options.certificateName ?? DEFAULT_CERTIFICATE_NAME,
    bundleName: options.bundleName ?? DEFAULT_BUNDLE_NAME,
    log,
  };

  const grpc = new GrpcServer({
    'grpc.max_concurrent_streams': MAX_SDS_STREAMS,
    'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
    'grpc.max_send_message_length': MAX_SDS_MESSAGE_BYTES,
    'grpc-node.max_session_memory': MAX_SESSION_MEMORY,
    'grpc.keepalive_time_ms': PING_INTERVAL_MS,
    'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    'grpc.enable_channelz': 0,
  });
  // FetchSecrets and DeltaSecrets have no handler, as in Istio's agent: UNIMPLEMENTED.
  serveGrpc(grpc, SecretDiscoveryService, {
    streamSecrets(call) {
      void new SdsStream(call, streamOptions, streams);
    },
  });
  const sessions = grpc.createConnectionInjector(ServerCredentials.createInsecure());

  // Own server: grpc-js has no way to see who connects, nor to count.
  const server = createServer((socket) => {
    const uid = peerUser === null ? null : peerUser(socket);
    if (peerUser !== null && (uid === null || !uids.includes(uid))) {
      log.warn('sds_peer_refused', { uid, uids }, 'A user that is not in socket.uids was refused');
      socket.destroy();
      return;
    }
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    sessions.injectConnection(socket);
  });
  server.maxConnections = MAX_SDS_CONNECTIONS;
  server.on('drop', () => {
    log.warn('sds_too_many_connections', { limit: MAX_SDS_CONNECTIONS }, 'A connection was refused');
  });

  try {
    await listenOnSocket(server, options.path, options.mode);
  } catch (thrown) {
    grpc.forceShutdown();
    throw thrown;
  }
  // Failing to take one connection is no reason to end: the next may do.
  server.on('error', (error) =>
    log.warn('sds_socket_failed', { error: error.message }, 'The SDS socket failed'),
  );
  const unsubscribe = provider.subscribe(() => {
    for (const stream of streams) stream.changed();
  });
  log.info('sds_listening', { path: options.path }, 'The SDS server is listening');

  return {
    path: options.path,
    async close(): Promise<void> {
      unsubscribe();
      const closed = Promise.withResolvers<void>();
      // An error says that it was closed before.
      server.close(() => closed.resolve());
      grpc.forceShutdown();
      for (const socket of sockets) socket.destroy();
      await closed.promise;
    },
  };
}
