/**
 * Services of `gen` on grpc-js: a definition for its server, typed handlers, and typed calls for its client.
 *
 * What a handler throws reaches the caller only if it is a `GrpcError`; of anything else no word leaves the process.
 */
import {
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type handleBidiStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type MethodDefinition,
  type Server,
  type ServerUnaryCall,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';

/** A failure that the other side of a call is told, with its status. */
export class GrpcError extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.name = 'GrpcError';
    this.code = code;
  }
}

/** How a method is served: unary ones by a function that answers or throws, streams as grpc-js has them. */
export type GrpcHandler<Method extends DescMethod> =
  Method extends DescMethodUnary<infer Input, infer Output>
    ? (
        request: MessageShape<Input>,
        call: ServerUnaryCall<MessageShape<Input>, MessageShape<Output>>,
      ) => Promise<MessageShape<Output>> | MessageShape<Output>
    : Method extends DescMethodBiDiStreaming<infer Input, infer Output>
      ? handleBidiStreamingCall<MessageShape<Input>, MessageShape<Output>>
      : never;

/** By the method's name in generated code, e.g. `streamSecrets`. A method without a handler is UNIMPLEMENTED. */
export type GrpcHandlers<Service extends DescService> = {
  readonly [Name in keyof Service['method']]?: GrpcHandler<Service['method'][Name]>;
};

export interface GrpcCallOptions {
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED. */
  readonly timeoutMs: number;
  readonly metadata: Metadata;
  readonly signal?: AbortSignal;
}

/** Adds the service's handlers to a server. */
export function serveGrpc<Service extends DescService>(
  server: Server,
  service: Service,
  handlers: GrpcHandlers<Service>,
): void {
  const definition: Record<string, MethodDefinition<object, object>> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    definition[method.localName] = methodDefinition(method);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its key and its type come from the same method
    const handler = (handlers as Record<string, unknown>)[method.localName];
    if (handler === undefined) continue;
    implementation[method.localName] =
      method.methodKind === 'unary'
        ? // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
          unaryCall(handler as UnaryHandler)
        : // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
          (handler as handleBidiStreamingCall<unknown, unknown>);
  }
  server.addService(definition, implementation);
}

/** One request, one answer; rejects with grpc-js's `ServiceError`. */
export function callUnary<Input extends DescMessage, Output extends DescMessage>(
  client: Client,
  method: DescMethodUnary<Input, Output>,
  request: MessageShape<Input>,
  options: GrpcCallOptions,
): Promise<MessageShape<Output>> {
  const { promise, resolve, reject } = Promise.withResolvers<MessageShape<Output>>();
  const { signal } = options;
  if (signal?.aborted === true)
    return Promise.reject(new GrpcError(status.CANCELLED, 'The call was given up before it began'));
  const call = client.makeUnaryRequest(
    methodPath(method),
    serializer(method.input),
    deserializer(method.output),
    request,
    options.metadata,
    { deadline: Date.now() + options.timeoutMs },
    (error: ServiceError | null, answer?: MessageShape<Output>) => {
      signal?.removeEventListener('abort', abort);
      if (error !== null) reject(error);
      else if (answer === undefined) reject(new GrpcError(status.INTERNAL, 'The answer is missing'));
      else resolve(answer);
    },
  );
  const abort = (): void => {
    call.cancel();
  };
  signal?.addEventListener('abort', abort, { once: true });
  return promise;
}

/** Opens a stream of requests and answers. The caller listens to `error` before it does anything else. */
export function openStream<Input extends DescMessage, Output extends DescMessage>(
  client: Client,
  method: DescMethodBiDiStreaming<Input, Output>,
  metadata: Metadata,
  options: CallOptions = {},
): ClientDuplexStream<MessageShape<Input>, MessageShape<Output>> {
  return client.makeBidiStreamRequest(
    methodPath(method),
    serializer(method.input),
    deserializer(method.output),
    metadata,
    options,
  );
}

type UnaryHandler = (request: unknown, call: ServerUnaryCall<unknown, unknown>) => unknown;

function unaryCall(handler: UnaryHandler): handleUnaryCall<unknown, unknown> {
  const respond: (...args: Parameters<handleUnaryCall<unknown, unknown>>) => Promise<void> = async (
    call,
    callback,
  ) => {
    let answer: unknown;
    try {
      answer = await handler(call.request, call);
    } catch (thrown) {
      callback(
        thrown instanceof GrpcError
          ? { code: thrown.code, details: thrown.message }
          : { code: status.INTERNAL, details: 'internal error' },
      );
      return;
    }
    callback(null, answer);
  };
  return (call, callback) => {
    void respond(call, callback);
  };
}

function methodDefinition(method: DescMethod): MethodDefinition<object, object> {
  const { methodKind } = method;
  return {
    path: methodPath(method),
    requestStream: methodKind === 'client_streaming' || methodKind === 'bidi_streaming',
    responseStream: methodKind === 'server_streaming' || methodKind === 'bidi_streaming',
    requestSerialize: serializer(method.input),
    requestDeserialize: deserializer(method.input),
    responseSerialize: serializer(method.output),
    responseDeserialize: deserializer(method.output),
  };
}

function methodPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function serializer(schema: DescMessage): (message: object) => Buffer {
  return (message) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- grpc-js gives what the typed call was given
    const bytes = toBinary(schema, message as MessageShape<DescMessage>);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

/** Fields that we do not know are dropped: nothing here passes a message on. */
function deserializer<Schema extends DescMessage>(schema: Schema): (bytes: Buffer) => MessageShape<Schema> {
  return (bytes) => fromBinary(schema, bytes, { readUnknownFields: false });
}
