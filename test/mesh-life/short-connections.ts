/**
 * Many connections of the app with one request each. Every second one is closed by the sidecar, which is asked to, and
 * the others by the client; one that is not answered right or does not end fails them all.
 */
import net from 'node:net';

/** The kernel keeps a closed pair of addresses for a minute: with several of ours it does not run out of ports. */
const LOCAL_ADDRESSES = 16;
const DEADLINE_MS = 20_000;

export interface ShortConnections {
  readonly host: string;
  readonly port: number;
  readonly total: number;
  /** So many are open at a time. */
  readonly atOnce: number;
}

export async function openShortConnections(options: ShortConnections): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < options.total) await openOne(options, next++);
  };
  await Promise.all(Array.from({ length: options.atOnce }, lane));
}

function openOne({ host, port }: ShortConnections, index: number): Promise<void> {
  const isClosedBySidecar = index % 2 === 1;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = net.connect({ host, port, localAddress: `127.0.1.${1 + (index % LOCAL_ADDRESSES)}` });
  const fail = (why: string): void => {
    socket.destroy();
    reject(new Error(`connection ${index}: ${why}`));
  };
  let answer = '';
  socket.setTimeout(DEADLINE_MS, () => fail(`nothing for ${DEADLINE_MS} ms after "${answer}"`));
  socket.on('error', (error) => fail(error.message));
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
    if (!isClosedBySidecar && answer.endsWith('\r\n\r\nok')) socket.end();
  });
  socket.on('close', () => {
    if (/^HTTP\/1\.1 200 [^]*\r\n\r\nok$/.test(answer)) resolve();
    else fail(`answered "${answer}"`);
  });
  const close = isClosedBySidecar ? 'connection: close\r\n' : '';
  socket.write(`GET /short HTTP/1.1\r\nhost: httpbin.foo\r\n${close}\r\n`);
  return promise;
}
