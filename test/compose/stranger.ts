/**
 * Runs in a container: `node stranger.ts HOST PORT plaintext|tls` asks a port as a client without certificate would,
 * and prints all that came back, then how it ended.
 */
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const TIMEOUT_MS = 10_000;
const [host = '', port = '', how = ''] = process.argv.slice(2);
const where = { host, port: Number(port) };
// To be refused for the certificate that it lacks, and not for words that a mesh client would say.
const mesh = { rejectUnauthorized: false, ALPNProtocols: ['istio-http/1.1', 'istio', 'http/1.1'] };

let text = '';
let end = 'closed';
const socket: Socket = how === 'tls' ? connectTls({ ...where, ...mesh }) : connect(where);
socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`nothing for ${TIMEOUT_MS / 1_000} s`)));
socket.on('error', (error: NodeJS.ErrnoException) => {
  end = error.code ?? error.message;
});
socket.on('data', (chunk: Buffer) => {
  text += chunk.toString('latin1');
});
socket.on('close', () => process.stdout.write(`${text}[${end}]`));
socket.write(`GET /headers HTTP/1.1\r\nhost: httpbin.foo\r\nconnection: close\r\n\r\n`);
