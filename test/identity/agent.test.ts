import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, it } from 'node:test';
import { MeshError, whyOf } from '../../src/core/errors.ts';
import { Agent, type AgentIdentityOptions } from '../../src/identity/agent.ts';
import { mergeRoots } from '../../src/identity/agent-answer.ts';
import { MAX_RETRY_MS, renewalTimeMs, retryDelayMs } from '../../src/identity/agent-schedule.ts';
import { createAuthority } from '../../src/identity/authority.ts';
import { verifyOwnIdentity } from '../../src/svid/own-identity.ts';
import { parseRoots } from '../../src/svid/trust-bundles.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { CapturedLog, HOUR_MS } from './ca-fixture.ts';
import { ScriptedCa } from './scripted-ca.ts';

class AgentFixture implements AsyncDisposable {
  readonly ca: ScriptedCa;
  readonly log = new CapturedLog();
  readonly agent: Agent;
  #looks = 0;
  #looked = Promise.withResolvers<void>();

  constructor(ca: ScriptedCa, more: Partial<AgentIdentityOptions> = {}) {
    this.ca = ca;
    this.agent = new Agent({
      workload: { namespace: 'foo', serviceAccount: 'sleep' },
      ca: { address: ca.address, serverName: 'istiod.istio-system.svc', root: { pem: ca.authority.rootPem } },
      token: { get: () => Promise.resolve('own.token.x') },
      certificate: { ttlMs: 24 * HOUR_MS, key: 'ecdsa-p256', renewAt: 0.5, jitter: 0.01 },
      trustBundleFile: null,
      log: this.log,
      nowMs: () => {
        this.#looks++;
        this.#looked.resolve();
        this.#looked = Promise.withResolvers<void>();
        return Date.now() + ca.clockMs;
      },
      checkIntervalMs: 5,
      ...more,
    });
  }

  static async start(more: Partial<AgentIdentityOptions> = {}): Promise<AgentFixture> {
    return new AgentFixture(await ScriptedCa.start(), more);
  }

  /** Resolves at the next push. */
  changed(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unsubscribe = this.agent.subscribe(() => {
      unsubscribe();
      resolve();
    });
    return promise;
  }

  /** Waits until the agent looked at the clock that often again. */
  async looks(count: number): Promise<void> {
    const until = this.#looks + count;
    while (this.#looks < until) await this.#looked.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.close();
    await this.ca.close();
  }
}

async function refusal(promise: Promise<unknown>): Promise<MeshError> {
  try {
    await promise;
  } catch (thrown) {
    assert.ok(thrown instanceof MeshError, String(thrown));
    return thrown;
  }
  throw new Error('nothing was refused');
}

describe('an agent', () => {
  checkLeaks();

  it('gives a certificate that peers accept, with the root last, and asks for it once', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca } = fixture;
    const secrets = await Promise.all(Array.from({ length: 20 }, () => agent.get('')));
    assert.equal(ca.calls.length, 1);
    assert.equal(new Set(secrets).size, 1);
    const [secret] = secrets;
    const answer = verifyOwnIdentity(secret!.chainPem, secret!.keyPem, secret!.rootsPem, Date.now());
    assert.ok(answer.ok, JSON.stringify(answer));
    assert.equal(answer.identity.facts.serial, secret!.serial);
    assert.equal(answer.identity.facts.notAfterMs, secret!.notAfterMs);
    assert.ok(secret!.chainPem.endsWith(secret!.rootsPem));
    assert.equal(ca.calls[0]!.validitySeconds, 86_400n);
    assert.deepEqual(ca.calls[0]!.authorization, ['Bearer own.token.x']);
    assert.equal(await agent.get(''), secret);
    assert.equal(ca.calls.length, 1);
  });

  it('asks at once if it has a token of its own, and waits for a stream if not', async () => {
    await using eager = await AgentFixture.start();
    await eager.agent.start();
    await eager.ca.called(1);
    await using lazy = await AgentFixture.start({ token: null });
    await lazy.agent.start();
    assert.equal((await refusal(lazy.agent.get(''))).code, 'token_missing');
    assert.equal(lazy.ca.calls.length, 0);
    assert.match(lazy.agent.unreadyReason ?? '', /^token_missing: /);
    const secret = await lazy.agent.get('stream.token.x');
    assert.deepEqual(lazy.ca.calls[0]!.authorization, ['Bearer stream.token.x']);
    assert.equal(lazy.agent.unreadyReason, null);
    assert.equal(await lazy.agent.get('stream.token.x'), secret);
    assert.equal(lazy.ca.calls.length, 1);
  });

  it('gives a stream nothing for no token, a refused one or that of another workload, also later', async () => {
    await using fixture = await AgentFixture.start({ token: null });
    const { agent, ca, log } = fixture;
    ca.accepts = (bearer) => bearer !== 'refused.token.x';
    const secret = await agent.get('good.token.x');
    assert.equal((await refusal(agent.get(''))).code, 'token_missing');
    for (const again of [1, 2])
      assert.equal((await refusal(agent.get('refused.token.x'))).code, 'ca_refused', String(again));
    ca.spiffeId = 'spiffe://cluster.local/ns/bar/sa/sleep';
    assert.equal((await refusal(agent.get('other.token.x'))).code, 'ca_bad_answer');
    // Neither ready state nor renewal are theirs to spoil.
    assert.equal(agent.unreadyReason, null);
    assert.deepEqual(log.codes(), ['certificate_received']);
    ca.spiffeId = 'spiffe://cluster.local/ns/foo/sa/sleep';
    assert.equal(await agent.get('rotated.token.x'), secret);
    const calls = ca.calls.length;
    for (const token of ['good.token.x', 'rotated.token.x']) assert.equal(await agent.get(token), secret);
    assert.equal(ca.calls.length, calls, 'the CA is asked once for a token');
  });

  it('gives a known token its certificate while the CA is away, and holds few that are not known', async () => {
    await using fixture = await AgentFixture.start({ token: null });
    const { agent, ca } = fixture;
    const secret = await agent.get('good.token.x');
    const gate = Promise.withResolvers<void>();
    ca.gate = gate.promise;
    const others = Array.from({ length: 16 }, (_, i) => refusal(agent.get(`other.${i}.x`)));
    assert.equal((await refusal(agent.get('one.too.many'))).code, 'token_invalid');
    assert.equal(await agent.get('good.token.x'), secret);
    agent.close();
    gate.resolve();
    for (const error of await Promise.all(others)) assert.equal(error.code, 'ca_unreachable');
  });

  it('renews at half of the life with another key, and not before', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca } = fixture;
    await agent.start();
    const first = await agent.get('');
    ca.clockMs = 11.5 * HOUR_MS;
    await fixture.looks(20);
    assert.equal(ca.calls.length, 1);
    const changed = fixture.changed();
    ca.clockMs = 12.5 * HOUR_MS;
    await changed;
    const second = agent.secret!;
    assert.notEqual(second.serial, first.serial);
    assert.notEqual(second.keyPem, first.keyPem);
    assert.equal(second.rootsPem, first.rootsPem);
    assert.equal(ca.calls.length, 2);
    assert.equal(await agent.get(''), second);
  });

  it('heals by itself after a sleep that outlasted the certificate', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca } = fixture;
    await agent.start();
    const first = await agent.get('');
    const gate = Promise.withResolvers<void>();
    ca.gate = gate.promise;
    const changed = fixture.changed();
    ca.clockMs = 72 * HOUR_MS;
    assert.equal(agent.secret, null, 'an expired certificate is not given out');
    assert.match(agent.unreadyReason ?? '', /^identity_expired: /);
    const asked = agent.get('');
    gate.resolve();
    assert.notEqual((await asked).serial, first.serial);
    await changed;
    assert.equal(agent.unreadyReason, null);
    assert.equal(ca.calls.length, 2);
  });

  it('renews when the clock was set back to before its certificate begins, once', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca } = fixture;
    ca.clockMs = 10 * HOUR_MS;
    await agent.start();
    const early = await agent.get('');
    const renewed = fixture.changed();
    ca.clockMs = 0;
    await renewed;
    assert.notEqual((await agent.get('')).serial, early.serial);
    await fixture.looks(4);
    assert.equal(ca.calls.length, 2);
  });

  it('gives out the old certificate while the CA is away, and heals when it is back', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca, log } = fixture;
    await agent.start();
    const first = await agent.get('');
    await ca.close();
    ca.clockMs = 13 * HOUR_MS;
    const line = await log.waitFor('ca_unreachable');
    assert.match(line.message, /old certificate stays/);
    assert.match(String(line.fields['why']), /ECONNREFUSED.*ca\.address/);
    assert.equal(await agent.get(''), first);
    assert.equal(agent.unreadyReason, null);
    const changed = fixture.changed();
    await ca.open();
    await changed;
    assert.notEqual(agent.secret!.serial, first.serial);
  });

  it('starts without a CA, asks again when somebody asks, and twice a second at most', async () => {
    await using fixture = await AgentFixture.start({ checkIntervalMs: 60_000 });
    const { agent, ca, log } = fixture;
    await ca.close();
    const started = performance.now();
    for (let i = 0; i < 3; i++) assert.equal((await refusal(agent.get(''))).code, 'ca_unreachable');
    assert.ok(performance.now() - started >= 950, 'three attempts have two pauses of half a second');
    assert.match(agent.unreadyReason ?? '', /^ca_unreachable: /);
    assert.equal(log.codes().filter((code) => code === 'ca_unreachable').length, 3);
    await ca.open();
    assert.notEqual((await agent.get('')).serial, '');
  });

  it('asks with the token that is newest, and with the one that worked if that is refused', async () => {
    await using fixture = await AgentFixture.start({ token: null });
    const { agent, ca } = fixture;
    ca.accepts = (bearer) => bearer === 'good.token.x';
    assert.equal((await refusal(agent.get('bad.token.x'))).code, 'ca_refused');
    await agent.get('good.token.x');
    // Whoever may connect can offer nonsense, and spoils no renewal with it.
    assert.equal((await refusal(agent.get('nonsense.token.x'))).code, 'ca_refused');
    const from = ca.calls.length;
    await agent.renew();
    const bearers = ca.calls.slice(from).map(({ authorization }) => authorization[0]);
    assert.deepEqual(bearers, ['Bearer nonsense.token.x', 'Bearer good.token.x']);
  });

  it('does not refuse a good token for a bad one that somebody else was asking with', async () => {
    await using fixture = await AgentFixture.start({ token: null });
    const { agent, ca } = fixture;
    ca.accepts = (bearer) => bearer === 'good.token.x';
    const gate = Promise.withResolvers<void>();
    ca.gate = gate.promise;
    const bad = refusal(agent.get('bad.token.x'));
    await ca.called(1);
    const good = agent.get('good.token.x');
    gate.resolve();
    assert.equal((await bad).code, 'ca_refused');
    assert.notEqual((await good).serial, '');
  });

  it('reads its token file at each request', async () => {
    using temp = new TempFolder();
    const file = temp.write('token', 'one.token.x\n');
    await using fixture = await AgentFixture.start({ token: { file } });
    const { agent, ca } = fixture;
    await agent.renew();
    temp.write('token', 'two.token.x');
    await agent.renew();
    assert.deepEqual(
      ca.calls.map(({ authorization }) => authorization[0]),
      ['Bearer one.token.x', 'Bearer two.token.x'],
    );
    for (const content of ['', 'two words', 'a\nb']) {
      temp.write('token', content);
      assert.equal((await refusal(agent.renew())).code, 'token_missing', content);
    }
    temp.remove();
    const missing = await refusal(agent.renew());
    assert.match(whyOf(missing), /ENOENT.*token\.file/);
  });

  it('uses no answer that is not its own', async () => {
    const other = await createAuthority({ trustDomain: 'cluster.local' });
    const rows: readonly (readonly [what: string, script: (ca: ScriptedCa) => void, why: RegExp])[] = [
      [
        'another identity',
        (ca) => (ca.spiffeId = 'spiffe://cluster.local/ns/foo/sa/admin'),
        /is for "spiffe:.*sa\/admin", the workload is "foo\/sleep"/,
      ],
      [
        'a longer identity',
        (ca) => (ca.spiffeId = 'spiffe://cluster.local/ns/foo/sa/sleep/x'),
        /the workload is "foo\/sleep"/,
      ],
      ['another key', (ca) => (ca.signsOtherKey = true), /private key does not fit/],
      ['another root', (ca) => (ca.rewrite = ([leaf = '']) => [leaf, other.rootPem]), /does not reach/],
      ['one element', (ca) => (ca.rewrite = ([leaf = '']) => [leaf]), /it has 1 elements/],
      ['nothing', (ca) => (ca.rewrite = () => []), /it has 0 elements/],
      ['no PEM', (ca) => (ca.rewrite = () => ['a', 'b']), /cannot be used/],
      ['a leaf for a root', (ca) => (ca.rewrite = ([leaf = '']) => [leaf, leaf]), /not a CA's/],
      ['an expired one', (ca) => (ca.ttlMs = -1_000), /has expired/],
    ];
    for (const [what, script, why] of rows) {
      await using fixture = await AgentFixture.start();
      script(fixture.ca);
      const error = await refusal(fixture.agent.get(''));
      assert.equal(error.code, 'ca_bad_answer', what);
      assert.match(whyOf(error), why, what);
      assert.equal(fixture.agent.secret, null);
      assert.doesNotMatch(fixture.log.text, /PRIVATE KEY/);
    }
  });

  it('keeps the old certificate when the next answer is bad', async () => {
    await using fixture = await AgentFixture.start();
    const first = await fixture.agent.get('');
    fixture.ca.signsOtherKey = true;
    assert.equal((await refusal(fixture.agent.renew())).code, 'ca_bad_answer');
    assert.equal(await fixture.agent.get(''), first);
  });

  it('pushes a change of root', async () => {
    await using fixture = await AgentFixture.start();
    const { agent, ca, log } = fixture;
    const first = await agent.get('');
    // The server's own certificate stays that of the old root.
    ca.authority = await createAuthority({ trustDomain: 'cluster.local' });
    const changed = fixture.changed();
    const second = await agent.renew();
    await changed;
    assert.notEqual(second.rootsPem, first.rootsPem);
    assert.equal(second.rootsPem, mergeRoots([ca.authority.rootPem]));
    assert.equal(log.lines.at(-1)!.fields['rootsChanged'], true);
  });

  it('adds the roots of a file, each once and sorted, as soon as they change, and keeps them on an error', async () => {
    using temp = new TempFolder();
    const [one, two] = await Promise.all([
      createAuthority({ trustDomain: 'cluster.local' }),
      createAuthority({ trustDomain: 'cluster.local' }),
    ]);
    const file = temp.write('extra.pem', one.rootPem);
    await using fixture = await AgentFixture.start({ trustBundleFile: file });
    const { agent, ca, log } = fixture;
    await agent.start();
    const first = await agent.get('');
    assert.equal(first.rootsPem, mergeRoots([ca.authority.rootPem, one.rootPem]));
    const changed = fixture.changed();
    temp.write('extra.pem', two.rootPem + ca.authority.rootPem + one.rootPem + two.rootPem);
    await changed;
    const second = agent.secret!;
    assert.equal(second.rootsPem, mergeRoots([one.rootPem, two.rootPem, ca.authority.rootPem]));
    const roots = parseRoots(second.rootsPem);
    assert.ok(!('problem' in roots));
    assert.equal(roots.length, 3);
    assert.equal(second.serial, first.serial, 'other roots need no other certificate');
    temp.write('extra.pem', 'cut off');
    await log.waitFor('identity_invalid');
    assert.equal(agent.secret, second);
  });

  it('does not start with roots that cannot be used, and leaves nothing open', async () => {
    using temp = new TempFolder();
    await using fixture = await AgentFixture.start({ trustBundleFile: temp.join('missing.pem') });
    assert.equal((await refusal(fixture.agent.start())).code, 'identity_invalid');
    const { ca } = fixture;
    const root = { file: temp.write('root.pem', 'nonsense') };
    const { address } = ca;
    await using rootless = new AgentFixture(ca, {
      ca: { address, serverName: 'localhost', root },
    });
    assert.equal((await refusal(rootless.agent.start())).code, 'ca_untrusted');
  });

  it('says which it was: an unknown root, another name, nobody there, no TLS', async () => {
    const other = await createAuthority({ trustDomain: 'cluster.local' });
    await using ca = await ScriptedCa.start();
    const mute = net.createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port: mutePort } = mute.address() as net.AddressInfo;
    const { address } = ca;
    const root = { pem: ca.authority.rootPem };
    const rows = [
      [{ address, serverName: 'istiod.istio-system.svc', root: { pem: other.rootPem } }, 'ca_untrusted'],
      [{ address, serverName: 'elsewhere.example', root }, 'ca_wrong_name'],
      [{ address, serverName: '10.9.9.9', root }, 'ca_wrong_name'],
      [{ address: '127.0.0.1:1', serverName: 'localhost', root }, 'ca_unreachable'],
      [{ address: `127.0.0.1:${mutePort}`, serverName: 'localhost', root }, 'ca_unreachable'],
    ] as const;
    try {
      for (const [to, code] of rows) {
        const fixture = new AgentFixture(ca, { ca: to });
        const error = await refusal(fixture.agent.get(''));
        assert.equal(error.code, code, whyOf(error));
        fixture.agent.close();
      }
      for (const serverName of ['127.0.0.1', 'localhost']) {
        const fixture = new AgentFixture(ca, { ca: { address, serverName, root } });
        assert.notEqual((await fixture.agent.get('')).serial, '');
        fixture.agent.close();
      }
    } finally {
      mute.close();
    }
  });

  it('shows nothing of a key or a token in its log, whatever happens', async () => {
    await using fixture = await AgentFixture.start({ token: null });
    const { agent, ca, log } = fixture;
    ca.accepts = (bearer) => bearer !== 'secret.refused.token';
    await refusal(agent.get('secret.refused.token'));
    const secret = await agent.get('secret.good.token');
    ca.signsOtherKey = true;
    await refusal(agent.renew());
    await ca.close();
    await refusal(agent.renew());
    assert.ok(log.lines.length >= 4);
    for (const hidden of ['secret.', 'PRIVATE KEY', secret.keyPem.split('\n')[1]!])
      assert.ok(!log.text.includes(hidden), hidden);
  });

  it('gives up a request under way when it is closed', async () => {
    await using fixture = await AgentFixture.start();
    fixture.ca.gate = new Promise(() => {});
    const asked = refusal(fixture.agent.get(''));
    await fixture.ca.called(1);
    fixture.agent.close();
    assert.equal((await asked).code, 'ca_unreachable');
    assert.deepEqual(fixture.log.codes(), []);
  });
});

function at(renewAt: number, jitter: number, random: number): number {
  return renewalTimeMs({ renewAt, jitter }, 1_000, 2_000, random);
}

describe('the schedule of an agent', () => {
  it('renews at the share of the life, moved by the jitter and never out of it', () => {
    assert.equal(at(0.5, 0, 0.3), 1_500);
    assert.equal(at(0.5, 0.01, 0), 1_490);
    assert.equal(at(0.5, 0.01, 1), 1_510);
    assert.equal(at(0.995, 0.01, 1), 2_000);
    assert.equal(at(0.005, 0.01, 0), 1_000);
    // 90 days are more milliseconds than a timer can wait for.
    assert.equal(renewalTimeMs({ renewAt: 0.5, jitter: 0 }, 0, 90 * 24 * HOUR_MS, 0), 45 * 24 * HOUR_MS);
    assert.equal(renewalTimeMs({ renewAt: 0.5, jitter: 0 }, 2_000, 1_000, 0), 2_000);
  });

  it('waits half a second after the first failure and half a minute in the end', () => {
    assert.deepEqual(
      [1, 2, 3, 7, 8, 1_000].map((failures) => retryDelayMs(failures, 1)),
      [500, 1_000, 2_000, MAX_RETRY_MS, MAX_RETRY_MS, MAX_RETRY_MS],
    );
    assert.equal(retryDelayMs(1, 0), 250);
    assert.equal(retryDelayMs(1_000, 0), MAX_RETRY_MS / 2);
  });
});
