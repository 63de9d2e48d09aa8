/** What a gRPC provider is told of a request or a connection: the attributes that Envoy sends with Istio's settings. */
import { create, toBinary } from '@bufbuild/protobuf';
import { isUtf8 } from 'node:buffer';
import type { Address } from '../core/address.ts';
import type { ConnectionFacts, RequestContext } from '../http/filter.ts';
import {
  AttributeContext_HttpRequestSchema,
  AttributeContext_PeerSchema,
} from '../wire/gen/envoy/service/auth/v3/attribute_context_pb.ts';
import type {
  AttributeContext_HttpRequest,
  AttributeContext_Peer,
} from '../wire/gen/envoy/service/auth/v3/attribute_context_pb.ts';
import { CheckRequestSchema } from '../wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { PARTIAL_BODY_HEADER } from './ext-authz-answer.ts';
import type { CheckedBody } from './ext-authz-answer.ts';

const PROTOCOLS = { '1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2' } as const;

/** `attributes.request.http.id`: differs from request to request, and says nothing. */
let lastId = process.hrtime.bigint();

export function requestCheck(
  request: RequestContext,
  body: CheckedBody | null,
  packAsBytes: boolean,
  ownSpiffeId: string,
): Uint8Array {
  const { connection } = request;
  const nowMs = Date.now();
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        ...peersOf(connection, ownSpiffeId),
        request: {
          time: { seconds: BigInt(Math.floor(nowMs / 1_000)), nanos: (nowMs % 1_000) * 1_000_000 },
          http: httpOf(request, body, packAsBytes),
        },
        metadataContext: {},
        routeMetadataContext: {},
      },
    }),
  );
}

export function connectionCheck(connection: ConnectionFacts, ownSpiffeId: string): Uint8Array {
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        ...peersOf(connection, ownSpiffeId),
        metadataContext: {},
        ...(connection.sni === '' ? {} : { tlsSession: { sni: connection.sni } }),
      },
    }),
  );
}

function peersOf(
  { destination, peer, remote }: ConnectionFacts,
  ownSpiffeId: string,
): { source: AttributeContext_Peer; destination: AttributeContext_Peer } {
  const principal = peer === null ? '' : peer.spiffeId || peer.dnsNames[0] || peer.subject;
  return {
    source: peerOf(remote, principal),
    destination: peerOf(destination, peer === null ? '' : ownSpiffeId),
  };
}

function peerOf({ ip, port }: Address, principal: string): AttributeContext_Peer {
  return create(AttributeContext_PeerSchema, {
    principal,
    address: {
      address: {
        case: 'socketAddress',
        value: { address: ip, portSpecifier: { case: 'portValue', value: port } },
      },
    },
  });
}

function httpOf(
  { connection, head }: RequestContext,
  body: CheckedBody | null,
  packAsBytes: boolean,
): AttributeContext_HttpRequest {
  const scheme = connection.tls ? 'https' : 'http';
  // No prototype: a field may be called `__proto__`.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it has no members at all
  const headers = Object.create(null) as Record<string, string>;
  headers[':authority'] = head.authority;
  headers[':method'] = head.method;
  headers[':path'] = head.path;
  headers[':scheme'] = scheme;
  const { fields } = head;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const value = textOf(fields[i + 1]!);
    const before = headers[name];
    headers[name] = before === undefined ? value : `${before},${value}`;
  }
  if (head.bodyLength > 0 || (head.bodyLength === 0 && head.statesEmptyBody))
    headers['content-length'] = String(head.bodyLength);
  if (head.acceptsTrailers) headers['te'] = 'trailers';
  if (body !== null) headers[PARTIAL_BODY_HEADER] = String(body.partial);
  return create(AttributeContext_HttpRequestSchema, {
    id: String(++lastId),
    method: head.method,
    headers,
    path: head.path,
    host: head.authority,
    scheme,
    size: BigInt(body === null ? 0 : body.partial ? head.bodyLength : body.bytes.length),
    protocol: PROTOCOLS[head.version],
    ...(body === null ? {} : packAsBytes ? { rawBody: body.bytes } : { body: utf8Of(body.bytes) }),
  });
}

/** A field's value is bytes, protobuf's strings are UTF-8: bytes that are not become `!`, as in Envoy. */
function textOf(latin1: string): string {
  for (let i = 0; i < latin1.length; i++)
    if (latin1.charCodeAt(i) > 127) return utf8Of(Buffer.from(latin1, 'latin1'));
  return latin1;
}

function utf8Of(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    text += length === 0 ? '!' : bytes.toString('utf8', at, at + length);
    at += Math.max(1, length);
  }
  return text;
}

/** Bytes of the well-formed character at `at`; 0: there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  return isUtf8(bytes.subarray(at, Math.min(at + length, bytes.length))) ? length : 0;
}
