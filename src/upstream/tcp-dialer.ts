/** Dials plain TCP with a deadline. */
import { connect } from 'node:net';
import type { OnReadOpts, Socket } from 'node:net';
import type { DialAttempt, Dialer, DialTarget } from '../core/dialer.ts';
import { formatAddress } from '../core/address.ts';
import { connectReason, DialError } from './dial-error.ts';

/** Read into by every connection with `onBytes`: the bytes are used or copied before the next read. */
const SHARED_READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(65_536);

function readInto(onBytes: (view: Buffer) => void): OnReadOpts {
  return {
    buffer: SHARED_READ_BUFFER,
    callback(length: number): boolean {
      onBytes(SHARED_READ_BUFFER.subarray(0, length));
      return true;
    },
  };
}

export class TcpDialer implements Dialer {
  readonly #connectTimeoutMs: () => number;

  /** `connectTimeoutMs` is asked at each dial, since a reload may change it. */
  constructor(connectTimeoutMs: () => number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** The socket is given away connected and paused; until then its end is this attempt's. */
  dial(
    target: DialTarget,
    onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt {
    const timeoutMs = this.#connectTimeoutMs();
    const options = { host: target.host, port: target.port, noDelay: true, allowHalfOpen: true };
    const upstreamHost = formatAddress({ ip: target.host, port: target.port });
    const socket = connect(onBytes === undefined ? options : { ...options, onread: readInto(onBytes) });
    const finish = (): void => {
      clearTimeout(timer);
      socket.off('connect', connected);
      socket.off('error', failed);
      socket.off('close', closed);
    };
    const timer = setTimeout(() => {
      finish();
      discard(socket);
      onFailed(
        new DialError('upstream_connect_timeout', `${upstreamHost} did not accept in ${timeoutMs} ms`, {
          upstreamHost,
          transportReason: '',
        }),
      );
    }, timeoutMs);
    const connected = (): void => {
      finish();
      onConnected(socket);
    };
    const failed = (error: Error): void => {
      finish();
      discard(socket);
      onFailed(
        new DialError('upstream_connect_failed', error.message, {
          upstreamHost,
          transportReason: connectReason(error),
          cause: error,
        }),
      );
    };
    const closed = (): void => failed(new Error('the socket was closed before it was connected'));
    socket.once('connect', connected);
    socket.once('error', failed);
    socket.once('close', closed);
    return {
      abort(): void {
        finish();
        discard(socket);
      },
    };
  }
}

/** A socket that is given up may still fail: nobody is to hear of it. */
function discard(socket: Socket): void {
  socket.on('error', () => {});
  socket.destroy();
}
