/**
 * A small HTTP server for people and tools on this host: it serves a table of endpoint → function given to it.
 * The admin, readiness and metrics listeners are all of this kind. It is not on the data path.
 *
 * Every bound is here: connections, header and body sizes, times. An answer never carries a stack trace.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { detach } from '../core/detach.ts';
import { messageOf } from '../core/errors.ts';
import { foreignHost, foreignOrigin } from './admin-access.ts';
import { SILENT_LOG } from './log.ts';
import type { Log } from './log.ts';

export const ADMIN_MAX_CONNECTIONS = 128;
export const ADMIN_MAX_HEADER_BYTES = 8_192;
export const ADMIN_MAX_BODY_BYTES = 65_536;
export const ADMIN_HEADERS_TIMEOUT_MS = 5_000;
export const ADMIN_REQUEST_TIMEOUT_MS = 10_000;
/** A connection on which nothing moves is closed, one that does not read its answer included. */
export const ADMIN_IDLE_TIMEOUT_MS = 15_000;

export interface EndpointRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

export interface EndpointAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface Endpoint {
  /** Whatever changes state is POST. GET also answers HEAD. */
  readonly method: 'GET' | 'POST';
  /** One line for the index. */
  readonly help: string;
  readonly answer: (request: EndpointRequest) => EndpointAnswer | Promise<EndpointAnswer>;
}

/** Endpoints by path. */
export type EndpointTable = Readonly<Record<string, Endpoint>>;

export interface AdminServerOptions {
  readonly bind: string;
  /** 0: a free one. */
  readonly port: number;
  readonly endpoints: EndpointTable;
  /** `admin`: only under a Host of this host. `open`: under any name; for what carries no secrets. */
  readonly access: 'admin' | 'open';
  readonly log?: Log;
}

export interface AdminServer {
  address(): { readonly ip: string; readonly port: number };
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

const TEXT = 'text/plain; charset=utf-8';

/**
 * Not by an import statement: for that Node reads every export of `node:http`, and behind some of them it loads
 * its whole fetch (undici, HTTP/2, zlib, web streams), 10 MB that no sidecar uses.
 */
const { createServer } = process.getBuiltinModule('node:http');

/** A text answer. */
export function textAnswer(status: number, body: string): EndpointAnswer {
  return { status, contentType: TEXT, body };
}

/** A JSON answer, indented for people. */
export function jsonAnswer(value: unknown): EndpointAnswer {
  return { status: 200, contentType: 'application/json', body: `${JSON.stringify(value, null, 1)}\n` };
}

/** Rejects if the address cannot be listened on. */
export function openAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const log = options.log ?? SILENT_LOG;
  const server = createServer(
    {
      maxHeaderSize: ADMIN_MAX_HEADER_BYTES,
      headersTimeout: ADMIN_HEADERS_TIMEOUT_MS,
      requestTimeout: ADMIN_REQUEST_TIMEOUT_MS,
      keepAliveTimeout: ADMIN_IDLE_TIMEOUT_MS,
      connectionsCheckingInterval: 1_000,
      insecureHTTPParser: false,
    },
    (request, response) => {
      detach(serve(request, response, options), (thrown) => {
        if (response.destroyed) return;
        log.error('bug', { thrown, path: request.url }, `An admin endpoint failed: ${messageOf(thrown)}`);
        if (response.headersSent) response.destroy();
        else send(request, response, textAnswer(500, 'internal error; see the log\n'));
      });
    },
  );
  server.maxConnections = ADMIN_MAX_CONNECTIONS;
  server.maxHeadersCount = 64;
  server.timeout = ADMIN_IDLE_TIMEOUT_MS;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.bind, () => {
      server.off('error', reject);
      server.on('error', (error) => log.error('bug', { error }, 'The admin listener failed'));
      resolve(handleOf(server));
    });
  });
}

function handleOf(server: Server): AdminServer {
  let closing: Promise<void> | null = null;
  return {
    address() {
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a TCP listener has no other
      const { address, port } = server.address() as AddressInfo;
      return { ip: address, port };
    },
    close() {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closing;
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminServerOptions,
): Promise<void> {
  // A peer that goes away in the middle is no event.
  request.on('error', () => {});
  response.on('error', () => {});
  const answer = await answerOf(request, options);
  send(request, response, answer);
}

async function answerOf(request: IncomingMessage, options: AdminServerOptions): Promise<Answer> {
  const foreign = foreignReason(request, options.access);
  if (foreign !== null) return textAnswer(403, `refused: ${printable(foreign)}\n`);
  const target = request.url ?? '';
  // `//host/…` and `http://host/…` are not paths of ours.
  if (!target.startsWith('/') || target.startsWith('//')) return textAnswer(400, 'bad request target\n');
  const at = target.indexOf('?');
  const path = at < 0 ? target : target.slice(0, at);
  const endpoint = Object.hasOwn(options.endpoints, path) ? options.endpoints[path] : undefined;
  const method = request.method ?? '';
  if (endpoint === undefined && path !== '/') return textAnswer(404, 'no such endpoint; / lists them\n');
  const allowed = endpoint?.method === 'POST' ? ['POST'] : ['GET', 'HEAD'];
  if (!allowed.includes(method)) {
    const allow = allowed.join(', ');
    return { ...textAnswer(405, `method not allowed; use ${allow}\n`), allow };
  }
  if (endpoint === undefined) return textAnswer(200, indexOf(options.endpoints));
  const body = await readBody(request);
  if (body === null) return textAnswer(413, `the body exceeds ${ADMIN_MAX_BODY_BYTES} bytes\n`);
  return endpoint.answer({ path, query: new URLSearchParams(at < 0 ? '' : target.slice(at + 1)), body });
}

/** An answer with what only 405 needs. */
interface Answer extends EndpointAnswer {
  readonly allow?: string;
}

function foreignReason(request: IncomingMessage, access: 'admin' | 'open'): string | null {
  if (access === 'admin') {
    let hosts = 0;
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
      if (request.rawHeaders[i]!.toLowerCase() === 'host') hosts++;
    }
    const foreign = foreignHost(request.headers, hosts, request.socket.localAddress ?? '');
    if (foreign !== null) return foreign;
  }
  return foreignOrigin(request.headers);
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200);
}

function indexOf(endpoints: EndpointTable): string {
  const lines = Object.entries(endpoints).map(
    ([path, { method, help }]) => `${method.padEnd(5)}${path}: ${help}\n`,
  );
  return lines.toSorted().join('');
}

/** null: too large; the rest is not read. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  // Not destroyed when it is too large: the answer goes the same way.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    if (!Buffer.isBuffer(chunk)) continue;
    size += chunk.length;
    if (size > ADMIN_MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body);
  // What was refused before its body was read cannot be followed by another request.
  const over = !request.complete || answer.status === 403;
  response.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': body.length,
    'cache-control': 'no-cache, max-age=0',
    'x-content-type-options': 'nosniff',
    ...(answer.allow === undefined ? {} : { allow: answer.allow }),
    ...(over ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
