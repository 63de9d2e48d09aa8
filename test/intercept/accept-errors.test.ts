import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import type net from 'node:net';
import { describe, it } from 'node:test';
import { connectRaw } from '../support/raw-client.ts';
import { Probe } from '../support/run-probe.ts';

const PRLIMIT = '/usr/bin/prlimit';

describe('a process that runs out of descriptors', () => {
  it(
    'stays alive and takes connections again when there are some',
    {
      skip: existsSync(PRLIMIT) ? false : `needs ${PRLIMIT}`,
    },
    async () => {
      const options = { bind: '127.0.0.1', port: 0, inboundPort: null, hold: true };
      await using probe = new Probe({ ...options, direct: { host: '127.0.0.1', port: 8080 } }, [
        PRLIMIT,
        '--nofile=64',
      ]);
      const listening = await probe.next();
      const { ports } = listening as unknown as { ports: { intercept: number } };
      const clients: net.Socket[] = [];
      try {
        for (let index = 0; index < 100; index++) {
          clients.push((await connectRaw({ port: ports.intercept })).socket);
        }
        // The first ones are taken; which of the rest the kernel holds or drops is its own affair.
        for (let index = 0; index < 20; index++) assert.equal((await probe.next()).event, 'accepted');
      } finally {
        for (const client of clients) client.destroy();
      }
      // A try may still meet a process without descriptors, which drops it; one of the next is answered.
      let answered = false;
      for (let tries = 0; tries < 50 && !answered; tries++) {
        using late = await connectRaw({ port: ports.intercept });
        answered = await late.readUntil('\n').then(
          () => true,
          () => false,
        );
      }
      assert.equal(answered, true);
      assert.equal(probe.running, true);
    },
  );
});
