import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { ProbeReport } from '../support/intercept-probe.ts';
import { Probe } from '../support/run-probe.ts';
import {
  CLIENT,
  HOST,
  ROUTER,
  buildNetwork,
  deleteNetwork,
  inside,
  run,
  runIn,
  skipNetns,
} from './network.ts';

const runFile = promisify(execFile);

/** Connects from a namespace and says what it read until the end, or the error's code. */
const CONNECT = `
  const [host, port] = process.argv.slice(1);
  const socket = require('node:net').connect({ host, port: Number(port), timeout: 5000 });
  let text = '';
  socket.on('data', (chunk) => { text += chunk; });
  socket.on('timeout', () => socket.destroy(new Error('timeout')));
  socket.on('error', (error) => { text = error.code ?? error.message; });
  socket.on('close', () => process.stdout.write(text));`;

async function connectFrom(namespace: string, host: string, port: number): Promise<string> {
  const words = [...inside(namespace), process.execPath, '-e', CONNECT, host, String(port)];
  return (await runFile(words[0]!, words.slice(1))).stdout;
}

interface Expected {
  readonly event: 'accepted' | 'refused';
  readonly kind?: 'inbound' | 'outbound';
  readonly code?: string;
  readonly destination: string;
}

/** The report in the words of the table. */
function summary(report: ProbeReport): Expected {
  const { event, route, code, destination } = report as unknown as {
    event: 'accepted' | 'refused';
    route?: { kind: 'inbound' | 'outbound'; destination: { ip: string; port: number } };
    code?: string;
    destination?: { ip: string; port: number };
  };
  const to = route?.destination ?? destination;
  return {
    event,
    ...(route === undefined ? {} : { kind: route.kind }),
    ...(code === undefined ? {} : { code }),
    destination: `${to?.ip} ${to?.port}`,
  };
}

const PREROUTING = '-t nat -A PREROUTING -i h0 -p tcp -j REDIRECT --to-ports 15001';
const PREROUTING_TWO_PORTS = '-t nat -A PREROUTING -i h0 -p tcp -j REDIRECT --to-ports 15006';
const OUTPUT = '-t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001';
/** Every own socket of the probe would be redirected too, if it dialled; it does not. */
const cases: readonly {
  readonly what: string;
  readonly rules: readonly string[];
  readonly from: string;
  readonly to: { readonly v4: string; readonly v6: string; readonly port: number };
  readonly expected: Omit<Expected, 'destination'> & { readonly port?: number };
  /** Destination of the report where it is not the one dialled. */
  readonly direct?: { readonly host: string; readonly port: number };
}[] = [
  {
    what: 'without rules, to our own port, is refused',
    rules: [],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15001 },
    expected: { event: 'refused', code: 'not_redirected' },
  },
  {
    what: 'without rules and with intercept.direct is inbound for the app',
    rules: [],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15001 },
    direct: { host: '127.0.0.1', port: 8080 },
    expected: { event: 'accepted', kind: 'inbound', port: 8080 },
  },
  {
    what: 'redirected in PREROUTING is inbound, with the port that was dialled',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 8080 },
    expected: { event: 'accepted', kind: 'inbound' },
  },
  {
    what: 'redirected in PREROUTING stays what it is with intercept.direct set',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 9090 },
    direct: { host: '127.0.0.1', port: 8080 },
    expected: { event: 'accepted', kind: 'inbound' },
  },
  {
    what: 'redirected to the inbound-only port is inbound',
    rules: [PREROUTING_TWO_PORTS],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 8080 },
    expected: { event: 'accepted', kind: 'inbound' },
  },
  {
    what: 'dialled to our own port under the rules is refused',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15001 },
    expected: { event: 'refused', code: 'not_redirected' },
  },
  {
    what: 'dialled to our other listener under the rules is refused',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15006 },
    expected: { event: 'refused', code: 'not_redirected' },
  },
  {
    what: 'dialled to the admin port under the rules is refused',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15000 },
    expected: { event: 'refused', code: 'own_port' },
  },
  {
    what: 'that a neighbour routes through us to a stranger is refused',
    rules: [PREROUTING],
    from: CLIENT,
    to: { v4: '192.0.2.7', v6: '2001:db8::7', port: 443 },
    expected: { event: 'refused', code: 'foreign_destination' },
  },
  {
    what: 'that a neighbour routes through us to the inbound-only port is refused',
    rules: [PREROUTING_TWO_PORTS],
    from: CLIENT,
    to: { v4: '192.0.2.7', v6: '2001:db8::7', port: 443 },
    expected: { event: 'refused', code: 'foreign_destination' },
  },
  {
    what: 'made on this host and redirected in OUTPUT is outbound',
    rules: [OUTPUT],
    from: HOST,
    to: { v4: '10.77.1.2', v6: 'fd77:1::2', port: 443 },
    expected: { event: 'accepted', kind: 'outbound' },
  },
  {
    what: 'made on this host to its own address is outbound and does not loop',
    rules: [OUTPUT],
    from: HOST,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 8080 },
    expected: { event: 'accepted', kind: 'outbound' },
  },
  {
    what: 'made on this host to our own port by its own address is refused',
    rules: [OUTPUT],
    from: HOST,
    to: { v4: '10.77.2.2', v6: 'fd77:2::2', port: 15001 },
    expected: { event: 'refused', code: 'not_redirected' },
  },
];

describe('a connection in a network of its own', { skip: skipNetns }, () => {
  before(() => {
    buildNetwork();
    // The neighbour sends what is for nobody it knows through the host, as a default route would.
    run(`ip -n ${ROUTER} route add 192.0.2.0/24 via 10.77.2.2`);
    run(`ip -n ${ROUTER} -6 route add 2001:db8::/32 via fd77:2::2`);
  });
  after(deleteNetwork);
  afterEach(() => {
    for (const tool of ['iptables', 'ip6tables']) runIn(HOST, `${tool} -t nat -F`);
  });

  for (const family of ['v4', 'v6'] as const) {
    for (const { what, rules, from, to, direct, expected } of cases) {
      it(`${what} (IP${family})`, async () => {
        for (const rule of rules) runIn(HOST, `${family === 'v4' ? 'iptables' : 'ip6tables'} ${rule}`);
        await using probe = new Probe(
          { bind: '::', port: 15001, inboundPort: 15006, direct: direct ?? null, hold: false },
          inside(HOST),
        );
        assert.equal((await probe.next()).event, 'listening');
        const heard = await connectFrom(from, to[family], to.port);
        const { port, ...rest } = expected;
        assert.deepEqual(summary(await probe.next()), {
          ...rest,
          destination: `${to[family]} ${port ?? to.port}`,
        });
        if (expected.event === 'accepted') assert.equal(heard, 'accepted\n');
        else assert.ok(heard === '' || heard === 'ECONNRESET', heard);
        assert.equal(probe.stderr, '');
      });
    }
  }

  it('is told from 127.0.0.1 and IPv4 binds just as well', async () => {
    runIn(HOST, `iptables ${PREROUTING}`);
    await using probe = new Probe(
      { bind: '0.0.0.0', port: 15001, inboundPort: null, direct: null, hold: false },
      inside(HOST),
    );
    assert.equal((await probe.next()).event, 'listening');
    assert.equal(await connectFrom(HOST, '127.0.0.1', 15001), '');
    assert.deepEqual(summary(await probe.next()), {
      event: 'refused',
      code: 'not_redirected',
      destination: '127.0.0.1 15001',
    });
    assert.equal(await connectFrom(CLIENT, '10.77.2.2', 80), 'accepted\n');
    assert.deepEqual(summary(await probe.next()), {
      event: 'accepted',
      kind: 'inbound',
      destination: '10.77.2.2 80',
    });
  });

  it('to an address that the host was given a moment ago is inbound', async () => {
    runIn(HOST, `iptables ${PREROUTING}`);
    await using probe = new Probe(
      { bind: '0.0.0.0', port: 15001, inboundPort: null, direct: null, hold: false },
      inside(HOST),
    );
    assert.equal((await probe.next()).event, 'listening');
    assert.equal(await connectFrom(CLIENT, '10.77.2.2', 80), 'accepted\n');
    assert.equal((await probe.next()).event, 'accepted');
    run(`ip -n ${HOST} addr add 10.77.2.3/24 dev h0`);
    assert.equal(await connectFrom(CLIENT, '10.77.2.3', 80), 'accepted\n');
    assert.deepEqual(summary(await probe.next()), {
      event: 'accepted',
      kind: 'inbound',
      destination: '10.77.2.3 80',
    });
  });
});
