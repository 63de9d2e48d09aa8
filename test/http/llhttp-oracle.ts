/** Node's own HTTP server on a stream in memory: how llhttp, with its strict defaults, reads the same bytes. */
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Duplex } from 'node:stream';

export interface OracleRequest {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  /** Flat, names in lower case. */
  readonly fields: readonly string[];
  readonly body: string;
  readonly trailers: readonly string[];
}

export class LlhttpOracle {
  readonly #server: Server;
  #seen: OracleRequest[] = [];

  constructor() {
    this.#server = createServer({
      maxHeaderSize: 1_000_000,
      insecureHTTPParser: false,
      joinDuplicateHeaders: false,
    });
    this.#server.maxHeadersCount = 0;
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      this.#read(request, () => response.end());
    };
    this.#server.on('request', onRequest);
    // An Expect of another value than 100-continue, the empty one too: node:http would answer 417 by itself.
    this.#server.on('checkExpectation', onRequest);
    // What was whole before an error is still read to its end: `read` destroys the stream.
    this.#server.on('clientError', () => undefined);
  }

  /** The whole requests that it read, in order. */
  async read(bytes: Buffer): Promise<readonly OracleRequest[]> {
    const seen: OracleRequest[] = [];
    this.#seen = seen;
    const stream = new Duplex({
      read: () => undefined,
      write: (_chunk, _encoding, done) => done(),
    });
    const closed = new Promise<void>((resolve) => {
      stream.once('close', resolve);
    });
    stream.on('error', () => undefined);
    this.#server.emit('connection', stream);
    stream.push(bytes);
    // No I/O is involved: what can happen has happened after a few turns.
    for (let turn = 0; turn < 3; turn++) await new Promise((resume) => setImmediate(resume));
    stream.destroy();
    await closed;
    return seen;
  }

  #read(request: IncomingMessage, done: () => void): void {
    const chunks: Buffer[] = [];
    const seen = this.#seen;
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      seen.push({
        method: request.method ?? '',
        target: request.url ?? '',
        version: request.httpVersion,
        fields: lowerNames(request.rawHeaders),
        body: Buffer.concat(chunks).toString('latin1'),
        trailers: lowerNames(request.rawTrailers),
      });
      done();
    });
  }
}

function lowerNames(raw: readonly string[]): string[] {
  return raw.map((text, index) => (index % 2 === 0 ? text.toLowerCase() : text));
}
