/** Authorization services that allow what carries `x-allow: yes`, and connections where `allowConnections`; they count. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import * as grpc from '@grpc/grpc-js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  CheckRequestSchema,
  CheckResponseSchema,
} from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';

const OK = 0;
const PERMISSION_DENIED = 7;

export interface CheckServer extends AsyncDisposable {
  readonly port: number;
  /** Paths that were asked about; '' for a connection. */
  readonly asked: readonly string[];
}

/** envoy.service.auth.v3.Authorization. */
export async function startGrpcCheckServer(allowConnections: boolean): Promise<CheckServer> {
  const asked: string[] = [];
  const server = new grpc.Server();
  const check = {
    path: '/envoy.service.auth.v3.Authorization/Check',
    requestStream: false,
    responseStream: false,
    requestSerialize: (bytes: Buffer) => bytes,
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => bytes,
    responseDeserialize: (bytes: Buffer) => bytes,
  } as const;
  server.addService(
    { check },
    {
      check: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
        const http = fromBinary(CheckRequestSchema, call.request).attributes?.request?.http;
        asked.push(http?.path ?? '');
        const isAllowed = http === undefined ? allowConnections : http.headers['x-allow'] === 'yes';
        const status = { code: isAllowed ? OK : PERMISSION_DENIED };
        answer(null, Buffer.from(toBinary(CheckResponseSchema, create(CheckResponseSchema, { status }))));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    port,
    asked,
    [Symbol.asyncDispose]: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

/** 200 or 403, with a header for the app. */
export async function startHttpCheckServer(): Promise<CheckServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    response
      .writeHead(request.headers['x-allow'] === 'yes' ? 200 : 403, { 'x-checked': 'by http' })
      .end('no\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
