/**
 * Callers of the comparison: keep-alive connections over mTLS or plaintext, the same bytes to either side, and what
 * came back in a form that can be compared.
 */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { readResponse, type HttpResponse } from '../support/http-response-reader.ts';
import type { Issued, TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import type { Caller } from './policy-requests.ts';

const WAIT_MS = 10_000;
const HTTP_ALPN = ['istio-http/1.1', 'istio', 'http/1.1'] as const;
const TCP_ALPN = ['istio-peer-exchange', 'istio'] as const;

/** What a caller sees of one case. */
export interface Outcome {
  /** 0: the connection was ended without an answer. */
  readonly status: number;
  /** `name: value`, by name. */
  readonly headers: readonly string[];
  readonly body: string;
  /** What the app got: request line, then `name: value` by name; empty: nothing. */
  readonly forwarded: readonly string[];
  /** The local port that it was sent from. */
  readonly from: number;
}

const NOT_OF_ONE_REQUEST = new Set([
  'x-request-id',
  'date',
  'x-envoy-upstream-service-time',
  'x-envoy-expected-rq-timeout-ms',
]);

/** Certificates of callers, made when they are first needed. */
export class CallerCertificates {
  readonly #ca: TestCa;
  readonly #contexts = new Map<string, tls.SecureContext>();

  constructor(ca: TestCa) {
    this.#ca = ca;
  }

  issue(id: string): Promise<Issued> {
    return this.#ca.issue({ spiffeId: `spiffe://${id}` });
  }

  async contextOf(id: string): Promise<tls.SecureContext> {
    let context = this.#contexts.get(id);
    if (context === undefined) {
      const issued = await this.issue(id);
      context = tls.createSecureContext({ cert: issued.chainPem, key: issued.keyPem, ca: this.#ca.rootPem });
      this.#contexts.set(id, context);
    }
    return context;
  }
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

/** One connection of one caller to one side, opened again when it was closed. */
export class CallerConnection implements Disposable {
  readonly #target: Target;
  readonly #caller: Caller;
  readonly #certificates: CallerCertificates;
  #socket: net.Socket | null = null;
  #port = 0;
  #received: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake = Promise.withResolvers<void>();

  constructor(target: Target, caller: Caller, certificates: CallerCertificates) {
    this.#target = target;
    this.#caller = caller;
    this.#certificates = certificates;
  }

  async request(bytes: string, method: string): Promise<Outcome> {
    if (!(await this.#open(HTTP_ALPN))) return this.#closed();
    this.#socket!.write(Buffer.from(bytes, 'latin1'));
    const response = await this.#read((received, ended) => {
      const read = readResponse(received, method, ended);
      if (read !== null) this.#received = received.subarray(read.consumed);
      return read?.response ?? null;
    });
    if (response === null) return this.#closed();
    const outcome = outcomeOf(response, this.#port);
    if (response.header('connection') === 'close') this.#drop();
    return outcome;
  }

  /** A connection of its own that sends what is no HTTP. */
  async carry(bytes: string): Promise<Outcome> {
    this.#drop();
    if (!(await this.#open(TCP_ALPN))) return this.#closed();
    this.#socket!.write(bytes);
    const body = await this.#read((received) => (received.length > 0 ? received.toString('latin1') : null));
    const from = this.#port;
    this.#drop();
    return { status: 0, headers: [], body: body ?? '', forwarded: body === null ? [] : ['bytes'], from };
  }

  [Symbol.dispose](): void {
    this.#drop();
  }

  #closed(): Outcome {
    this.#drop();
    return { status: 0, headers: [], body: '', forwarded: [], from: this.#port };
  }

  #drop(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  /** False: it was refused. */
  async #open(alpn: readonly string[]): Promise<boolean> {
    if (this.#socket !== null && !this.#ended) return true;
    this.#drop();
    const { id, ip, sni } = this.#caller;
    const raw = net.connect({ ...this.#target, localAddress: ip, noDelay: true });
    raw.on('error', () => raw.destroy());
    await withDeadline(once(raw, 'connect'), WAIT_MS, `a connection to ${this.#target.host}`);
    this.#port = raw.localPort ?? 0;
    let socket: net.Socket = raw;
    if (id !== '') {
      const secured = tls.connect({
        socket: raw,
        secureContext: await this.#certificates.contextOf(id),
        ALPNProtocols: [...alpn],
        checkServerIdentity: () => undefined,
        // The cheapest: handshakes are most of the time of a run.
        ecdhCurve: 'X25519',
        ...(sni === '' ? {} : { servername: sni }),
      });
      socket = secured;
      secured.on('error', () => raw.destroy());
      const settled = Promise.race([
        once(secured, 'secureConnect').then(() => true),
        once(raw, 'close').then(() => false),
      ]).catch(() => false);
      if (!(await withDeadline(settled, WAIT_MS, `a handshake with ${this.#target.host}`))) return false;
    }
    this.#listen(socket);
    return true;
  }

  #listen(socket: net.Socket): void {
    this.#socket = socket;
    this.#received = Buffer.alloc(0);
    this.#ended = false;
    const changed = (): void => {
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    };
    socket.on('data', (chunk: Buffer) => {
      if (this.#socket !== socket) return;
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      changed();
    });
    const ended = (): void => {
      if (this.#socket !== socket) return;
      this.#ended = true;
      changed();
    };
    socket.on('end', ended);
    socket.on('close', ended);
  }

  /** null: it ended before. */
  async #read<T>(ready: (received: Buffer, ended: boolean) => T | null): Promise<T | null> {
    const loop = async (): Promise<T | null> => {
      for (;;) {
        const value = ready(this.#received, this.#ended);
        if (value !== null) return value;
        if (this.#ended) return null;
        await this.#wake.promise;
      }
    };
    return withDeadline(loop(), WAIT_MS, `an answer from ${this.#target.host}`, () =>
      this.#received.toString('latin1'),
    );
  }
}

function outcomeOf(response: HttpResponse, from: number): Outcome {
  const headers = comparable(response.headers.map(([name, value]) => `${name.toLowerCase()}: ${value}`));
  const body = response.body.toString('latin1');
  // What the app says is the head that it got; our own answers never look like that.
  if (!/^[A-Z]+ [^ ]+ HTTP\/1\.1\r\n/.test(body))
    return { status: response.status, headers, body, forwarded: [], from };
  const [line = '', ...fields] = body.split('\r\n');
  return {
    status: response.status,
    headers: headers.filter((header) => !header.startsWith('content-length:')),
    body: '',
    forwarded: [line, ...comparable(fields)],
    from,
  };
}

/** By name; repeated fields keep their order. */
function comparable(fields: readonly string[]): readonly string[] {
  const named = fields.map((field) => [field.split(':', 1)[0]!.toLowerCase(), field] as const);
  return named
    .filter(([name]) => !NOT_OF_ONE_REQUEST.has(name))
    .toSorted(([a], [b]) => (a < b ? -1 : Number(a > b)))
    .map(([, field]) => field);
}
