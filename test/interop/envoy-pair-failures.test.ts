/**
 * What a client and an operator see when the upstream fails: a real Envoy as Istio's client sidecar beside ours, field
 * by field. Where they differ by design, a row says so, and the test fails when that changes.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { HTTPBIN_ID, SLEEP_ID } from '../flow/flow-mesh.ts';
import { EGRESS_HTTP, FlowClient, httpbinService } from '../flow/flow-pair.ts';
import { freePort } from '../support/free-port.ts';
import { connectRaw } from '../support/raw-client.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { bootstrap, outboundCluster, outboundListener, type Outbound } from './envoy-as-istio.ts';
import { EnvoyProcess, SKIP_WITHOUT_ENVOY } from './envoy-process.ts';

const SNI = 'outbound_.8000_._.httpbin.foo.svc.cluster.local';
const CLUSTER = 'outbound|8000||httpbin.foo.svc.cluster.local';
const REQUEST = 'GET /ip HTTP/1.1\r\nhost: httpbin.foo\r\n\r\n';

/** Every field that is compared. */
type Seen = Readonly<Record<string, unknown>>;

interface Situation {
  readonly name: string;
  /** A server that fails in this way; answers its port. */
  readonly listen: (world: World) => Promise<number>;
  /** What differs by design: Envoy's value, ours. */
  readonly differences: Readonly<Record<string, readonly [envoy: unknown, ours: unknown]>>;
}

/** Authorities of the servers, and the servers to be ended. */
class World implements AsyncDisposable {
  readonly ca: TestCa;
  readonly stranger: TestCa;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  constructor(ca: TestCa, stranger: TestCa) {
    this.ca = ca;
    this.stranger = stranger;
  }

  async add(server: Server): Promise<number> {
    this.#servers.push(server);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** A TLS server that does as it is told with each connection; by itself it answers 200. */
  tls(own: Issued, onSecured: (socket: Socket) => void = answerOk): Promise<number> {
    const options = { cert: own.chainPem, key: own.keyPem, ca: this.ca.rootPem, requestCert: true };
    const server = tls.createServer({ ...options, rejectUnauthorized: false }, (socket) => {
      socket.on('error', () => {});
      onSecured(socket);
    });
    return this.add(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(
      this.#servers.map(async (server) => {
        server.close();
        await once(server, 'close');
      }),
    );
  }
}

function answerOk(socket: Socket): void {
  socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'));
}

const answering =
  (text: string, ends = false) =>
  (socket: Socket): void => {
    socket.once('data', () => {
      if (ends) socket.end(text);
      else socket.write(text);
    });
  };

/** The words about certificates are Envoy's in Envoy, ours in ours; they stand in two fields of the log. */
function reasons(envoy: string, ours: string): Situation['differences'] {
  const pair = [tlsError(envoy), tlsError(ours)] as const;
  const details = pair.map(
    (reason) => `upstream_reset_before_response_started{remote_connection_failure|${reason}}`,
  );
  return {
    'log response_code_details': [details[0], details[1]],
    'log upstream_transport_failure_reason': pair,
  };
}

const tlsError = (text: string): string => `TLS_error:|${text}:TLS_error_end`;
const REFUSED = '268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:';
const VERIFY = `${REFUSED}_X509_verify_cert:_certificate_verification_error_at_depth_0:`;

const SITUATIONS: readonly Situation[] = [
  {
    name: 'a server of another authority',
    listen: async (world) => world.tls(await world.stranger.issue({ spiffeId: HTTPBIN_ID })),
    differences: reasons(`${VERIFY}_unable_to_get_local_issuer_certificate`, `${REFUSED}_unknown_issuer`),
  },
  {
    name: 'a server of another service account',
    listen: async (world) =>
      world.tls(await world.ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/other' })),
    differences: reasons(
      `${REFUSED}_SAN_matcher,_certificate_SANs_are_[spiffe://cluster.local/ns/foo/sa/other]`,
      `${REFUSED}_identity_mismatch`,
    ),
  },
  {
    name: 'a server whose certificate has expired',
    listen: async (world) => world.tls(await world.ca.issue({ spiffeId: HTTPBIN_ID, expired: true })),
    differences: reasons(`${VERIFY}_certificate_has_expired`, `${REFUSED}_expired`),
  },
  {
    name: 'a server without TLS',
    listen: (world) => world.add(createServer(answering('HTTP/1.1 400 Bad Request\r\n\r\n', true))),
    // OpenSSL numbers its errors otherwise than BoringSSL: ours has none.
    differences: reasons(
      '268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER',
      'SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER',
    ),
  },
  {
    name: 'a server that goes away in the handshake',
    listen: (world) => world.add(createServer((socket) => socket.once('data', () => socket.destroy()))),
    differences: {},
  },
  { name: 'a port where nobody listens', listen: () => freePort(), differences: {} },
  {
    name: 'a server that ends the connection instead of answering',
    listen: async (world) => world.tls(await world.ca.issue({ spiffeId: HTTPBIN_ID }), answering('', true)),
    differences: {},
  },
  {
    name: 'a server that ends in the head of its answer',
    listen: async (world) =>
      world.tls(await world.ca.issue({ spiffeId: HTTPBIN_ID }), answering('HTTP/1.1 200 OK\r\nx: ', true)),
    // Half a head is a protocol error for Envoy, and a server that is gone for us.
    differences: {
      status: [502, 503],
      body: [
        'upstream connect error or disconnect/reset before headers. reset reason: protocol error',
        'upstream connect error or disconnect/reset before headers. reset reason: connection termination',
      ],
      'header content-length': ['87', '95'],
      'log response_code': [502, 503],
      'log response_flags': ['UPE', 'UC'],
      'log response_code_details': [
        'upstream_reset_before_response_started{protocol_error}',
        'upstream_reset_before_response_started{connection_termination}',
      ],
    },
  },
  {
    name: 'a server that answers what is no HTTP',
    listen: async (world) =>
      world.tls(await world.ca.issue({ spiffeId: HTTPBIN_ID }), answering('nonsense\r\n\r\n')),
    differences: {},
  },
];

const COMPARED_LOG = [
  'response_code',
  'response_flags',
  'response_code_details',
  'connection_termination_details',
  'upstream_transport_failure_reason',
  'upstream_cluster',
  'upstream_host',
  'route_name',
] as const;

/** The answer and the log line, without what is of the moment: dates, and the port that the kernel chose. */
function seenOf(
  answer: {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: string;
  },
  line: Readonly<Record<string, unknown>>,
  port: number,
): Seen {
  const fields = answer.headers
    .filter(([name]) => name !== 'date')
    .map(([name, value]) => [`header ${name}`, value] as const);
  const logged = COMPARED_LOG.map((name) => {
    const value = line[name] ?? null;
    return [`log ${name}`, typeof value === 'string' ? value.replace(`:${port}`, ':PORT') : value] as const;
  });
  return { status: answer.status, body: answer.body, ...Object.fromEntries([...fields, ...logged]) };
}

function differencesOf(envoy: Seen, ours: Seen): Situation['differences'] {
  const found: Record<string, readonly [unknown, unknown]> = {};
  for (const name of new Set([...Object.keys(envoy), ...Object.keys(ours)]))
    if (envoy[name] !== ours[name]) found[name] = [envoy[name], ours[name]];
  return found;
}

async function askOn(port: number): Promise<Parameters<typeof seenOf>[0]> {
  using client = await connectRaw({ port, timeoutMs: 10_000 });
  const { body, headers, status } = await client.request(REQUEST);
  return {
    status,
    headers: headers.map(([name, value]) => [name.toLowerCase(), value]),
    body: body.toString(),
  };
}

/** The only line of an access log, once it is written. */
async function onlyLine(file: string): Promise<Readonly<Record<string, unknown>>> {
  const loop = async (): Promise<string> => {
    for (;;) {
      const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
      if (text.endsWith('\n')) return text;
      await delay(10);
    }
  };
  return JSON.parse(await withDeadline(loop(), 5_000, 'a line of our access log')) as Record<string, unknown>;
}

describe('an upstream that fails, beside Envoy', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let world: World;
  let envoy: EnvoyProcess;
  const ports = new Map<Situation, number>();

  before(async () => {
    world = new World(await TestCa.create('cluster.local'), await TestCa.create('cluster.local'));
    const { ca } = world;
    const identity = { own: await ca.issue({ spiffeId: SLEEP_ID }), rootPem: ca.rootPem };
    const outbounds: Outbound[] = [];
    for (const situation of SITUATIONS) {
      const upstreamPort = await situation.listen(world);
      ports.set(situation, upstreamPort);
      // A name of its own for each cluster: the pools and the log lines are told apart.
      const cluster = `${CLUSTER} ${outbounds.length}`;
      outbounds.push({ protocol: 'http', identity, upstreamPort, serverId: HTTPBIN_ID, cluster, sni: SNI });
    }
    envoy = await EnvoyProcess.start(
      bootstrap(
        outbounds.map((outbound, index) => outboundListener(String(index), outbound)),
        outbounds.map((outbound) => outboundCluster(outbound)),
      ),
    );
  });

  after(async () => {
    await envoy[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  for (const [index, situation] of SITUATIONS.entries()) {
    it(`${situation.name} looks the same but for what is told here`, async () => {
      const port = ports.get(situation)!;
      const from = envoy.lineCount;
      const theirAnswer = await askOn(envoy.ports[String(index)]!);
      const theirLine = await envoy.logLine(from);
      const theirs = seenOf(
        theirAnswer,
        { ...theirLine, upstream_cluster: String(theirLine['upstream_cluster']).split(' ')[0] },
        port,
      );

      const documents = EGRESS_HTTP + httpbinService([{ port, account: 'httpbin' }]);
      const settings = 'accessLog: {path: ./access.log, format: json}';
      await using client = await FlowClient.start(world.ca, documents, undefined, settings);
      const ourAnswer = await askOn(client.egress);
      const ours = seenOf(ourAnswer, await onlyLine(client.folder.join('access.log')), port);

      assert.deepEqual(differencesOf(theirs, ours), situation.differences, JSON.stringify({ theirs, ours }));
    });
  }
});
