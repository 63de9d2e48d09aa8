/**
 * Writes ClientHellos byte by byte, good and bad, and reads the recorded ones of test/vectors/client-hello.
 */
import { readdirSync, readFileSync } from 'node:fs';

const folder = new URL('../vectors/client-hello/', import.meta.url);

/** First flights of real clients, as they came from the wire. */
export const RECORDED: Readonly<Record<string, Buffer>> = Object.fromEntries(
  readdirSync(folder).map((file) => [
    file.replace(/\.hex$/, ''),
    Buffer.from(readFileSync(new URL(file, folder), 'latin1').replace(/\s/g, ''), 'hex'),
  ]),
);

export interface HelloParts {
  readonly sessionId?: Buffer;
  readonly cipherSuites?: Buffer;
  readonly compression?: Buffer;
  /** null: a hello that ends before the extensions. */
  readonly extensions?: readonly Buffer[] | null;
}

export function u16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function extension(type: number, body: Buffer): Buffer {
  return Buffer.concat([u16(type), u16(body.length), body]);
}

export function serverName(name: string | Buffer): Buffer {
  const bytes = typeof name === 'string' ? Buffer.from(name, 'latin1') : name;
  const entry = Buffer.concat([Buffer.from([0]), u16(bytes.length), bytes]);
  return extension(0, Buffer.concat([u16(entry.length), entry]));
}

export function alpn(...names: readonly string[]): Buffer {
  const list = Buffer.concat(
    names.map((name) => Buffer.concat([Buffer.from([name.length]), Buffer.from(name, 'latin1')])),
  );
  return extension(16, Buffer.concat([u16(list.length), list]));
}

/** The handshake message, without a record. */
export function helloMessage(parts: HelloParts = {}): Buffer {
  const sessionId = parts.sessionId ?? Buffer.alloc(32, 7);
  const suites = parts.cipherSuites ?? Buffer.from([0x13, 0x01, 0x13, 0x02]);
  const compression = parts.compression ?? Buffer.from([0]);
  const extensions = parts.extensions === undefined ? [] : parts.extensions;
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 9),
    Buffer.from([sessionId.length]),
    sessionId,
    u16(suites.length),
    suites,
    Buffer.from([compression.length]),
    compression,
    ...(extensions === null ? [] : [u16(Buffer.concat(extensions).length), ...extensions]),
  ]);
  return Buffer.concat([Buffer.from([1, body.length >> 16]), u16(body.length & 0xffff), body]);
}

/** One TLS record of type handshake around each piece. */
export function records(...pieces: readonly Buffer[]): Buffer {
  return Buffer.concat(
    pieces.map((piece) => Buffer.concat([Buffer.from([0x16, 3, 1]), u16(piece.length), piece])),
  );
}

export function hello(parts: HelloParts = {}): Buffer {
  return records(helloMessage(parts));
}
