/**
 * Reads HTTP/1 requests as the most forgiving of old servers would: what a smuggler hopes to find behind a proxy.
 */

export interface LenientRequest {
  readonly method: string;
  readonly target: string;
  /** The head as it came, up to and including the empty line, latin1. */
  readonly head: string;
  /** In order, names as they came, values trimmed. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
  /** First value of a header, by name in any case. */
  header(name: string): string | undefined;
}

/** Every whole request in `bytes`, and how many bytes they took. */
export function splitLeniently(
  bytes: Buffer,
  prefer: 'content-length' | 'transfer-encoding',
): { readonly requests: readonly LenientRequest[]; readonly consumed: number } {
  const requests: LenientRequest[] = [];
  let at = 0;
  for (;;) {
    const one = readOne(bytes, at, prefer);
    if (one === null) return { requests, consumed: at };
    requests.push(one.request);
    at = one.end;
  }
}

function readOne(
  bytes: Buffer,
  from: number,
  prefer: 'content-length' | 'transfer-encoding',
): { readonly request: LenientRequest; readonly end: number } | null {
  let start = from;
  while (bytes[start] === 0x0d || bytes[start] === 0x0a) start++;
  const text = bytes.toString('latin1', start);
  const blank = /\r?\n\r?\n/.exec(text);
  if (blank === null) return null;
  const head = text.slice(0, blank.index + blank[0].length);
  const [line = '', ...fieldLines] = head.trimEnd().split(/\r?\n/);
  const [method = '', target = ''] = line.split(/[ \t]+/);
  const headers = fieldLines.map((field): readonly [string, string] => {
    const colon = field.indexOf(':');
    return colon === -1 ? [field, ''] : [field.slice(0, colon), field.slice(colon + 1).trim()];
  });
  const header = (name: string): string | undefined =>
    headers.find(([key]) => key.trim().toLowerCase() === name.toLowerCase())?.[1];
  const body = readBody(bytes, start + head.length, header, prefer);
  if (body === null) return null;
  return { request: { method, target, head, headers, body: body.body, header }, end: body.end };
}

function readBody(
  bytes: Buffer,
  at: number,
  header: (name: string) => string | undefined,
  prefer: 'content-length' | 'transfer-encoding',
): { readonly body: Buffer; readonly end: number } | null {
  const length = header('content-length');
  // Any value that holds the word, as servers of the time did.
  const chunked = header('transfer-encoding')?.toLowerCase().includes('chunked') === true;
  if (chunked && (length === undefined || prefer === 'transfer-encoding')) return readChunks(bytes, at);
  const size = Number.parseInt(length ?? '0', 10) || 0;
  const end = at + size;
  return bytes.length < end ? null : { body: bytes.subarray(at, end), end };
}

function readChunks(bytes: Buffer, from: number): { readonly body: Buffer; readonly end: number } | null {
  const chunks: Buffer[] = [];
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf(0x0a, at);
    if (lineEnd === -1) return null;
    const size = Number.parseInt(bytes.toString('latin1', at, lineEnd).trim(), 16) || 0;
    at = lineEnd + 1;
    if (size === 0) {
      const end = endOfTrailers(bytes, at);
      return end === -1 ? null : { body: Buffer.concat(chunks), end };
    }
    if (bytes.length < at + size) return null;
    chunks.push(bytes.subarray(at, at + size));
    const next = bytes.indexOf(0x0a, at + size);
    if (next === -1) return null;
    at = next + 1;
  }
}

function endOfTrailers(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const lineEnd = bytes.indexOf(0x0a, at);
    if (lineEnd === -1) return -1;
    const line = bytes.toString('latin1', at, lineEnd).trim();
    at = lineEnd + 1;
    if (line === '') return at;
  }
}
