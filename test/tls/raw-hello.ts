/**
 * ClientHellos as bytes: recorded from Node's own client, changed on purpose, sent by a client that can do
 * nothing but send bytes.
 */
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import tls from 'node:tls';
import { withDeadline } from '../support/with-deadline.ts';

/** The ClientHello that `tls.connect` sends with these options: one record. */
export async function recordHello(options: tls.ConnectionOptions = {}): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>();
  const server = net.createServer((socket) => {
    let read = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      read = Buffer.concat([read, chunk]);
      if (read.length >= 5 && read.length >= 5 + read.readUInt16BE(3)) {
        resolve(read);
        socket.destroy();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = tls.connect({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    ...options,
  });
  client.on('error', () => {});
  try {
    return await withDeadline(promise, 5_000, 'a ClientHello');
  } finally {
    client.destroy();
    server.close();
    await once(server, 'close');
  }
}

/** An extension's list of one server name with these bytes in place of the recorded name of the same length. */
export function withServerName(hello: Buffer, recorded: string, name: Buffer): Buffer {
  const at = hello.indexOf(recorded, 0, 'latin1');
  if (at === -1 || name.length !== recorded.length) throw new Error('no such server name in the ClientHello');
  const changed = Buffer.from(hello);
  name.copy(changed, at);
  return changed;
}

export interface RawView {
  readonly bytes: Buffer;
  readonly error: NodeJS.ErrnoException | null;
}

/** Sends, and with the first bytes of the answer, or at once, does `then`; resolves when the connection closes. */
export async function sendRaw(
  port: number,
  bytes: Buffer,
  then: 'wait' | 'end' | 'reset' | { readonly afterAnswer: Buffer },
  allowHalfOpen = true,
): Promise<RawView> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen });
  const chunks: Buffer[] = [];
  let error: NodeJS.ErrnoException | null = null;
  socket.on('error', (thrown) => {
    error = thrown;
  });
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (typeof then === 'object' && chunks.length === 1) socket.write(then.afterAnswer);
    if (then === 'reset') socket.resetAndDestroy();
  });
  socket.on('end', () => {
    socket.end();
  });
  socket.on('connect', () => {
    if (then === 'end') socket.end(bytes);
    else socket.write(bytes);
  });
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on('close', () => {
    resolve();
  });
  await withDeadline(closed, 8_000, 'the end of a raw connection');
  return { bytes: Buffer.concat(chunks), error };
}

/** A fatal alert in the clear, as a client sends it before it has keys. */
export function alertRecord(description: number): Buffer {
  return Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, description]);
}
