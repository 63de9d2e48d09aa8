import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import net from 'node:net';
import { describe, it } from 'node:test';
import { whyOf } from '../../src/core/errors.ts';
import type { SecretMaterial, SecretSource } from '../../src/core/secret.ts';
import { type AgentOptions, type RunningAgent, startAgent } from '../../src/identity/agent-start.ts';
import type { RunningCa } from '../../src/identity/ca-start.ts';
import { createSdsSecrets } from '../../src/identity/sds-client.ts';
import { SILENT_LOG } from '../../src/observe/log.ts';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { CaFixture, HOUR_MS, tokenFor } from './ca-fixture.ts';

function optionsFor(temp: TempFolder, ca: RunningCa, more: Partial<AgentOptions> = {}): AgentOptions {
  return {
    workload: { namespace: 'foo', serviceAccount: 'sleep' },
    socket: { path: temp.join('agent.sock'), mode: 0o600, uids: [] },
    ca: {
      address: `127.0.0.1:${ca.ports.ca}`,
      serverName: 'istiod.istio-system.svc',
      root: { pem: ca.rootPem },
    },
    token: { get: () => tokenFor('foo', 'sleep') },
    certificate: { ttlMs: 24 * HOUR_MS, key: 'ecdsa-p256', renewAt: 0.5, jitter: 0.01 },
    trustBundleFile: null,
    readiness: { bind: '127.0.0.1', port: 0 },
    log: SILENT_LOG,
    ...more,
  };
}

/** A proxy's side: what came, in order. */
class Receiver implements Disposable {
  readonly #source: SecretSource;
  readonly secrets: SecretMaterial[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(agent: RunningAgent, tokenFile: string | null = null) {
    this.#source = createSdsSecrets({
      socket: agent.sockets[0],
      certificateName: 'default',
      bundleName: 'ROOTCA',
      tokenFile,
      trustDomains: ['cluster.local'],
      workload: { namespace: 'foo', name: 'sleep-1' },
    });
  }

  async start(): Promise<void> {
    await this.#source.start(
      (secret) => {
        this.secrets.push(secret);
        this.#wake.resolve();
        this.#wake = Promise.withResolvers<void>();
      },
      () => {},
    );
  }

  async received(count: number): Promise<SecretMaterial> {
    while (this.secrets.length < count) await this.#wake.promise;
    return this.secrets[count - 1]!;
  }

  [Symbol.dispose](): void {
    this.#source.stop();
  }
}

async function ready(agent: RunningAgent): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${agent.ports.readiness}/healthz/ready`);
  return `${response.status} ${(await response.text()).trim()}`;
}

describe('an agent with its socket', () => {
  checkLeaks();

  it('brings a certificate of the CA to a proxy, and each renewal, and no key to the disk', async () => {
    using temp = new TempFolder();
    await using fixture = await CaFixture.start({ rootFolder: temp.join('ca') });
    const agent = await startAgent(optionsFor(temp, fixture.ca));
    using receiver = new Receiver(agent);
    try {
      await receiver.start();
      const first = await receiver.received(1);
      const keys = [first.privateKeyPem];
      const bundle = first.bundles['cluster.local']!;
      assert.ok(verifyOwnIdentity(first.certificateChainPem, first.privateKeyPem, bundle, Date.now()).ok);
      for (let version = 2; version <= 4; version++) {
        const renewed = await agent.renew();
        const secret = await receiver.received(version);
        assert.equal(secret.privateKeyPem, renewed.keyPem);
        assert.equal(secret.trustVersion, first.trustVersion);
        keys.push(secret.privateKeyPem);
      }
      assert.equal(new Set(keys).size, 4);
      assert.equal(await ready(agent), '200 LIVE');
      for (const name of readdirSync(temp.path, { recursive: true, withFileTypes: true })) {
        if (!name.isFile()) continue;
        const text = readFileSync(`${name.parentPath}/${name.name}`, 'utf8');
        for (const key of keys) assert.ok(!text.includes(key.split('\n')[1]!), name.name);
      }
    } finally {
      await agent.close();
    }
    assert.ok(!readdirSync(temp.path).includes('agent.sock'), 'the socket is left behind');
  });

  it("asks with the token of the proxy's stream if it has none", async () => {
    using temp = new TempFolder();
    await using fixture = await CaFixture.start();
    const agent = await startAgent(optionsFor(temp, fixture.ca, { token: null }));
    using receiver = new Receiver(agent, temp.write('token', await tokenFor('foo', 'sleep')));
    try {
      assert.equal(agent.secret(), null);
      assert.equal(await ready(agent), '200 LIVE');
      await receiver.start();
      await receiver.received(1);
      assert.equal(agent.secret()?.keyPem, receiver.secrets[0]!.privateKeyPem);
      await agent.renew();
      await receiver.received(2);
    } finally {
      await agent.close();
    }
  });

  it("is not ready, and gives nothing out, with another workload's token", async () => {
    using temp = new TempFolder();
    await using fixture = await CaFixture.start();
    const token = { get: () => tokenFor('foo', 'admin') };
    const agent = await startAgent(optionsFor(temp, fixture.ca, { token }));
    try {
      await assert.rejects(agent.renew(), { code: 'ca_refused' });
      assert.match(await ready(agent), /^503 NOT READY: no_certificate: ca_refused: /);
      assert.equal(agent.secret(), null);
      await fixture.log.waitFor('csr_identity_mismatch');
    } finally {
      await agent.close();
    }
  });

  it('starts without a CA', async () => {
    using temp = new TempFolder();
    await using fixture = await CaFixture.start();
    const options = optionsFor(temp, fixture.ca);
    await fixture.ca.close();
    const agent = await startAgent(options);
    await assert.rejects(agent.renew(), { code: 'ca_unreachable' });
    assert.match(await ready(agent), /^503 NOT READY: no_certificate: ca_unreachable: /);
    await agent.close();
  });

  it('says which setting to change when it cannot start, and leaves nothing open', async () => {
    using temp = new TempFolder();
    await using fixture = await CaFixture.start();
    const taken = net.createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as net.AddressInfo;
    const { ca } = optionsFor(temp, fixture.ca);
    try {
      for (const [more, says] of [
        [{ readiness: { bind: '127.0.0.1', port } }, /EADDRINUSE.*readiness\.port/],
        [{ ca: { ...ca, address: 'nowhere' } }, /ca\.address "nowhere".*HOST:PORT/],
        [{ ca: { ...ca, root: { file: temp.join('none.pem') } } }, /ca\.root ".*none\.pem"/],
        [{ trustBundleFile: temp.join('none.pem') }, /none\.pem".*trustBundle\.file/],
        [{ socket: { path: temp.write('file', ''), mode: 0o600, uids: [] } }, /file": /],
      ] as const)
        await assert.rejects(startAgent(optionsFor(temp, fixture.ca, more)), (thrown) => {
          assert.match(whyOf(thrown), says);
          return true;
        });
    } finally {
      taken.close();
    }
  });
});
