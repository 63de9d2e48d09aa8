/**
 * One connection to an SDS server, from the first attempt to its end: a channel of its own and a stream for each name,
 * as Envoy has them, so that every server that serves Envoy serves us.
 *
 * It ends once, with a reason, and is never mended: whoever made it makes another one.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata, status } from '@grpc/grpc-js';
import type {
  DiscoveryRequest,
  DiscoveryResponse,
} from '../wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { DiscoveryRequestSchema } from '../wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../wire/gen/envoy/service/secret/v3/sds_pb.ts';
import { openStream } from '../wire/grpc-service.ts';
import {
  MAX_SDS_MESSAGE_BYTES,
  readAnswer,
  type SdsContent,
  type SdsKind,
  SECRET_TYPE_URL,
  shortReason,
} from './sds-resources.ts';

export interface SdsConnectionOptions {
  /** Absolute path of the socket. */
  readonly socket: string;
  readonly names: Readonly<Record<SdsKind, string>>;
  /** '': none is sent. */
  readonly token: string;
  /** Who we are, for the server's log. */
  readonly node: string;
  /** Both names must have been answered in this time. */
  readonly answerTimeoutMs: number;
  /** `accept` or `refuse` once it is known which; the server is told if the answer is still the last one. */
  onContent(content: SdsContent, accept: () => void, refuse: (why: string) => void): void;
  /** An answer that says nothing that could be taken; the server has been told. */
  onRefused(name: string, why: string): void;
  onEnd(why: string): void;
}

/**
 * A server that hangs is found by pings. Servers in Go close the connection of a client that pings more often than
 * every five minutes.
 */
const PING_INTERVAL_MS = 360_000;
const PING_TIMEOUT_MS = 20_000;
const MAX_SESSION_MEMORY = 10;

type Call = ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;

export class SdsConnection {
  readonly #options: SdsConnectionOptions;
  readonly #client: Client;
  readonly #calls: Call[] = [];
  readonly #unanswered: Set<SdsKind> = new Set(['certificate', 'bundle']);
  readonly #timer: NodeJS.Timeout;
  #isEnded = false;

  constructor(options: SdsConnectionOptions) {
    this.#options = options;
    this.#client = new Client(`unix:${options.socket}`, credentials.createInsecure(), {
      // A channel shared with an earlier connection would go on with that one's back-off.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_channelz': 0,
      'grpc.max_receive_message_length': MAX_SDS_MESSAGE_BYTES,
      'grpc-node.max_session_memory': MAX_SESSION_MEMORY,
      'grpc.keepalive_time_ms': PING_INTERVAL_MS,
      'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
    });
    this.#timer = setTimeout(() => {
      this.#end(`no answer in ${options.answerTimeoutMs} ms`);
    }, options.answerTimeoutMs);
    const metadata = new Metadata();
    if (options.token !== '') metadata.set('authorization', `Bearer ${options.token}`);
    for (const kind of ['certificate', 'bundle'] as const) this.#open(kind, metadata);
  }

  /** Ends everything; nothing is told after it. */
  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearTimeout(this.#timer);
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  #open(kind: SdsKind, metadata: Metadata): void {
    const name = this.#options.names[kind];
    const call = openStream(this.#client, SecretDiscoveryService.method.streamSecrets, metadata);
    this.#calls.push(call);
    // Without a listener an error would be thrown; the status says the same.
    call.on('error', () => undefined);
    call.on('status', ({ code, details }) => {
      this.#end(code === status.OK ? 'the server ended the stream' : plainReason(code, details));
    });
    const writer = new RequestWriter(call);
    const say = (said: MessageInitShape<typeof DiscoveryRequestSchema>): DiscoveryRequest => {
      const request = create(DiscoveryRequestSchema, said);
      request.resourceNames = [name];
      request.typeUrl = SECRET_TYPE_URL;
      return request;
    };
    let version = '';
    let lastNonce = '';
    call.on('data', (answer: DiscoveryResponse) => {
      if (this.#isEnded) return;
      this.#unanswered.delete(kind);
      if (this.#unanswered.size === 0) clearTimeout(this.#timer);
      const { nonce, versionInfo } = answer;
      lastNonce = nonce;
      const accept = (): void => {
        if (this.#isEnded || nonce !== lastNonce) return;
        version = versionInfo;
        writer.send(say({ versionInfo, responseNonce: nonce }));
      };
      const refuse = (why: string): void => {
        if (this.#isEnded || nonce !== lastNonce) return;
        const errorDetail = { code: status.INVALID_ARGUMENT, message: shortReason(why) };
        writer.send(say({ versionInfo: version, responseNonce: nonce, errorDetail }));
        this.#options.onRefused(name, shortReason(why));
      };
      const content = readAnswer(answer, name, kind);
      if ('problem' in content) refuse(content.problem);
      else this.#options.onContent(content, accept, refuse);
    });
    // No version: a server may leave out an answer that says what we had, and we want to know that it is there.
    writer.send(say({ node: { id: this.#options.node, cluster: this.#options.node } }));
  }

  #end(why: string): void {
    if (this.#isEnded) return;
    this.close();
    this.#options.onEnd(shortReason(why));
  }
}

/** At most one request waits: a later one says all that an earlier one said, and a server may not read any. */
class RequestWriter {
  readonly #call: Call;
  #isWriting = false;
  #waiting: DiscoveryRequest | null = null;

  constructor(call: Call) {
    this.#call = call;
  }

  send(request: DiscoveryRequest): void {
    if (this.#isWriting) {
      this.#waiting = request;
      return;
    }
    this.#isWriting = true;
    this.#call.write(request, () => {
      this.#isWriting = false;
      const waiting = this.#waiting;
      this.#waiting = null;
      if (waiting !== null) this.send(waiting);
    });
  }
}

/** grpc-js wraps the reason of a failed connect into several sentences, with the time of day. */
function plainReason(code: status, details: string): string {
  const failed = /Last error: (?:Error: )?(.*?)(?: \(\d{4}-[^)]*\))?\. Resolution note/s.exec(details)?.[1];
  return failed ?? `${status[code]}: ${details}`;
}
