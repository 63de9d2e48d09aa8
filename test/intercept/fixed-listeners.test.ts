import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import type { AcceptedConnection, ArrivalContext } from '../../src/intercept/arrival.ts';
import { FixedListeners } from '../../src/intercept/fixed-listeners.ts';
import type { FixedListener } from '../../src/intercept/fixed-listeners.ts';
import { LiveConnections } from '../../src/intercept/live-connections.ts';

function egress(key: string, port = 0): FixedListener {
  return { kind: 'egress', key, bind: '127.0.0.1', port, workloadPort: 0, appTarget: null };
}

function ingress(key: string, workloadPort: number, port = 0): FixedListener {
  const appTarget = { host: '127.0.0.1', port: workloadPort };
  return { kind: 'ingress', key, bind: '127.0.0.1', port, workloadPort, appTarget };
}

describe('listeners that nobody redirects to', () => {
  const accepted: AcceptedConnection[] = [];
  const waiting: ((accepted: AcceptedConnection) => void)[] = [];
  const clients: Socket[] = [];
  let listeners = open();

  function open(): FixedListeners {
    const context: ArrivalContext = {
      live: new LiveConnections(),
      settings: () => ({
        limits: { maxConnections: 10, sniffTimeoutMs: 1_000 },
        protocolDetectionTimeoutMs: 0,
      }),
      handlers: {
        needsSniff: () => 'none',
        onAccepted: (one) => {
          accepted.push(one);
          waiting.shift()?.(one);
        },
        onClosed: () => {},
        onRefused: ({ detail }) => assert.fail(detail),
        onAcceptError: (error) => assert.fail(error),
      },
    };
    return new FixedListeners(context, false);
  }

  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
    for (const { socket } of accepted.splice(0)) socket.destroy();
    listeners.close();
    listeners = open();
  });

  async function arrive(port: number): Promise<AcceptedConnection> {
    const arrived = new Promise<AcceptedConnection>((resolve) => waiting.push(resolve));
    clients.push(connect(port, '127.0.0.1'));
    return arrived;
  }

  async function isOpen(port: number): Promise<boolean> {
    const client = connect(port, '127.0.0.1');
    clients.push(client);
    return new Promise((resolve) => {
      client.once('connect', () => resolve(true));
      client.once('error', () => resolve(false));
    });
  }

  it('name the egress listener, or the app behind the ingress listener', async () => {
    const prepared = await listeners.prepare([egress('8000'), ingress('8080', 8080)], null);
    prepared.commit();
    const out = await arrive(prepared.ports.egress['8000']!);
    assert.deepEqual(out.route, {
      kind: 'outbound',
      destination: { ip: '127.0.0.1', port: prepared.ports.egress['8000'] },
      listener: '8000',
    });
    const into = await arrive(prepared.ports.ingress['8080']!);
    assert.deepEqual(into.route, {
      kind: 'inbound',
      destination: { ip: '127.0.0.1', port: 8080 },
      appTarget: { host: '127.0.0.1', port: 8080 },
      direct: true,
    });
  });

  it('keep their socket when only what is behind it changes', async () => {
    const first = await listeners.prepare([ingress('0', 8080)], null);
    first.commit();
    const second = await listeners.prepare([ingress('0', 9090)], null);
    assert.deepEqual(second.ports, first.ports);
    second.commit();
    const { route } = await arrive(first.ports.ingress['0']!);
    assert.equal(route.destination.port, 9090);
  });

  it('go when the configuration does not name them any more, after commit and not before', async () => {
    const first = await listeners.prepare([egress('a'), egress('b')], null);
    first.commit();
    const gone = first.ports.egress['b']!;
    const second = await listeners.prepare([egress('a')], null);
    assert.equal(await isOpen(gone), true);
    second.commit();
    assert.equal(await isOpen(gone), false);
    assert.equal(await isOpen(first.ports.egress['a']!), true);
  });

  it('leave nothing open when one of them cannot be opened, and what was open stays', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    try {
      const { port } = taken.address() as AddressInfo;
      const first = await listeners.prepare([egress('a')], null);
      first.commit();
      await assert.rejects(
        listeners.prepare([egress('a'), egress('new'), egress('c', port)], null),
        new RegExp(`Cannot listen on "127.0.0.1:${port}": .*EADDRINUSE.*; free the port`),
      );
      assert.equal(await isOpen(first.ports.egress['a']!), true);
    } finally {
      taken.close();
    }
  });

  it('take the port that another worker has got, and roll back to what was', async () => {
    const first = await listeners.prepare([egress('a')], null);
    first.commit();
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const second = await listeners.prepare([egress('a'), egress('b')], { ingress: {}, egress: { b: port } });
    assert.equal(second.ports.egress['b'], port);
    second.rollback();
    assert.equal(await isOpen(port), false);
    assert.equal(await isOpen(first.ports.egress['a']!), true);
  });
});
