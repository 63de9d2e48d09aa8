/**
 * One connection of a client: sends the bytes that it is given and reads until the other side closes.
 *
 * It verifies the sidecar as a client of the mesh does, by its SPIFFE ID; a sidecar that it cannot verify is an
 * error, not an answer.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { formatAddress } from '../core/address.ts';
import { SERVER_HOST, SERVER_ID } from './demo-names.ts';
import { withDeadline } from './with-deadline.ts';

/** In memory only. */
export interface Credentials {
  readonly chainPem: string;
  readonly keyPem: string;
}

export interface SecureClient {
  readonly rootPem: string;
  /** null: the client has no certificate. */
  readonly credentials: Credentials | null;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface Exchange {
  /** null: the connection was closed without a status. */
  readonly answer: Answer | null;
  /** The client's own address, as the sidecar's log has it. */
  readonly client: string;
  /** Of the certificate that the sidecar presented, lower-case hex; '' on plaintext. */
  readonly serverSerial: string;
}

/** Answers that are longer are none of ours. */
const MAX_ANSWER_BYTES = 65_536;

/** What verifies the sidecar, for whichever client. Full handshakes of TLS 1.3, whose end the client sees first. */
export function secureOptions(secure: SecureClient): tls.ConnectionOptions {
  const { rootPem, credentials } = secure;
  return {
    ca: rootPem,
    servername: SERVER_HOST,
    // Istio's: under PERMISSIVE it tells mTLS of the mesh from any other TLS.
    ALPNProtocols: ['istio-http/1.1', 'http/1.1'],
    minVersion: 'TLSv1.3',
    checkServerIdentity: (_name, { subjectaltname }) =>
      subjectaltname === `URI:${SERVER_ID}`
        ? undefined
        : new Error(`the sidecar is "${subjectaltname}", not "${SERVER_ID}"`),
    ...(credentials === null ? {} : { cert: credentials.chainPem, key: credentials.keyPem }),
  };
}

/** `secure: null` is plaintext. Resolves when the sidecar has closed: the request should ask for that. */
export async function exchange(
  address: { readonly host: string; readonly port: number },
  secure: SecureClient | null,
  request: string,
  signal: AbortSignal,
): Promise<Exchange> {
  const socket =
    secure === null ? net.connect(address) : tls.connect({ ...secureOptions(secure), ...address });
  // A refusal may well be a reset: what counts is what came before it.
  socket.on('error', () => {});
  try {
    await withDeadline(once(socket, secure === null ? 'connect' : 'secureConnect'), 'connection', { signal });
    const client = formatAddress({ ip: socket.localAddress ?? '', port: socket.localPort ?? 0 });
    const serverSerial = socket instanceof tls.TLSSocket ? serialOf(socket) : '';
    const received = readToClose(socket);
    socket.write(request, 'latin1');
    const bytes = await withDeadline(received, 'end of the connection', { signal });
    return { answer: parseAnswer(bytes), client, serverSerial };
  } finally {
    socket.destroy();
  }
}

/** The bytes until the other side closed, however it did. */
function readToClose(socket: net.Socket): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let received = '';
  socket.setEncoding('latin1');
  socket.on('data', (text: string) => {
    received += text;
    if (received.length > MAX_ANSWER_BYTES) reject(new Error(`more than ${MAX_ANSWER_BYTES} bytes came`));
  });
  socket.on('close', () => resolve(received));
  return promise;
}

function parseAnswer(bytes: string): Answer | null {
  if (bytes === '') return null;
  const headEnd = bytes.indexOf('\r\n\r\n');
  const status = /^HTTP\/1\.1 ([1-5][0-9]{2}) /.exec(bytes)?.[1];
  if (headEnd === -1 || status === undefined) {
    throw new Error(`what came is no HTTP answer: ${JSON.stringify(bytes.slice(0, 80))}`);
  }
  const body = bytes.slice(headEnd + 4);
  const length = /\r\ncontent-length: *([0-9]+)/i.exec(bytes.slice(0, headEnd))?.[1];
  if (length === undefined || Number(length) !== body.length) {
    throw new Error(`a body of ${body.length} bytes came, content-length says ${length ?? 'nothing'}`);
  }
  return { status: Number(status), body };
}

function serialOf(socket: tls.TLSSocket): string {
  return socket.getPeerX509Certificate()?.serialNumber.toLowerCase() ?? '';
}
