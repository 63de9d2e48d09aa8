/**
 * Asks a CA for one certificate (`istio.v1.auth.IstioCertificateService/CreateCertificate`), over a connection of its
 * own: an agent asks twice a day. A failure says which it was: not there, not trusted, another name, or refused.
 */
import { isIP } from 'node:net';
import { checkServerIdentity, connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { create } from '@bufbuild/protobuf';
import { ChannelCredentials, Client, Metadata, status } from '@grpc/grpc-js';
import { MeshError, messageOf } from '../core/errors.ts';
import { quoteText } from '../svid/quote-text.ts';
import { IstioCertificateRequestSchema, IstioCertificateService } from '../wire/gen/istio/v1/auth/ca_pb.ts';
import { callUnary } from '../wire/grpc-service.ts';
import { ISTIO_CA_NAME } from './ca-names.ts';

export interface CertificateRequest {
  /** `HOST:PORT`, IPv6 in brackets. */
  readonly address: string;
  /** Of the CA's own certificate: a DNS name or an IP address. */
  readonly serverName: string;
  /** Roots that the CA's own certificate chains to. */
  readonly rootsPem: string;
  readonly token: string;
  readonly csrPem: string;
  readonly ttlMs: number;
  readonly signal: AbortSignal;
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const DIAGNOSIS_TIMEOUT_MS = 3_000;
const MAX_ANSWER_BYTES = 1_048_576;
/** What a CA says of a refusal; more of it is cut by `quoteText`. */
const UNTRUSTED_CODES: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** The elements of the answer, as they came. Rejects with `ca_*`. */
export async function requestCertificate(request: CertificateRequest): Promise<readonly string[]> {
  const { address, rootsPem, serverName } = request;
  const credentials = ChannelCredentials.createSsl(Buffer.from(rootsPem), null, null, {
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
  });
  const client = new Client(`dns:${address}`, credentials, {
    // What is asked for in the ClientHello, which takes no addresses; what is checked is above.
    'grpc.ssl_target_name_override': sniOf(serverName),
    'grpc.default_authority': serverName,
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    'grpc.use_local_subchannel_pool': 1,
    // A proxy of the environment has no business between an agent and its CA.
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_channelz': 0,
  });
  try {
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${request.token}`);
    const validityDuration = BigInt(Math.ceil(request.ttlMs / 1000));
    const answer = await callUnary(
      client,
      IstioCertificateService.method.createCertificate,
      create(IstioCertificateRequestSchema, { csr: request.csrPem, validityDuration }),
      { timeoutMs: request.timeoutMs ?? TIMEOUT_MS, metadata, signal: request.signal },
    );
    return answer.certChain;
  } catch (thrown) {
    throw await explain(thrown, request);
  } finally {
    client.close();
  }
}

/** Host and port of `HOST:PORT`; null if it is neither. */
export function parseCaAddress(address: string): { readonly host: string; readonly port: number } | null {
  const [, host = '', text = ''] = /^(\[[\da-fA-F:.]+\]|[^:[\]\s/]+):(\d{1,5})$/.exec(address) ?? [];
  const port = Number(text);
  if (host === '' || port < 1 || port > 65_535) return null;
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port };
}

function sniOf(serverName: string): string {
  return isIP(serverName) === 0 ? serverName : ISTIO_CA_NAME;
}

async function explain(thrown: unknown, request: CertificateRequest): Promise<MeshError> {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : null;
  const name = typeof code === 'number' ? (status[code] ?? String(code)) : 'UNKNOWN';
  const text = thrown instanceof Error && 'details' in thrown ? String(thrown.details) : messageOf(thrown);
  if (request.signal.aborted)
    return new MeshError('ca_unreachable', 'the agent is shutting down', { cause: thrown });
  if (code !== status.UNAVAILABLE && code !== status.DEADLINE_EXCEEDED)
    return new MeshError('ca_refused', `${name}: ${quoteText(text)}`, { cause: thrown });
  return diagnose(request, `${name}: ${quoteText(text)}`);
}

/**
 * The gRPC library wraps what became of a connection into text; one connection by hand gives the code itself.
 * Only after a failure, and so as often as that is tried again.
 */
async function diagnose(request: CertificateRequest, otherwise: string): Promise<MeshError> {
  const { address, rootsPem, serverName } = request;
  const to = `the CA at "${address}"`;
  const parsed = parseCaAddress(address);
  if (parsed === null)
    return new MeshError('ca_unreachable', `Cannot reach ${to}: set ca.address to HOST:PORT`);
  const { promise, resolve } = Promise.withResolvers<MeshError>();
  let socket: TLSSocket | null = null;
  const timer = setTimeout(
    () => resolve(new MeshError('ca_unreachable', `Cannot reach ${to}: ${otherwise}`)),
    DIAGNOSIS_TIMEOUT_MS,
  );
  try {
    let nameError: Error | undefined;
    socket = connect({
      ...parsed,
      ca: rootsPem,
      servername: sniOf(serverName),
      ALPNProtocols: ['h2'],
      checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
        nameError = checkServerIdentity(serverName, certificate);
        return nameError;
      },
    });
    socket.on('secureConnect', () =>
      resolve(new MeshError('ca_unreachable', `Cannot ask ${to}: it accepts connections, then ${otherwise}`)),
    );
    socket.on('error', (error) => resolve(errorOf(error, nameError, to, serverName)));
    return await promise;
  } catch (thrown) {
    return new MeshError('ca_untrusted', `Cannot use ca.root: ${messageOf(thrown)}`);
  } finally {
    clearTimeout(timer);
    socket?.destroy();
  }
}

function errorOf(error: Error, nameError: Error | undefined, to: string, serverName: string): MeshError {
  const code = 'code' in error ? String(error.code) : '';
  if (nameError !== undefined)
    return new MeshError(
      'ca_wrong_name',
      `Cannot trust ${to}: its certificate is not for "${serverName}"; set ca.serverName to a name it has, or add the name to listen.names of the CA`,
      { cause: error },
    );
  if (UNTRUSTED_CODES.has(code))
    return new MeshError(
      'ca_untrusted',
      `Cannot trust ${to}: ${error.message} (${code}); set ca.root to the root certificate of this CA`,
      { cause: error },
    );
  return new MeshError(
    'ca_unreachable',
    `Cannot reach ${to}: ${error.message}; start the CA or correct ca.address`,
    { cause: error },
  );
}
