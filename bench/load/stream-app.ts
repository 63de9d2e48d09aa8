/**
 * The app behind every peer for bulk: the first byte of a connection says who sends. `D`: the app does, for ever;
 * `U`: the client does, and the app checks each byte. Ends with its standard input.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { PatternCheck, writeEndlessly } from './stream-pattern.ts';

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.once('data', (first: Buffer) => {
    if (first[0] === 0x44) {
      writeEndlessly(socket);
      return;
    }
    const check = new PatternCheck();
    const take = (chunk: Buffer): void => {
      try {
        check.push(chunk);
      } catch {
        // The client sees its connection end, which fails the run.
        socket.resetAndDestroy();
      }
    };
    take(first.subarray(1));
    socket.on('data', take);
  });
}

const server = createServer(serve);
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ ready: true, port })}\n`);
});
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
