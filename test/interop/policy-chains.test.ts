/**
 * Which chain takes a connection: every mode of PeerAuthentication, protocol of the port and way to arrive, to a real
 * Envoy with the translated listener and to our data half. Where they differ, a row of `docs/differences.md` says so.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import type { Issued } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { checkDifferenceRow } from './policy-difference-rows.ts';
import { targetOf } from './policy-explain.ts';
import { SKIP_WITHOUT_ENVOY } from './envoy-process.ts';
import type { Target } from './policy-client.ts';
import type { Mode, PolicySet, PortKind } from './policy-set.ts';
import { PolicyWorld, type ServedSet } from './policy-world.ts';

const WAIT_MS = 10_000;
const MODES: readonly Mode[] = ['STRICT', 'PERMISSIVE', 'DISABLE'];
const PORTS: readonly PortKind[] = ['http', 'auto', 'tcp'];

const ALPN_LISTS: readonly (readonly string[])[] = [
  [],
  ['istio-http/1.1', 'istio', 'http/1.1'],
  ['istio-http/1.0', 'istio', 'http/1.0'],
  ['istio-http/1.1'],
  ['istio'],
  ['istio-peer-exchange', 'istio'],
  ['istio', 'istio-http/1.1', 'http/1.1'],
  ['http/1.1', 'istio-http/1.1'],
  ['http/1.1'],
  ['h2', 'http/1.1'],
  ['h2'],
  ['istio-h2', 'istio', 'h2'],
  ['foo'],
];

const PAYLOADS = {
  'an HTTP request': 'GET /x HTTP/1.1\r\nhost: a\r\n\r\n',
  'no HTTP': 'ping\n',
  'HTTP/1.0': 'GET /x HTTP/1.0\r\n\r\n',
  'an HTTP/2 preface': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0',
} as const;

interface Arrival {
  /** null: plaintext. */
  readonly alpn: readonly string[] | null;
  readonly certificate: boolean;
  readonly payload: keyof typeof PAYLOADS;
}

const ARRIVALS: readonly Arrival[] = [
  ...(Object.keys(PAYLOADS) as Arrival['payload'][]).map((payload) => ({
    alpn: null,
    certificate: false,
    payload,
  })),
  ...ALPN_LISTS.flatMap((alpn): Arrival[] => [
    { alpn, certificate: true, payload: 'an HTTP request' },
    { alpn, certificate: true, payload: 'no HTTP' },
    { alpn, certificate: false, payload: 'an HTTP request' },
  ]),
];

/** What differs by design: the row that says so, for which payloads, what Envoy does and what we do. */
const DIFFERENCES: readonly {
  readonly row: string;
  readonly payloads: readonly Arrival['payload'][];
  readonly envoy: string;
  readonly ours: readonly string[];
}[] = [
  {
    row: 'HTTP/1.0 on an auto port',
    payloads: ['HTTP/1.0'],
    // As bytes: without the fields of a proxy.
    envoy: 'HTTP to the app, none, no identity',
    ours: ['HTTP to the app, http, no identity'],
  },
  {
    row: 'HTTP/1.0 on an HTTP port',
    payloads: ['HTTP/1.0'],
    envoy: 'status 426',
    ours: ['HTTP to the app, http, no identity'],
  },
  {
    row: 'HTTP/2',
    payloads: ['an HTTP request', 'no HTTP', 'an HTTP/2 preface'],
    envoy: 'an HTTP/2 server',
    // Where the client offers HTTP/1.1 as well, that is spoken.
    ours: ['closed', 'HTTP to the app, https, with identity', 'status 400'],
  },
];

describe('inbound chains beside Envoy', { skip: SKIP_WITHOUT_ENVOY }, () => {
  let world: PolicyWorld;
  let caller: Issued;

  before(async () => {
    world = await PolicyWorld.start();
    caller = await world.issue('cluster.local/ns/foo/sa/sleep');
  });

  after(() => world[Symbol.asyncDispose]());

  it(`are the same for ${MODES.length} modes, ${PORTS.length} protocols, ${ARRIVALS.length} arrivals`, async (test) => {
    const sets = MODES.flatMap((mode) => PORTS.map((port) => servedSet(mode, port)));
    const wrong: string[] = [];
    const used = new Set<string>();
    let compared = 0;
    await world.serve(sets, async ({ set }, _slot, theirs, ours) => {
      for (const arrival of ARRIVALS) {
        const [envoy, our] = await Promise.all([arrive(theirs, arrival), arrive(ours, arrival)]);
        compared++;
        if (envoy === our) continue;
        const allowed = DIFFERENCES.find(
          (one) => one.payloads.includes(arrival.payload) && one.envoy === envoy && one.ours.includes(our),
        );
        if (allowed === undefined)
          wrong.push(`${set.mode} ${set.port} ${JSON.stringify(arrival)}: Envoy ${envoy}, ours ${our}`);
        else used.add(allowed.row);
      }
    });
    assert.deepEqual(wrong, []);
    assert.equal(compared, sets.length * ARRIVALS.length);
    for (const { row } of DIFFERENCES) {
      checkDifferenceRow(row);
      assert.ok(used.has(row), `nothing differs any more as "${row}" says`);
    }
    test.diagnostic(`${compared} arrivals`);
  });

  /** What becomes of it: how the app got it, or how it ended. */
  async function arrive(target: Target, { alpn, certificate, payload }: Arrival): Promise<string> {
    const raw = net.connect({ ...target, noDelay: true });
    raw.on('error', () => raw.destroy());
    await withDeadline(once(raw, 'connect'), WAIT_MS, 'a connection');
    let socket: net.Socket = raw;
    let problem = '';
    if (alpn !== null) {
      const secured = tls.connect({
        socket: raw,
        rejectUnauthorized: false,
        ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }),
        ...(certificate && { cert: caller.chainPem, key: caller.keyPem }),
      });
      socket = secured;
      secured.on('error', (error: NodeJS.ErrnoException) => {
        problem = error.code ?? '';
        raw.destroy();
      });
      // What was agreed on is spoken, or Envoy waits a second before it closes.
      secured.on('secureConnect', () => {
        const agreed = secured.alpnProtocol === 'h2' ? 'an HTTP/2 preface' : payload;
        socket.write(Buffer.from(PAYLOADS[agreed], 'latin1'));
      });
    }
    let text = '';
    const answered = Promise.withResolvers<void>();
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (/^(?:pong|\0\0|HTTP\/1\.[\s\S]*\r\n\r\n)/.test(text)) answered.resolve();
    });
    socket.on('end', () => answered.resolve());
    raw.on('close', () => answered.resolve());
    if (socket === raw) socket.write(Buffer.from(PAYLOADS[payload], 'latin1'));
    await withDeadline(
      answered.promise,
      WAIT_MS,
      `an end of ${JSON.stringify({ alpn, certificate, payload })}`,
    );
    raw.destroy();
    return nameOf(text, problem);
  }
});

function nameOf(text: string, problem: string): string {
  // The app, or an HTTP codec, answered the ClientHello in plaintext.
  if (problem.includes('WRONG_VERSION') || problem.includes('PACKET_LENGTH'))
    return 'TLS bytes were answered in plaintext';
  if (text.startsWith('pong')) return 'bytes to the app';
  if (text.startsWith('\0\0')) return 'an HTTP/2 server';
  const status = /^HTTP\/1\.[01] ([0-9]{3})/.exec(text)?.[1];
  if (status === undefined) return 'closed';
  if (!text.includes('GET /x')) return `status ${status}`;
  const proto = /x-forwarded-proto: (https?)/.exec(text)?.[1] ?? 'none';
  return `HTTP to the app, ${proto}, ${text.includes('x-forwarded-client-cert') ? 'with' : 'no'} identity`;
}

function servedSet(mode: Mode, port: PortKind): ServedSet {
  const set: PolicySet = {
    name: `${mode} ${port}`,
    trust: { own: 'cluster.local', aliases: [] },
    normalization: 'DEFAULT',
    mode,
    port,
    policies: [],
    tokenRules: [],
  };
  return { set, snapshot: targetOf(set).snapshot };
}
