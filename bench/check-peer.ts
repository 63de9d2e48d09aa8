/**
 * Before anything is timed: each peer gives the same answer, shows the client's identity to the app if it can, and
 * refuses whoever is not of the mesh. A peer that skips a check would win with it.
 */
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { CLIENT_URI } from './certificates.ts';
import type { CertificateFiles, Certificates } from './certificates.ts';
import { answerBody } from './load/answer.ts';
import type { RunningPeer } from './peers/running-peer.ts';

const ANSWER_MS = 10_000;

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** One request with `connection: close`; null if the peer gave no HTTP answer at all. */
export function ask(
  socket: Socket,
  path: string,
  host: string = 'httpbin.foo:8000',
  fields: string = '',
): Promise<Answer | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      const bytes = Buffer.concat(chunks);
      const end = bytes.indexOf('\r\n\r\n');
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(bytes.toString('latin1', 0, 13))?.[1];
      resolve(
        end === -1 || status === undefined ? null : { status: Number(status), body: bytes.subarray(end + 4) },
      );
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n${fields}\r\n`);
  });
}

/** One request of a client: who it is, null being nobody, what it asks, and where it comes from. */
export interface AskedOverTls {
  readonly client: CertificateFiles | null;
  readonly path: string;
  /** Header lines, each with its line break. */
  readonly fields: string;
  readonly localAddress?: string;
}

export function askOverTls(
  port: number,
  roots: string,
  { client, fields, localAddress, path }: AskedOverTls,
): Promise<Answer | null> {
  const credentials =
    client === null ? {} : { cert: readFileSync(client.certificate), key: readFileSync(client.key) };
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    ca: readFileSync(roots),
    ALPNProtocols: ['http/1.1'],
    ...credentials,
    ...(localAddress === undefined ? {} : { localAddress }),
    checkServerIdentity: () => undefined,
  });
  return ask(socket, path, 'httpbin.foo:8000', fields);
}

/** The last element is the one that the proxy made itself. */
export function clientUriSeenByApp(head: string): string | undefined {
  const value = /^x-forwarded-client-cert: *(.*)$/im.exec(head)?.[1] ?? '';
  return /(?:^|;)URI=([^;,]*)/.exec(value.split(',').at(-1) ?? '')?.[1];
}

/** Closed without an answer, or an answer that says no. */
export function isRefusal(answer: Answer | null): boolean {
  return answer === null || answer.status >= 400;
}

/**
 * Throws with the first thing that is not as it must be. `roots`: of the server's certificate; `fields`: what a request
 * needs to be allowed.
 */
export async function checkPeer(
  running: RunningPeer,
  certificates: Certificates,
  roots: string = certificates.roots,
  fields: string = '',
): Promise<void> {
  const { peer, port } = running;
  const askAs = (client: CertificateFiles | null, path: string): Promise<Answer | null> =>
    askOverTls(port, roots, { client, path, fields });
  const wrong = (what: string): Error => new Error(`${peer.name} is not fit to be measured: ${what}`);

  const answer = await askAs(certificates.client, '/bench');
  if (answer?.status !== 200)
    throw wrong(`a client of the mesh got ${answer?.status ?? 'no answer'}, not 200`);
  if (!answer.body.equals(answerBody())) throw wrong(`its answer has other bytes than the app's`);

  const headers = await askAs(certificates.client, '/headers');
  const seen = clientUriSeenByApp(headers?.body.toString('latin1') ?? '');
  const wanted = peer.checks === 'SPIFFE ID' ? CLIENT_URI : undefined;
  if (seen !== wanted)
    throw wrong(`the app saw the client as "${seen ?? 'nobody'}", not "${wanted ?? 'nobody'}"`);

  if (!isRefusal(await askAs(null, '/bench'))) {
    throw wrong('it answered a client without a certificate');
  }
  if (!isRefusal(await askAs(certificates.foreign, '/bench'))) {
    throw wrong("it answered a client of another mesh's CA");
  }
  if (!isRefusal(await ask(connectPlain(port, '127.0.0.1'), '/bench'))) throw wrong('it answered plaintext');
}
