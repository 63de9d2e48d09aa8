/**
 * How the load's connections are opened: over mTLS, as a sidecar of the mesh would, or plain, as an app speaks to its
 * own sidecar. Everything that all connections of a run share is made once.
 */
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import type { Socket } from 'node:net';
import { connect as connectTls, createSecureContext } from 'node:tls';
import type { ConnectionOptions, PeerCertificate } from 'node:tls';
import type { LoadJob } from './job.ts';

const HOST = '127.0.0.1';

/** What differs on one connection: a session to resume, the address that it comes from. */
export interface OpenOverrides {
  readonly session?: Buffer;
  readonly localAddress?: string;
}

export interface ClientOpener {
  /** The socket's event that says it can be written to. */
  readonly openEvent: 'connect' | 'secureConnect';
  /** The next of those that are sent in turn. */
  nextRequest(): Buffer;
  /** The same with `connection: close`. */
  readonly lastRequest: Buffer;
  open(overrides: OpenOverrides): Socket;
}

function requestTo(host: string, more: string): Buffer {
  const head = `GET /bench HTTP/1.1\r\nhost: ${host}\r\nuser-agent: postern-bench\r\naccept: */*\r\n${more}\r\n`;
  return Buffer.from(head, 'latin1');
}

/** The server must show exactly this identity; its chain has been verified before. */
function identityCheck(serverUri: string): (host: string, certificate: PeerCertificate) => Error | undefined {
  return (_host, certificate) =>
    certificate.subjectaltname === `URI:${serverUri}`
      ? undefined
      : new Error(
          `Server's certificate shows "${certificate.subjectaltname ?? 'no SAN'}", not "${serverUri}"`,
        );
}

function mtlsOptions(job: LoadJob, tls: NonNullable<LoadJob['tls']>): ConnectionOptions {
  // The server's ALPN list belongs to its HTTP ports; a client of a TCP port offers nothing.
  const isHttp = job.mode !== 'download' && job.mode !== 'upload';
  return {
    host: HOST,
    port: job.port,
    // Made once: a context costs more than half a millisecond.
    secureContext: createSecureContext({
      cert: readFileSync(tls.certificateFile, 'utf8'),
      key: readFileSync(tls.keyFile, 'utf8'),
      ca: readFileSync(tls.rootsFile, 'utf8'),
    }),
    ...(isHttp ? { ALPNProtocols: ['http/1.1'] } : {}),
    checkServerIdentity: identityCheck(tls.serverUri),
  };
}

export function createOpener(job: LoadJob): ClientOpener {
  const { host, requestFields } = job;
  const [first = '', ...others] = requestFields;
  const inTurn = [first, ...others].map((fields) => requestTo(host, fields));
  let next = 0;
  const requests = {
    nextRequest: (): Buffer => {
      next = next === inTurn.length ? 1 : next + 1;
      return inTurn[next - 1]!;
    },
    lastRequest: requestTo(host, `${first}connection: close\r\n`),
  };
  if (job.tls === null) {
    const { port } = job;
    return {
      ...requests,
      openEvent: 'connect',
      open: (overrides) => connectPlain({ host: HOST, port, ...overrides }),
    };
  }
  const options = mtlsOptions(job, job.tls);
  return {
    ...requests,
    openEvent: 'secureConnect',
    open: (overrides) => connectTls({ ...options, ...overrides }),
  };
}
