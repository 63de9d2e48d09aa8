/** SIGUSR1 once opened Node's debugger in the CA and the agent: a port where every user could read the keys. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runPostern, spawnPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

describe('SIGUSR1', () => {
  it('opens no debugger in a process that holds keys', async () => {
    using temp = new TempFolder();
    await runPostern(['token', '--new-key', 'token.key'], { cwd: temp.path });
    temp.write(
      'ca.yaml',
      'listen: {port: 0}\nroot: {selfSigned: {}}\ntokens: [{development: {publicKey: token.key.pub}}]\nadmin: {port: 0}\n',
    );
    await using ca = spawnPostern(['ca', '--config', 'ca.yaml'], { cwd: temp.path });
    const { ports } = (await ca.ready()) as unknown as { ports: { admin: number } };
    process.kill(ca.pid, 'SIGUSR1');
    // Answered after the signal was handled; the debugger says so before it listens.
    for (let i = 0; i < 20; i++)
      assert.equal((await fetch(`http://127.0.0.1:${ports.admin}/ready`)).status, 200);
    const { code } = await ca.stop();
    assert.equal(code, 0);
    assert.doesNotMatch(ca.stderr, /Debugger/);
  });
});
