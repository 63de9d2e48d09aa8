import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import { readTcpTable, socketStates } from '../../bench/measure/sockets.ts';

const TABLE = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 38234 1 0000 100 0 0 10 0
  11: 0100007F:1F90 0100007F:A3C4 08 00000000:00000001 00:00000000 00000000     0        0 40001 1 0000 20 4 30 10 -1
  12: 0100007F:1F90 0100007F:A3C6 06 00000000:00000000 03:000017A1 00000000     0        0 0 3 0000
`;

function held(state: string): number {
  return socketStates([process.pid]).get(state) ?? 0;
}

describe('bench sockets', () => {
  it('reads the state of each inode', () => {
    const states = new Map<string, string>();
    readTcpTable(TABLE, states);
    assert.deepEqual(
      [...states],
      [
        ['38234', 'LISTEN'],
        ['40001', 'CLOSE_WAIT'],
        ['0', 'TIME_WAIT'],
      ],
    );
  });

  const isLinux = process.platform === 'linux';
  it('sees a CLOSE_WAIT of this process', { skip: isLinux ? false : 'needs /proc' }, async () => {
    const before = { listen: held('LISTEN'), closeWait: held('CLOSE_WAIT') };
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [served] = await accepted;
    try {
      assert.equal(held('LISTEN'), before.listen + 1);
      client.end();
      served.resume();
      await once(served, 'end');
      assert.equal(held('CLOSE_WAIT'), before.closeWait + 1);
    } finally {
      served.destroy();
      client.destroy();
      server.close();
      await once(server, 'close');
    }
  });
});
