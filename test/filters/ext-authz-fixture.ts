/**
 * A sidecar's HTTP chain with a CUSTOM policy, its provider and its app, all on loopback: what a test sends to the
 * proxy is judged by a scripted provider, gRPC or HTTP.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { ExtAuthzProvider } from '../../src/core/authorization-plan.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type { Limits } from '../../src/core/limits.ts';
import { ExtAuthzUpstreams } from '../../src/ext-authz-upstreams.ts';
import { ExtAuthzFilter } from '../../src/filters/ext-authz.ts';
import {
  ClusterExtAuthzCounters,
  ExtAuthzCounters,
  RbacCounters,
  TcpExtAuthzCounters,
} from '../../src/observe/policy-counters.ts';
import type { CustomRules, MatchedRule } from '../../src/policy/decision.ts';
import type { PolicyRequest } from '../../src/policy/policy-request.ts';
import type { ClusterUpstream } from '../../src/upstream/cluster-upstream.ts';
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import type { CheckRequest } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { startProxy } from '../http/proxy-fixture.ts';
import type { Proxy, ProxyOptions } from '../http/proxy-fixture.ts';
import { EXT_AUTHZ_DEFAULTS } from '../support/ext-authz-defaults.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordingUpstream } from '../support/recording-upstream.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { CLUSTER, makeWorld } from '../upstream/upstream-fixture.ts';
import type { World, WorldOptions } from '../upstream/upstream-fixture.ts';

export const KEY = 'istio-ext-authz-opa-ns[foo]-policy[ask]-rule[0]';

export function providerOf(port: number, differs: Partial<ExtAuthzProvider> = {}): ExtAuthzProvider {
  return {
    ...EXT_AUTHZ_DEFAULTS,
    name: 'opa',
    cluster: CLUSTER,
    host: 'opa.opa-system.svc.cluster.local',
    port,
    ...differs,
  };
}

/** Rules that match what the test says; paths below `/open` are nobody's business. */
export function customRules(
  matches: (request: PolicyRequest | null) => boolean = (request) =>
    request === null || !request.path.startsWith('/open'),
  problem = '',
  provider = 'opa',
): CustomRules {
  const suffix = problem === '' ? '' : '-deny-due-to-bad-CUSTOM-action';
  const key = KEY.replace('-opa-', `-${provider}-`) + suffix;
  const matched: MatchedRule = { key, namespace: 'foo', name: 'ask', rule: 0 };
  return {
    provider,
    problem,
    rules: {
      action: 'CUSTOM',
      size: 1,
      match: (_connection, request) => (matches(request) ? matched : null),
      explain: () => [],
    },
  };
}

/** One call of a gRPC provider. */
export interface Call {
  readonly check: CheckRequest;
  readonly metadata: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
  /** Whether the caller gave up. */
  readonly cancelled: Promise<void>;
}

export type CheckScript = (call: Call) => MessageInitShape<typeof CheckResponseSchema> | null;

export function grpcFrame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** Answers a call as a gRPC server does. */
export function answerCall(
  stream: ServerHttp2Stream,
  response: MessageInitShape<typeof CheckResponseSchema>,
  grpcStatus = '0',
): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': grpcStatus }));
  stream.end(grpcFrame(toBinary(CheckResponseSchema, create(CheckResponseSchema, response))));
}

/** A provider on node:http2 that answers by a script; null: the script answers itself, or never. */
export class GrpcProvider implements AsyncDisposable {
  readonly calls: Call[] = [];
  readonly sessions: ServerHttp2Session[] = [];
  readonly server: Http2Server;
  script: CheckScript;
  readonly #sockets = new Set<Socket>();
  #wake = Promise.withResolvers<void>();

  constructor(script: CheckScript) {
    this.script = script;
    this.server = createServer();
    this.server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.server.on('session', (session: ServerHttp2Session) => {
      session.on('error', () => {});
      this.sessions.push(session);
    });
    this.server.on('stream', (stream: ServerHttp2Stream, metadata: IncomingHttpHeaders) => {
      this.#take(stream, metadata);
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async call(index = 0): Promise<Call> {
    const loop = async (): Promise<Call> => {
      for (;;) {
        const call = this.calls[index];
        if (call !== undefined) return call;
        await this.#wake.promise;
      }
    };
    return withDeadline(loop(), 5_000, `check ${index}`, () => `${this.calls.length} checks`);
  }

  async listen(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  #take(stream: ServerHttp2Stream, metadata: IncomingHttpHeaders): void {
    const chunks: Buffer[] = [];
    const { promise: cancelled, resolve } = Promise.withResolvers<void>();
    stream.on('error', () => {});
    stream.on('aborted', resolve);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      if (stream.aborted) return;
      const check = fromBinary(CheckRequestSchema, Buffer.concat(chunks).subarray(5));
      const call: Call = { check, metadata, stream, cancelled };
      this.calls.push(call);
      const answer = this.script(call);
      if (answer !== null) answerCall(stream, answer);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    });
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    for (const session of this.sessions) session.destroy();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export function startGrpcProvider(script: CheckScript): Promise<GrpcProvider> {
  return new GrpcProvider(script).listen();
}

export interface GuardedOptions {
  readonly provider?: Partial<ExtAuthzProvider>;
  readonly port: number;
  readonly limits?: Partial<Limits>;
  readonly proxy?: Partial<ProxyOptions>;
  readonly app?: Parameters<typeof startRecordingUpstream>[0];
  readonly rules?: CustomRules;
  readonly world?: WorldOptions;
}

/** Whatever an ext_authz filter counts. */
export class FilterCounters {
  readonly http = new ExtAuthzCounters();
  readonly tcp = new TcpExtAuthzCounters();
  readonly cluster = new ClusterExtAuthzCounters();
  readonly rbac = { http: new RbacCounters(), tcp: new RbacCounters() };
}

export interface Guarded extends AsyncDisposable {
  readonly proxy: Proxy;
  readonly app: RecordingUpstream;
  readonly counters: FilterCounters;
  readonly upstreams: ExtAuthzUpstreams;
  readonly world: World;
  readonly filter: ExtAuthzFilter;
  readonly provider: ExtAuthzProvider;
}

/** A filter for a provider on loopback, without anything around it. */
export function makeFilter(options: Omit<GuardedOptions, 'proxy' | 'app'>): {
  readonly world: World;
  readonly counters: FilterCounters;
  readonly upstreams: ExtAuthzUpstreams;
  readonly filter: ExtAuthzFilter;
  readonly provider: ExtAuthzProvider;
  readonly cluster: ClusterUpstream;
} {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const world = makeWorld({ ...options.world, limits });
  const cluster = world.upstream([
    { target: { host: '127.0.0.1', port: options.port, cluster: CLUSTER }, weight: 1 },
  ]);
  const counters = new FilterCounters();
  const upstreams = new ExtAuthzUpstreams({
    upstreamOf: () => cluster,
    limits: () => limits,
    ownSpiffeId: () => 'spiffe://cluster.local/ns/foo/sa/httpbin',
  });
  const provider = providerOf(options.port, options.provider);
  const rules = options.rules ?? customRules();
  const filter = new ExtAuthzFilter({
    provider,
    client: upstreams.clientOf(provider),
    http: rules,
    tcp: rules,
    counters,
    limits,
    log: world.log,
  });
  return { world, counters, upstreams, filter, provider, cluster };
}

export async function startGuarded(options: GuardedOptions): Promise<Guarded> {
  const made = makeFilter(options);
  const app = await startRecordingUpstream(options.app);
  const proxy = await startProxy({
    upstreamPort: app.port,
    ...options.proxy,
    filters: [made.filter, ...(options.proxy?.filters ?? [])],
  });
  return {
    ...made,
    app,
    proxy,
    [Symbol.asyncDispose]: async () => {
      await proxy.close();
      made.upstreams.close();
      made.world.pools.close();
      await app.close();
      if (made.world.bugs.length > 0) throw made.world.bugs[0];
    },
  };
}

/** Sends one request on a connection of its own and reads the answer. */
export async function ask(
  proxy: Proxy,
  target = '/',
  fields = '',
  method = 'GET',
  body = '',
): Promise<{ status: number; body: string; header: (name: string) => string | undefined; text: string }> {
  using client = await proxy.connect();
  await client.write(`${method} ${target} HTTP/1.1\r\nhost: httpbin\r\n${fields}\r\n${body}`);
  const response = await client.readResponse(method);
  return {
    status: response.status,
    body: response.body.toString('latin1'),
    header: (name) => response.header(name),
    text: response.headers.map(([name, value]) => `${name}: ${value}`).join('\n'),
  };
}
