import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import {
  createOriginalDestination,
  parseSockaddrIn,
  parseSockaddrIn6,
} from '../../src/intercept/original-destination.ts';
import { checkLeaks } from '../support/leak-check.ts';

checkLeaks();
const onLinux = process.platform === 'linux' ? false : 'needs Linux';

function sockaddrIn6(groups: string): Buffer {
  const value = Buffer.alloc(28);
  value.writeUInt16BE(443, 2);
  groups.split(':').forEach((group, word) => value.writeUInt16BE(Number.parseInt(group, 16), 8 + 2 * word));
  return value;
}

describe('SO_ORIGINAL_DST', () => {
  it('reads IPv4 socket addresses', () => {
    const value = Buffer.from([2, 0, 0x3a, 0x99, 10, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert.deepEqual(parseSockaddrIn(value), { ip: '10.0.0.255', port: 15001 });
  });

  const ipv6: readonly [groups: string, text: string][] = [
    ['fd00:0:0:0:0:0:0:2', 'fd00::2'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['2001:db8:0:0:1:0:0:0', '2001:db8:0:0:1::'],
    ['2001:db8:0:0:0:1:0:0', '2001:db8::1:0:0'],
    ['2001:0:1:0:1:0:1:0', '2001:0:1:0:1:0:1:0'],
    ['fe80:0:0:0:abcd:ef01:2345:6789', 'fe80::abcd:ef01:2345:6789'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['0:0:1:0:0:0:0:1', '0:0:1::1'],
    ['0:0:0:0:0:ffff:a00:2', '10.0.0.2'],
  ];
  for (const [groups, text] of ipv6) {
    it(`writes ${groups} as ${text}, as the system does`, () => {
      assert.deepEqual(parseSockaddrIn6(sockaddrIn6(groups)), { ip: text, port: 443 });
      if (!text.includes('.')) {
        assert.equal(new URL(`http://[${groups}]/`).hostname, `[${text}]`);
      }
    });
  }

  it(
    'says nothing, or the own address, of a connection that was not redirected',
    { skip: onLinux },
    async () => {
      const lookUp = createOriginalDestination();
      assert.equal(lookUp.unavailableReason, null);
      for (const host of ['127.0.0.1', '::1', '::']) {
        const server = net.createServer().listen(0, host);
        await once(server, 'listening');
        const address = server.address();
        assert.ok(address !== null && typeof address === 'object');
        const client = net.connect(address.port, host === '::' ? '127.0.0.1' : host);
        const accepted: unknown[] = await once(server, 'connection');
        const socket = accepted[0];
        assert.ok(socket instanceof net.Socket);
        const answer = lookUp.of(socket);
        if (answer !== null) assert.equal(answer.port, address.port);
        socket.destroy();
        assert.equal(lookUp.of(socket), null, 'a closed socket has no destination');
        client.destroy();
        server.close();
      }
    },
  );

  it('drops the one warning of node:ffi and no other', { skip: onLinux }, () => {
    const program = `
      const { createOriginalDestination } = await import(${JSON.stringify(new URL('../../src/intercept/original-destination.ts', import.meta.url).href)});
      process.on('warning', (warning) => console.log(warning.name + ': ' + warning.message));
      if (createOriginalDestination().unavailableReason !== null) throw new Error('not available');
      process.emitWarning('something else', 'ExperimentalWarning');
      process.emitWarning('FFI is old', 'DeprecationWarning');`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      stdio: 'pipe',
    });
    assert.equal(out, 'ExperimentalWarning: something else\nDeprecationWarning: FFI is old\n');
  });

  it('gives a reason instead of an answer where node:ffi is not allowed', { skip: onLinux }, () => {
    const program = `
      const { createOriginalDestination } = await import(${JSON.stringify(new URL('../../src/intercept/original-destination.ts', import.meta.url).href)});
      console.log(createOriginalDestination().unavailableReason);`;
    const out = execFileSync(
      process.execPath,
      ['--permission', '--allow-fs-read=*', '--input-type=module', '-e', program],
      { encoding: 'utf8', stdio: 'pipe' },
    );
    assert.match(out, /^node:ffi cannot be used: .+; allow it \(--allow-ffi\) or use intercept\.direct\n$/);
  });
});
