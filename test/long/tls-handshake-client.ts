/** The clients of `tls-handshake-memory.test.ts`, in a process of their own so that its memory is the server's. */
import tls from 'node:tls';

interface Order {
  readonly port: number;
  readonly count: number;
  readonly good: { readonly cert: string; readonly key: string };
  readonly bad: { readonly cert: string; readonly key: string };
}

const CONCURRENT = 4;

process.on('message', (order: Order) => {
  let session: Buffer | undefined;
  let left = order.count;
  let running = CONCURRENT;
  const good = tls.createSecureContext(order.good);
  const bad = tls.createSecureContext(order.bad);
  const next = (): void => {
    if (left-- <= 0) {
      if (--running === 0) process.send?.('done');
      return;
    }
    // Of ten clients six are new, two resume and two are refused.
    const kind = left % 10;
    const socket = tls.connect({
      host: '127.0.0.1',
      port: order.port,
      secureContext: kind < 2 ? bad : good,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      ...(session !== undefined && (kind === 2 || kind === 3) ? { session } : {}),
    });
    if (kind >= 4) {
      socket.on('session', (given: Buffer) => {
        session = given;
      });
    }
    socket.on('error', () => {});
    socket.on('data', () => {});
    socket.on('end', () => {
      socket.end();
    });
    socket.on('close', next);
  };
  for (let i = 0; i < CONCURRENT; i++) next();
});
