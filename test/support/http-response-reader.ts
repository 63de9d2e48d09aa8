/**
 * Reads one HTTP/1 response from bytes (RFC 9112 §6.3), as a plain client would; strict, so that a test that reads
 * a malformed response fails.
 */

export interface HttpResponse {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  /** In order, names as sent. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** 1xx heads that came before. */
  readonly interim: readonly {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
  }[];
  /** How the end of the body was told. */
  readonly framing: 'none' | 'content-length' | 'chunked' | 'close';
  /** First value of a header, by name in any case. */
  header(name: string): string | undefined;
}

type Pairs = readonly (readonly [string, string])[];

/** null: more bytes are needed. Throws on malformed bytes. */
export function readResponse(
  bytes: Buffer,
  method: string,
  ended: boolean,
): { readonly response: HttpResponse; readonly consumed: number } | null {
  const interim: { status: number; headers: Pairs }[] = [];
  let at = 0;
  for (;;) {
    const headEnd = bytes.indexOf('\r\n\r\n', at, 'latin1');
    if (headEnd === -1) return null;
    const lines = bytes.toString('latin1', at, headEnd).split('\r\n');
    const match = /^(HTTP\/1\.[01]) (\d{3}) ?(.*)$/.exec(lines[0] ?? '');
    if (match === null) throw new Error(`not a status line: ${JSON.stringify(lines[0])}`);
    const [, version = '', statusText = '', reason = ''] = match;
    const status = Number(statusText);
    const headers = lines.slice(1).map(splitField);
    at = headEnd + 4;
    if (status >= 100 && status < 200 && status !== 101) {
      interim.push({ status, headers });
      continue;
    }
    const body = readBody(bytes, at, headers, method, status, ended);
    if (body === null) return null;
    return {
      response: {
        version,
        status,
        reason,
        headers,
        body: body.body,
        trailers: body.trailers,
        interim,
        framing: body.framing,
        header: (name) => valueOf(headers, name),
      },
      consumed: body.end,
    };
  }
}

interface ReadBody {
  readonly body: Buffer;
  readonly trailers: Pairs;
  readonly framing: HttpResponse['framing'];
  readonly end: number;
}

function readBody(
  bytes: Buffer,
  at: number,
  headers: Pairs,
  method: string,
  status: number,
  ended: boolean,
): ReadBody | null {
  const none = { body: Buffer.alloc(0), trailers: [], framing: 'none', end: at } as const;
  if (method === 'HEAD' || status === 101 || status === 204 || status === 304) return none;
  if (method === 'CONNECT' && status < 300) return none;
  const coding = valueOf(headers, 'transfer-encoding');
  const length = valueOf(headers, 'content-length');
  if (coding !== undefined && length !== undefined)
    throw new Error('both Content-Length and Transfer-Encoding');
  if (coding !== undefined) {
    if (coding.toLowerCase() !== 'chunked') throw new Error(`Transfer-Encoding is "${coding}"`);
    return readChunked(bytes, at);
  }
  if (length !== undefined) {
    if (!/^\d+$/.test(length)) throw new Error(`Content-Length is "${length}"`);
    const end = at + Number(length);
    if (bytes.length < end) return null;
    return { body: bytes.subarray(at, end), trailers: [], framing: 'content-length', end };
  }
  if (!ended) return null;
  return { body: bytes.subarray(at), trailers: [], framing: 'close', end: bytes.length };
}

function readChunked(bytes: Buffer, from: number): ReadBody | null {
  const chunks: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at, 'latin1');
    if (lineEnd === -1) return null;
    const line = bytes.toString('latin1', at, lineEnd);
    const size = /^([0-9a-fA-F]+)(?:;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw new Error(`not a chunk size: ${JSON.stringify(line)}`);
    at = lineEnd + 2;
    const length = Number.parseInt(size, 16);
    if (length === 0) return readTrailers(bytes, at, Buffer.concat(chunks));
    if (bytes.length < at + length + 2) return null;
    chunks.push(bytes.subarray(at, at + length));
    at += length;
    if (bytes.toString('latin1', at, at + 2) !== '\r\n') throw new Error('a chunk does not end with CR LF');
    at += 2;
  }
}

function readTrailers(bytes: Buffer, from: number, body: Buffer): ReadBody | null {
  const trailers: (readonly [string, string])[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf('\r\n', at, 'latin1');
    if (lineEnd === -1) return null;
    const line = bytes.toString('latin1', at, lineEnd);
    at = lineEnd + 2;
    if (line === '') return { body, trailers, framing: 'chunked', end: at };
    trailers.push(splitField(line));
  }
}

function splitField(line: string): readonly [string, string] {
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
  if (match === null) throw new Error(`not a header field: ${JSON.stringify(line)}`);
  return [match[1] ?? '', match[2] ?? ''];
}

function valueOf(headers: Pairs, name: string): string | undefined {
  const wanted = name.toLowerCase();
  return headers.find(([key]) => key.toLowerCase() === wanted)?.[1];
}
