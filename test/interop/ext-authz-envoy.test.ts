/**
 * ext_authz beside a real Envoy: both ask the same provider for the same request, and the provider must be told the
 * same; both get the same answer, and client and app must see the same.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { toJson } from '@bufbuild/protobuf';
import type { JsonValue } from '@bufbuild/protobuf';
import type { ExtAuthzProvider } from '../../src/core/authorization-plan.ts';
import type { PeerIdentity } from '../../src/core/peer-identity.ts';
import { CheckRequestSchema } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import type {
  CheckRequest,
  CheckResponseSchema,
} from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { GrpcProvider, makeFilter, providerOf, startGuarded } from '../filters/ext-authz-fixture.ts';
import type { Guarded } from '../filters/ext-authz-fixture.ts';
import { connectionFacts } from '../support/connection-facts.ts';
import type { LenientRequest } from '../support/lenient-request.ts';
import { connectRaw } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import type { RecordingUpstream } from '../support/recording-upstream.ts';
import { TestCa } from '../support/test-ca.ts';
import type { Issued } from '../support/test-ca.ts';
import { EnvoyProcess, SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import { extAuthzBootstrap } from './ext-authz-envoy.ts';

type GrpcAnswer = MessageInitShape<typeof CheckResponseSchema> | null;

const OWN_ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';
const PEER_ID = 'spiffe://cluster.local/ns/foo/sa/sleep';

const BODY = { maxRequestBytes: 8, allowPartialMessage: true, packAsBytes: false };

/** The providers of the chains, by name; ports are put in later. */
const CHAINS: Readonly<Record<string, Partial<ExtAuthzProvider>>> = {
  grpc: {},
  'grpc-open': { failOpen: true },
  'grpc-503': { statusOnError: 503 },
  'grpc-body': { body: BODY },
  'grpc-bytes': { body: { ...BODY, packAsBytes: true } },
  'grpc-whole': { body: { ...BODY, allowPartialMessage: false }, failOpen: true },
  http: { kind: 'http' },
  'http-open': { kind: 'http', failOpen: true },
  'http-lists': {
    kind: 'http',
    pathPrefix: '/check',
    includeRequestHeadersInCheck: ['x-in', 'cookie', 'x-pre*', '*-suf'],
    includeAdditionalHeadersInCheck: ['x-add', '1', 'x-over', 'fixed'],
    headersToUpstreamOnAllow: ['x-up', 'x-multi'],
    headersToDownstreamOnDeny: ['x-deny'],
    headersToDownstreamOnAllow: ['x-down'],
    body: BODY,
  },
};

/** What differs from run to run, or says only who asks. */
const ARTEFACTS = new Set([
  'date',
  'x-request-id',
  'x-envoy-upstream-service-time',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-internal',
  'connection',
]);

interface Seen {
  readonly check: JsonValue[];
  readonly httpChecks: string[][];
  readonly app: string[][];
  readonly client: readonly [number, string[], string];
  readonly details: string;
  readonly flags: string;
}

/** Method and target, the fields in alphabetical order, the body. */
function normalised({ body, headers, method, target }: LenientRequest): string[] {
  const kept = headers
    .map(([name, value]) => `${name.toLowerCase()}: ${value}`)
    .filter((line) => !ARTEFACTS.has(line.slice(0, line.indexOf(':'))));
  return [`${method} ${target}`, ...kept.toSorted(), body.toString('latin1')];
}

/** Without what is different for each request. */
function comparable(check: CheckRequest): JsonValue {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the shape of the message
  const json = structuredClone(toJson(CheckRequestSchema, check)) as unknown as Json;
  const { attributes } = json;
  for (const peer of [attributes.source, attributes.destination]) delete peer?.address;
  delete attributes.request?.time;
  delete attributes.request?.http?.id;
  if (attributes.request?.http?.headers !== undefined) {
    delete attributes.request.http.headers['x-request-id'];
    delete attributes.request.http.headers['x-forwarded-client-cert'];
  }
  return json as unknown as JsonValue;
}

interface Json {
  attributes: {
    source?: { address?: unknown };
    destination?: { address?: unknown };
    request?: { time?: unknown; http?: { id?: unknown; headers?: Record<string, unknown> } };
  };
}

const APP_ANSWER = 'HTTP/1.1 200 OK\r\nx-app: 1\r\nx-old: app\r\ncontent-length: 2\r\n\r\nok';
const OK_HTTP = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

const REQUESTS: Readonly<Record<string, string>> = {
  'a plain request': 'GET /a/../b?c=d HTTP/1.1\r\nhost: httpbin:80\r\n\r\n',
  'repeated and odd fields':
    'GET / HTTP/1.1\r\nhost: a\r\nx-in: 1\r\nX-In: 2\r\nx-raw: \u00e9\u00ff\r\nx-utf: \u00c3\u00a9\r\nte: trailers\r\ncookie: a=1\r\ncookie: b=2\r\nx-prefix: p\r\nx-a-suf: s\r\nx-over: c\r\nauthorization: Basic x\r\nx-empty:\r\n\r\n',
  'a path with two slashes': 'GET //admin/secret HTTP/1.1\r\nhost: a\r\n\r\n',
  'its own hop-by-hop and x-envoy fields':
    'GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, x-hop\r\nkeep-alive: 5\r\nx-hop: 1\r\n\r\n',
  'a body with a length': 'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc',
  'a body of the most that is taken': 'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\nabcdefgh',
  'a body that is longer': 'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabcdefghi',
  'a body in chunks': 'PUT /p HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  'a body that is no text': 'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\na\u00ff\u00c3\u00e9',
  'an empty body': 'POST /p HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n',
  HEAD: 'HEAD /p HTTP/1.1\r\nhost: a\r\n\r\n',
};

const RICH =
  'GET /p?z=1 HTTP/1.1\r\nhost: httpbin\r\nx-role: a\r\nx-role: b\r\nx-t: 1\r\nx-t: 2\r\nx-f: 1\r\nx-0: 1\r\nx-1: 1\r\nx-3: 1\r\nx-gone: 1\r\ncookie: a\r\nx-up: spoof\r\nx-other: o\r\n\r\n';
const GRPC_APP =
  'POST /pkg.Svc/M HTTP/1.1\r\nhost: httpbin\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n';

function option(key: string, value: string, more: object = {}): { header: { key: string; value: string } } {
  return { header: { key, value }, ...more };
}

const GRPC_ANSWERS: Readonly<Record<string, NonNullable<GrpcAnswer>>> = {
  'OK and no more': { status: { code: 0 } },
  'OK with everything': {
    httpResponse: {
      case: 'okResponse',
      value: {
        headers: [
          option('x-default', 'd'),
          option('X-Role', 'default'),
          option('x-t', 'app', { append: true }),
          option('x-none', 'n', { append: true }),
          option('x-h', '1', { append: true }),
          option('x-h', '2'),
          option('x-f', 'set', { append: false }),
          option('x-0', 'add', { appendAction: 0 }),
          option('x-1', 'absent', { appendAction: 1 }),
          option('x-11', 'absent', { appendAction: 1 }),
          option('x-2', 'over', { appendAction: 2 }),
          option('x-3', 'exists', { appendAction: 3 }),
          option('x-33', 'exists', { appendAction: 3 }),
          option('x-empty', ''),
          option('x-u', 'é'),
        ],
        headersToRemove: ['x-gone', 'host', ':path', 'Cookie'],
        responseHeadersToAdd: [
          option('x-old', 'added'),
          option('x-new', 'n'),
          option('x-app', 't', { append: true }),
          option('x-once', '1', { append: false }),
          option('x-once', '2', { append: false }),
          option('x-absent', '1', { appendAction: 1 }),
          option('x-absent', '2', { appendAction: 1 }),
          option('x-r3', 'q', { appendAction: 3 }),
        ],
      },
    },
  },
  'OK with another path': {
    httpResponse: { case: 'okResponse', value: { headers: [option(':path', '/other?x')] } },
  },
  'OK with an appended path': {
    httpResponse: {
      case: 'okResponse',
      value: { headers: [option(':path', '/other', { append: true })] },
    },
  },
  'OK with another host': {
    httpResponse: { case: 'okResponse', value: { headers: [option('host', 'other')] } },
  },
  'OK with a parameter set': {
    httpResponse: {
      case: 'okResponse',
      value: {
        queryParametersToSet: [
          { key: 'z', value: '2' },
          { key: 'zz', value: '3' },
        ],
      },
    },
  },
  'OK with a parameter removed': {
    httpResponse: { case: 'okResponse', value: { queryParametersToRemove: ['z'] } },
  },
  'denied and no more': { status: { code: 7 } },
  'denied with an empty response': {
    status: { code: 7 },
    httpResponse: { case: 'deniedResponse', value: {} },
  },
  'denied with everything': {
    status: { code: 7 },
    httpResponse: {
      case: 'deniedResponse',
      value: {
        status: { code: 401 },
        body: '{"é":1}',
        headers: [
          option('content-type', 'application/json'),
          option('x-a', '1'),
          option('x-a', '2'),
          option('content-length', '99'),
          option('server', 's'),
          option('location', '/x'),
        ],
      },
    },
  },
  'denied with a gRPC status and a body': {
    status: { code: 7 },
    httpResponse: {
      case: 'deniedResponse',
      value: { body: 'b', headers: [option('grpc-status', '5'), option('grpc-message', 'm')] },
    },
  },
  'denied with a gRPC status alone': {
    status: { code: 7 },
    httpResponse: {
      case: 'deniedResponse',
      value: { headers: [option('grpc-status', '5'), option('grpc-message', 'm')] },
    },
  },
  'denied with 204 and a body': {
    status: { code: 7 },
    httpResponse: { case: 'deniedResponse', value: { status: { code: 204 }, body: 'x' } },
  },
  'denied with 200': {
    status: { code: 7 },
    httpResponse: { case: 'deniedResponse', value: { status: { code: 200 }, body: 'hm' } },
  },
  'denied with the response of OK': {
    status: { code: 7 },
    httpResponse: { case: 'okResponse', value: { headers: [option('x-ok', '1')] } },
  },
  'OK with the response of a denial': {
    httpResponse: { case: 'deniedResponse', value: { status: { code: 401 } } },
  },
  'an error with a response': {
    status: { code: 13 },
    httpResponse: {
      case: 'errorResponse',
      value: { status: { code: 502 }, body: 'busy', headers: [option('retry-after', '3')] },
    },
  },
  'an error with a body alone': {
    status: { code: 13 },
    httpResponse: { case: 'errorResponse', value: { body: 'busy' } },
  },
};

const HTTP_ANSWERS: Readonly<Record<string, string>> = {
  '200': OK_HTTP,
  '200 with everything':
    'HTTP/1.1 200 OK\r\nx-up: 1\r\nx-multi: 1\r\nx-multi: 2\r\nx-down: d1\r\nx-down: d2\r\nx-deny: 1\r\nx-envoy-auth-headers-to-remove: x-other, cookie\r\nset-cookie: s=1\r\ncontent-length: 3\r\n\r\nabc',
  '200 with bytes beyond ASCII':
    'HTTP/1.1 200 OK\r\nx-up: \u00e9\u00c3\u00a9\r\nx-down: \u00ff\r\ncontent-length: 0\r\n\r\n',
  '403 with a gRPC status':
    'HTTP/1.1 403 No\r\ngrpc-status: 5\r\ngrpc-message: m\r\ncontent-length: 1\r\n\r\nx',
  '401 with everything':
    'HTTP/1.1 401 Nope\r\nserver: authz\r\nx-deny: 1\r\nx-deny: 2\r\nx-up: u\r\nwww-authenticate: Bearer\r\nlocation: /l\r\nset-cookie: s=1\r\nset-cookie: t=1\r\ncontent-type: application/json\r\ncontent-length: 2\r\nx-envoy-auth-headers-to-remove: a\r\n\r\n{}',
  '403 without a body': 'HTTP/1.1 403 No\r\nx-deny: 1\r\ncontent-length: 0\r\n\r\n',
  '302': 'HTTP/1.1 302 Found\r\nlocation: /l\r\ncontent-length: 1\r\n\r\nx',
  '418': 'HTTP/1.1 418 T\r\nx-deny: 1\r\ncontent-length: 1\r\n\r\nx',
  '500': 'HTTP/1.1 500 X\r\nx-up: 1\r\ncontent-length: 1\r\n\r\nx',
  '503': 'HTTP/1.1 503 X\r\ncontent-length: 1\r\n\r\nx',
};

describe('ext_authz beside Envoy', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let envoy: EnvoyProcess;
  let grpc: GrpcProvider;
  let http: RecordingUpstream;
  let app: RecordingUpstream;
  const ours = new Map<string, Guarded>();
  let client: Issued;
  let rootPem: string;
  let httpAnswer: string | null = null;

  before(async () => {
    grpc = await new GrpcProvider(() => null).listen();
    http = await startRecordingUpstream({ answer: () => httpAnswer });
    app = await startRecordingUpstream({ answer: () => APP_ANSWER });
    const ca = await TestCa.create('cluster.local');
    rootPem = ca.rootPem;
    const own = await ca.issue({ spiffeId: OWN_ID });
    client = await ca.issue({ spiffeId: PEER_ID });
    const chains = Object.entries(CHAINS).map(([name, differs]) => ({
      name,
      provider: providerFor(differs),
    }));
    envoy = await EnvoyProcess.start(
      extAuthzBootstrap(
        [
          ...chains,
          { name: 'mtls', provider: providerFor({}), identity: { own, rootPem } },
          { name: 'tcp', provider: providerFor({}), tcp: true },
        ],
        app.port,
      ),
    );
  });

  after(async () => {
    for (const guarded of ours.values()) await guarded[Symbol.asyncDispose]();
    await envoy[Symbol.asyncDispose]();
    await Promise.all([grpc.close(), http.close(), app.close()]);
  });

  function providerFor(differs: Partial<ExtAuthzProvider>): ExtAuthzProvider {
    return providerOf(differs.kind === 'http' ? http.port : grpc.port, { timeoutMs: 1_000, ...differs });
  }

  async function ourChain(name: string, peer: PeerIdentity | null): Promise<Guarded> {
    const known = ours.get(name);
    if (known !== undefined) return known;
    const provider = providerFor(CHAINS[name] ?? {});
    const guarded = await startGuarded({
      port: provider.port,
      provider,
      proxy: { peer },
      app: { answer: () => APP_ANSWER },
    });
    ours.set(name, guarded);
    return guarded;
  }

  /** What happens on one of the two sides. */
  async function see(
    from: { grpc: number; http: number },
    recorded: RecordingUpstream,
    appFrom: number,
    raw: RawClient,
    request: string,
    ended: () => Promise<{ details: string; flags: string }>,
  ): Promise<Seen> {
    using connection = raw;
    await connection.write(Buffer.from(request, 'latin1'));
    const response = await connection.readResponse(request.slice(0, request.indexOf(' ')));
    const fields = response.headers
      .map(([name, value]) => `${name}: ${value}`)
      .filter((line) => !ARTEFACTS.has(line.slice(0, line.indexOf(':'))));
    return {
      check: grpc.calls.slice(from.grpc).map(({ check }) => comparable(check)),
      httpChecks: http.requests.slice(from.http).map(normalised),
      app: recorded.requests.slice(appFrom).map(normalised),
      client: [response.status, fields.toSorted(), response.body.toString('latin1')],
      ...(await ended()),
    };
  }

  async function compare(
    chain: string,
    request: string,
    answer: GrpcAnswer | string,
    peer: PeerIdentity | null = null,
  ): Promise<Seen> {
    if (typeof answer === 'string') httpAnswer = answer;
    else grpc.script = () => answer;
    const from = (): { grpc: number; http: number } => ({
      grpc: grpc.calls.length,
      http: http.requests.length,
    });
    const line = envoy.lineCount;
    const port = envoy.ports[chain]!;
    const tls = {
      ca: rootPem,
      cert: client.chainPem,
      key: client.keyPem,
      checkServerIdentity: () => undefined,
    };
    const theirs = await see(
      from(),
      app,
      app.requests.length,
      await connectRaw(peer === null ? { port } : { port, tls }),
      request,
      async () => {
        const { response_code_details: details, response_flags: flags } = await envoy.logLine(line);
        return { details: String(details), flags: String(flags) };
      },
    );
    const guarded = await ourChain(chain, peer);
    const count = guarded.proxy.entries.length;
    const own = await see(
      from(),
      guarded.app,
      guarded.app.requests.length,
      await guarded.proxy.connect(),
      request,
      async () => {
        const { responseCodeDetails: details, responseFlags: flags } = await guarded.proxy.entry(count);
        return { details, flags };
      },
    );
    assert.deepEqual(own, theirs);
    return own;
  }

  for (const [name, head] of Object.entries(REQUESTS)) {
    it(`tells the provider the same of ${name}`, async () => {
      const seen = await compare('grpc', head, { status: { code: 0 } });
      assert.equal(seen.check.length, 1);
      for (const chain of ['grpc-body', 'grpc-bytes', 'http', 'http-lists'])
        await compare(chain, head, chain.startsWith('http') ? OK_HTTP : { status: { code: 0 } });
    });
  }

  it('tells the provider the same of both ends of an mTLS connection', async () => {
    const peer: PeerIdentity = {
      spiffeId: PEER_ID,
      trustDomain: 'cluster.local',
      namespace: 'foo',
      serviceAccount: 'sleep',
      dnsNames: [],
      subject: '',
      hash: '',
      serial: '01',
      notAfterMs: 0,
    };
    const seen = await compareWithoutXfcc(peer);
    assert.match(JSON.stringify(seen.check), /sa\/sleep/);
  });

  async function compareWithoutXfcc(peer: PeerIdentity): Promise<Seen> {
    ARTEFACTS.add('x-forwarded-client-cert');
    try {
      return await compare('mtls', 'GET /m HTTP/1.1\r\nhost: a\r\n\r\n', { status: { code: 0 } }, peer);
    } finally {
      ARTEFACTS.delete('x-forwarded-client-cert');
    }
  }

  for (const [name, answer] of Object.entries(GRPC_ANSWERS)) {
    it(`does the same with a gRPC answer: ${name}`, async () => {
      for (const chain of ['grpc', 'grpc-open', 'grpc-503']) await compare(chain, RICH, answer);
      await compare('grpc', GRPC_APP, answer);
    });
  }

  for (const [name, answer] of Object.entries(HTTP_ANSWERS)) {
    it(`does the same with an HTTP answer: ${name}`, async () => {
      for (const chain of ['http', 'http-open', 'http-lists']) await compare(chain, RICH, answer);
      await compare('http', GRPC_APP, answer);
    });
  }

  it('refuses a long body as Envoy does', async () => {
    const seen = await compare(
      'grpc-whole',
      'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabcdefghi',
      { status: { code: 0 } },
    );
    assert.equal(seen.client[0], 413);
  });

  it('tells the provider the same of a TCP connection', async () => {
    grpc.script = () => ({ status: { code: 7 } });
    let from = grpc.calls.length;
    using raw = await connectRaw({ port: envoy.ports['tcp']! });
    await raw.write('hello');
    await raw.readToEnd();
    const [theirs] = grpc.calls.slice(from);
    from = grpc.calls.length;
    const made = makeFilter({ port: grpc.port });
    await made.filter.onConnection(
      connectionFacts({
        protocol: 'tcp',
        destination: { ip: '127.0.0.1', port: 1 },
        remote: { ip: '127.0.0.1', port: 2 },
      }),
      {},
    );
    made.upstreams.close();
    made.world.pools.close();
    assert.deepEqual(comparable(grpc.calls[from]!.check), comparable(theirs!.check));
  });
});
