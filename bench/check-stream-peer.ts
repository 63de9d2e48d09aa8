/**
 * The same for a peer that carries bytes: a client of the mesh gets the app's stream, any other not one byte of it.
 */
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { CertificateFiles, Certificates } from './certificates.ts';
import { BLOCK_BYTES, PatternCheck } from './load/stream-pattern.ts';
import type { RunningPeer } from './peers/running-peer.ts';

const ANSWER_MS = 3_000;

/** How many bytes of the app's stream came before the connection ended or there was a block of them. */
function streamedBytes(socket: Socket): Promise<number> {
  const check = new PatternCheck();
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(check.received);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        check.push(chunk);
      } catch {
        socket.destroy();
      }
      if (check.received >= BLOCK_BYTES) socket.destroy();
    });
    socket.write('D');
  });
}

function streamedOverTls(port: number, roots: string, client: CertificateFiles | null): Promise<number> {
  const credentials =
    client === null ? {} : { cert: readFileSync(client.certificate), key: readFileSync(client.key) };
  const ca = readFileSync(roots);
  return streamedBytes(
    connectTls({ host: '127.0.0.1', port, ca, ...credentials, checkServerIdentity: () => undefined }),
  );
}

/** Throws with the first thing that is not as it must be. */
export async function checkStreamPeer(running: RunningPeer, certificates: Certificates): Promise<void> {
  const { peer, port } = running;
  const wrong = (what: string): Error => new Error(`${peer.name} is not fit to be measured: ${what}`);
  if ((await streamedOverTls(port, certificates.roots, certificates.client)) < BLOCK_BYTES) {
    throw wrong("a client of the mesh did not get the app's stream");
  }
  if ((await streamedOverTls(port, certificates.roots, null)) > 0)
    throw wrong('it served a client without a certificate');
  if ((await streamedOverTls(port, certificates.roots, certificates.foreign)) > 0) {
    throw wrong("it served a client of another mesh's CA");
  }
  if ((await streamedBytes(connectPlain(port, '127.0.0.1'))) > 0) throw wrong('it served plaintext');
}
