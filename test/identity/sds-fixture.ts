/**
 * Both ends of SDS for tests, over real gRPC on real Unix sockets: a provider whose secret the test sets, a client
 * that says what the test tells it to, and a server that misbehaves as the test wants.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { AnySchema } from '@bufbuild/protobuf/wkt';
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  Server as GrpcServer,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
} from '@grpc/grpc-js';
import { MeshError } from '../../src/core/errors.ts';
import type { Log, LogFields } from '../../src/observe/log.ts';
import type { SecretMaterial } from '../../src/core/secret.ts';
import type { SecretProvider, WorkloadSecret } from '../../src/identity/workload-secrets.ts';
import { packBundle, packCertificate, SECRET_TYPE_URL } from '../../src/identity/sds-resources.ts';
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '../../src/wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../../src/wire/gen/envoy/service/secret/v3/sds_pb.ts';
import { openStream, serveGrpc } from '../../src/wire/grpc-service.ts';
import type { Issued, TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

const WAIT_MS = 5_000;

/** Things that happen, taken one by one in their order. */
export class Queue<T> {
  readonly all: T[] = [];
  readonly #what: string;
  #taken = 0;
  #wake: () => void = () => {};

  constructor(what: string) {
    this.#what = what;
  }

  readonly add = (item: T): void => {
    this.all.push(item);
    this.#wake();
  };

  get left(): number {
    return this.all.length - this.#taken;
  }

  async next(): Promise<T> {
    const seen = (): string =>
      this.all.map((item) => (typeof item === 'string' ? item : typeof item)).join(' | ');
    while (this.left === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await withDeadline(promise, WAIT_MS, this.#what, seen);
    }
    return this.all[this.#taken++]!;
  }

  /** Waits for the one that is meant, whatever comes before it. */
  async find(isMeant: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next();
      if (isMeant(item)) return item;
    }
  }
}

export function secretOf(ca: TestCa, leaf: Issued, rootsPem: string = ca.rootPem): WorkloadSecret {
  return {
    chainPem: leaf.chainPem + ca.rootPem,
    keyPem: leaf.keyPem,
    rootsPem,
    serial: leaf.serial,
    notAfterMs: Date.now() + 3_600_000,
  };
}

/** Gives what it was set to, or the failure that it was set to. */
export class TestProvider implements SecretProvider {
  readonly tokens: string[] = [];
  readonly #subscribers = new Set<() => void>();
  #secret: WorkloadSecret | string;

  constructor(secret: WorkloadSecret | string) {
    this.#secret = secret;
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  async get(token: string): Promise<WorkloadSecret> {
    this.tokens.push(token);
    if (typeof this.#secret === 'string') throw new MeshError('identity_invalid', this.#secret);
    return Promise.resolve(this.#secret);
  }

  subscribe(onChange: () => void): () => void {
    this.#subscribers.add(onChange);
    return () => this.#subscribers.delete(onChange);
  }

  set(secret: WorkloadSecret | string): void {
    this.#secret = secret;
    for (const tell of this.#subscribers) tell();
  }
}

export interface LogLine {
  readonly code: string;
  readonly fields: LogFields;
}

export function queueLog(): { readonly log: Log; readonly lines: Queue<LogLine> } {
  const lines = new Queue<LogLine>('a log line');
  const add = (code: string, fields: LogFields): void => lines.add({ code, fields });
  return { log: { debugEnabled: true, error: add, warn: add, info: add, debug: add }, lines };
}

/** A client that acknowledges nothing by itself. */
export class TestClient {
  readonly client: Client;

  constructor(path: string) {
    this.client = new Client(`unix:${path}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
  }

  open(token = ''): TestStream {
    const metadata = new Metadata();
    if (token !== '') metadata.set('authorization', token);
    const method = SecretDiscoveryService.method.streamSecrets;
    return new TestStream(openStream(this.client, method, metadata));
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

export class TestStream {
  readonly call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;
  readonly answers: Queue<DiscoveryResponse> = new Queue('an answer');
  readonly statuses: Queue<StatusObject> = new Queue('the end of the stream');

  constructor(call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>) {
    this.call = call;
    call.on('error', () => undefined);
    call.on('status', this.statuses.add);
    call.on('data', this.answers.add);
  }

  ask(names: readonly string[], said: MessageInitShape<typeof DiscoveryRequestSchema> = {}): void {
    const request = create(DiscoveryRequestSchema, said);
    request.resourceNames = [...names];
    if (request.typeUrl === '') request.typeUrl = SECRET_TYPE_URL;
    this.call.write(request);
  }
}

export type ServerCall = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

/** A stream as a hand-made server sees it. */
export interface ServedStream {
  readonly call: ServerCall;
  readonly requests: Queue<DiscoveryRequest>;
  /** Of the first request. */
  readonly name: string;
}

/** A server that does nothing by itself; `streams` has each stream once its first request is there. */
export class HandMadeServer {
  readonly streams: Queue<ServedStream> = new Queue('a stream of the client');
  /** One for each connection that is over. */
  readonly closed: Queue<'closed'> = new Queue('the end of a connection');
  connections = 0;
  readonly #grpc = new GrpcServer();
  readonly #server: NetServer;
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
    serveGrpc(this.#grpc, SecretDiscoveryService, { streamSecrets: (call) => this.#serve(call) });
    const sessions = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure());
    this.#server = createServer((socket) => {
      this.connections++;
      socket.on('error', () => socket.destroy());
      socket.on('close', () => this.closed.add('closed'));
      sessions.injectConnection(socket);
    });
  }

  static async listen(path: string): Promise<HandMadeServer> {
    const server = new HandMadeServer(path);
    server.#server.listen(path);
    await once(server.#server, 'listening');
    return server;
  }

  /** The two streams of one connection. */
  async accept(): Promise<{ readonly certificate: ServedStream; readonly bundle: ServedStream }> {
    const both = [await this.streams.next(), await this.streams.next()];
    const certificate = both.find((stream) => stream.name === 'default');
    const bundle = both.find((stream) => stream.name === 'ROOTCA');
    assert.ok(certificate !== undefined && bundle !== undefined);
    return { certificate, bundle };
  }

  close(): void {
    this.#server.close();
    this.#grpc.forceShutdown();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #serve(call: ServerCall): void {
    const requests = new Queue<DiscoveryRequest>(`a request on ${this.#path}`);
    call.on('error', () => undefined);
    call.once('data', (first: DiscoveryRequest) => {
      this.streams.add({ call, requests, name: first.resourceNames.join() });
    });
    call.on('data', requests.add);
  }
}

export type Resource = ReturnType<typeof packBundle>;

export const certificateOf = (leaf: Issued, ca: TestCa): Resource =>
  packCertificate('default', leaf.chainPem + ca.rootPem, leaf.keyPem);

export const rootsOf = (...cas: readonly TestCa[]): Resource =>
  packBundle('ROOTCA', cas.map((ca) => ca.rootPem).join(''));

export const rawResource = (typeUrl: string, value: Uint8Array): Resource =>
  create(AnySchema, { typeUrl, value });

export function give(
  stream: ServedStream,
  nonce: string,
  resources: readonly Resource[],
  typeUrl: string = SECRET_TYPE_URL,
): void {
  const answer = create(DiscoveryResponseSchema, { versionInfo: `v${nonce}`, nonce, typeUrl });
  answer.resources = [...resources];
  stream.call.write(answer);
}

/** What a source said. */
export class Heard {
  readonly secrets: Queue<SecretMaterial> = new Queue('a secret');
  readonly errors: Queue<string> = new Queue('an error');
  readonly waiting: Queue<string> = new Queue('a word on what is missing');
}

/** A connection that says nothing, open. */
export async function connectRaw(
  path: string,
): Promise<{ readonly closed: Promise<void>; write(text: string): void; end(): void }> {
  const opened = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  const socket = connect(path, () => opened.resolve());
  socket.on('error', opened.reject);
  socket.on('close', () => closed.resolve());
  socket.resume();
  await opened.promise;
  return {
    closed: withDeadline(closed.promise, WAIT_MS, 'the end of a raw connection'),
    write: (text) => void socket.write(text),
    end: () => void socket.destroy(),
  };
}
