/**
 * The provider of the `ext-authz` scenario, `grpc` or `http` by its argument, as cheap as Node can be: it reads no
 * message, it only looks whether the field that denies is in it. Ends with its standard input.
 */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { CheckResponseSchema } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { CHECKED_FIELD, DENIED_BODY, DENY_FIELD } from './provider-answers.ts';

const PATH = '/envoy.service.auth.v3.Authorization/Check';
const PERMISSION_DENIED = 7;
const FORBIDDEN = 403;

/** Flag and length, then the message. */
function grpcMessage(answer: MessageInitShape<typeof CheckResponseSchema>): Buffer {
  const message = toBinary(CheckResponseSchema, create(CheckResponseSchema, answer));
  const framed = Buffer.alloc(5 + message.length);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, 5);
  return framed;
}

const ALLOWED = grpcMessage({
  status: {},
  httpResponse: {
    case: 'okResponse',
    value: { headers: [{ header: { key: CHECKED_FIELD.name, value: CHECKED_FIELD.value } }] },
  },
});

const DENIED = grpcMessage({
  status: { code: PERMISSION_DENIED },
  httpResponse: {
    case: 'deniedResponse',
    value: { status: { code: FORBIDDEN }, body: DENIED_BODY },
  },
});

function grpcServer(): Http2Server {
  const server = createHttp2Server({ settings: { maxConcurrentStreams: 1024 } });
  server.on('sessionError', () => undefined);
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const chunks: Buffer[] = [];
    stream.on('error', () => stream.destroy());
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const isCheck = headers[':path'] === PATH;
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': isCheck ? '0' : '12' }));
      stream.end(Buffer.concat(chunks).includes(DENY_FIELD) ? DENIED : ALLOWED);
    });
  });
  return server;
}

function httpServer(): Server {
  return createServer({ keepAliveTimeout: 300_000 }, (request, response) => {
    if (request.headers[DENY_FIELD] === undefined)
      response.writeHead(200, { [CHECKED_FIELD.name]: CHECKED_FIELD.value, 'content-length': 0 }).end();
    else response.writeHead(FORBIDDEN, { 'content-length': DENIED_BODY.length }).end(DENIED_BODY);
  });
}

const server = process.argv[2] === 'http' ? httpServer() : grpcServer();
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
