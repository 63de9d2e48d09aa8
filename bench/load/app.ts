/**
 * The app behind every peer: one fixed 1 KiB answer from a raw socket, as cheap as Node can give it.
 * `/headers` answers the request's head as it arrived, so that a check can see what a proxy passed on.
 * Ends with its standard input.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { answerBody } from './answer.ts';

const MAX_HEAD_BYTES = 65_536;

function answer(body: Buffer): Buffer {
  const head = `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const FIXED = answer(answerBody());

function serve(socket: Socket): void {
  let held: Buffer | null = null;
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    let bytes = held === null ? chunk : Buffer.concat([held, chunk]);
    held = null;
    while (bytes.length > 0) {
      const end = bytes.indexOf('\r\n\r\n', 0, 'latin1');
      if (end === -1) {
        if (bytes.length > MAX_HEAD_BYTES) socket.destroy();
        else held = bytes;
        return;
      }
      const isHeaders = bytes.toString('latin1', 0, 12).startsWith('GET /headers');
      socket.write(isHeaders ? answer(bytes.subarray(0, end + 2)) : FIXED);
      bytes = bytes.subarray(end + 4);
    }
  });
}

const server = createServer({ allowHalfOpen: false }, serve);
server.listen(0, '127.0.0.1', 4096, () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
