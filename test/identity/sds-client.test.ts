import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { status } from '@grpc/grpc-js';
import type { SecretSource } from '../../src/core/secret.ts';
import { createSdsSecrets, type SdsSecretsOptions } from '../../src/identity/sds-client.ts';
import { packBundle, packCertificate, SECRET_TYPE_URL } from '../../src/identity/sds-resources.ts';
import { createSdsServer } from '../../src/identity/sds-server.ts';
import { activeResources, assertNoLeak, checkLeaks } from '../support/leak-check.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa } from '../support/test-ca.ts';
import {
  certificateOf,
  give,
  HandMadeServer,
  Heard,
  queueLog,
  rawResource,
  type Resource,
  rootsOf,
  secretOf,
  type ServedStream,
  TestProvider,
} from './sds-fixture.ts';

const ca = await TestCa.create('cluster.local');
const nextCa = await TestCa.create('cluster.local');
const leaf = await ca.issue();

interface Started extends Disposable {
  readonly heard: Heard;
  readonly source: SecretSource;
  readonly folder: TempFolder;
  readonly file: string;
}

/** A source that waits no longer than a test should. */
async function start(options: Partial<SdsSecretsOptions> = {}): Promise<Started> {
  const folder = new TempFolder();
  const file = folder.join('agent.sock');
  const heard = new Heard();
  const source = createSdsSecrets({
    socket: file,
    certificateName: 'default',
    bundleName: 'ROOTCA',
    tokenFile: null,
    trustDomains: ['cluster.local', 'old.local'],
    workload: { namespace: 'foo', name: 'sleep-1' },
    backoffMs: { first: 5, longest: 40 },
    ...options,
  });
  await source.start(heard.secrets.add, heard.errors.add, heard.waiting.add);
  return {
    heard,
    source,
    folder,
    file,
    [Symbol.dispose]() {
      source.stop();
      folder.remove();
    },
  };
}

/** Both halves of a first good pair, accepted. */
async function settle(
  started: Started,
  server: HandMadeServer,
): Promise<{ certificate: ServedStream; bundle: ServedStream }> {
  const streams = await server.accept();
  give(streams.certificate, 'c1', [certificateOf(leaf, ca)]);
  give(streams.bundle, 'b1', [rootsOf(ca)]);
  await started.heard.secrets.next();
  for (const [stream, nonce] of [
    [streams.certificate, 'c1'],
    [streams.bundle, 'b1'],
  ] as const) {
    await stream.requests.next();
    const request = await stream.requests.next();
    assert.equal(request.responseNonce, nonce);
    assert.equal(request.versionInfo, `v${nonce}`);
    assert.equal(request.errorDetail, undefined);
  }
  return streams;
}

describe('SDS secrets', () => {
  checkLeaks();

  it('come from our own server, with the token, without the root, and follow its rotations', async () => {
    using folder = new TempFolder();
    const provider = new TestProvider(secretOf(ca, leaf));
    const file = folder.join('agent.sock');
    const { log } = queueLog();
    const server = await createSdsServer({ path: file, mode: 0o600, uids: [], provider, log });
    const tokenFile = folder.write('token', ' abc.def.ghi\n');
    using started = await start({ socket: file, tokenFile });
    const secret = await started.heard.secrets.next();
    assert.deepEqual(
      { ...secret, ticketSecret: secret.ticketSecret.length },
      {
        version: 1,
        trustVersion: 1,
        certificateChainPem: leaf.chainPem,
        privateKeyPem: leaf.keyPem,
        bundles: { 'cluster.local': ca.rootPem, 'old.local': ca.rootPem },
        ticketSecret: 32,
      },
    );
    assert.deepEqual(new Set(provider.tokens), new Set(['abc.def.ghi']));
    const rotated = await ca.issue();
    provider.set(secretOf(ca, rotated));
    const second = await started.heard.secrets.next();
    assert.equal(second.certificateChainPem, rotated.chainPem);
    assert.deepEqual([second.version, second.trustVersion], [2, 1]);
    assert.deepEqual(second.ticketSecret, secret.ticketSecret);
    provider.set(secretOf(ca, rotated, nextCa.rootPem + ca.rootPem));
    const third = await started.heard.secrets.next();
    assert.deepEqual([third.version, third.trustVersion], [3, 2]);
    assert.notDeepEqual(third.ticketSecret, secret.ticketSecret);
    // A new root signs from here on; certificate and bundle change together, and arrive apart.
    const last = await nextCa.issue();
    provider.set(secretOf(nextCa, last, nextCa.rootPem));
    const fourth = await started.heard.secrets.find(({ certificateChainPem, bundles }) => {
      return certificateChainPem === last.chainPem && bundles['cluster.local'] === nextCa.rootPem;
    });
    assert.equal(fourth.trustVersion, 3);
    assert.deepEqual(started.heard.errors.all, []);
    await server.close();
  });

  it('tell what is missing until both are there, and start before their server does', async () => {
    using started = await start();
    const { heard, file } = started;
    assert.equal(await heard.waiting.next(), `no certificate from unix:${file} yet`);
    assert.equal(await heard.waiting.next(), `no certificate from unix:${file} yet: connect ENOENT ${file}`);
    using server = await HandMadeServer.listen(file);
    const { certificate, bundle } = await server.accept();
    give(certificate, '1', [certificateOf(leaf, ca)]);
    assert.equal(await heard.waiting.next(), `no trust bundle "ROOTCA" from unix:${file} yet`);
    assert.equal(heard.secrets.all.length, 0);
    give(bundle, '1', [rootsOf(ca)]);
    assert.equal(await heard.waiting.next(), '');
    assert.equal(heard.secrets.all.length, 1);
    assert.equal(heard.waiting.left, 0);
    assert.deepEqual(heard.errors.all, []);
  });

  it('ask as Envoy does: one name a stream, who they are, and no version', async () => {
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    const { certificate, bundle } = await server.accept();
    for (const [stream, name] of [
      [certificate, 'default'],
      [bundle, 'ROOTCA'],
    ] as const) {
      const request = await stream.requests.next();
      assert.deepEqual(request.resourceNames, [name]);
      assert.equal(request.typeUrl, SECRET_TYPE_URL);
      assert.equal(request.versionInfo + request.responseNonce, '');
      assert.equal(request.node?.id, 'sleep-1.foo');
      assert.deepEqual(stream.call.metadata.get('authorization'), []);
    }
  });

  it('refuse what cannot be used, keep the last good one, and take the next', async () => {
    const expired = await ca.issue({ expired: true });
    const foreign = await ca.issue({ spiffeId: 'spiffe://elsewhere/ns/foo/sa/sleep' });
    const misfit = packCertificate('default', leaf.chainPem, (await ca.issue()).keyPem);
    const file = rawResource(
      SECRET_TYPE_URL,
      // name "default", tls_certificate { certificate_chain { filename "/etc/passwd" } private_key { … } }
      Buffer.concat([
        Buffer.from('0a0764656661756c74121e', 'hex'),
        Buffer.from('0a0d0a0b', 'hex'),
        Buffer.from('/etc/passwd'),
        Buffer.from('120d0a0b', 'hex'),
        Buffer.from('/etc/shadow'),
      ]),
    );
    const cases: readonly (readonly [
      what: RegExp,
      kind: 'certificate' | 'bundle',
      resources: readonly Resource[],
      typeUrl?: string,
    ])[] = [
      [/the answer has 0 secrets, not one/, 'certificate', []],
      [/the answer has 2 secrets, not one/, 'certificate', [certificateOf(leaf, ca), rootsOf(ca)]],
      [
        /named "somebody", not "default"/,
        'certificate',
        [packCertificate('somebody', leaf.chainPem, leaf.keyPem)],
      ],
      [/named "default", not "ROOTCA"/, 'bundle', [certificateOf(leaf, ca)]],
      [/has no validation_context/, 'bundle', [packCertificate('ROOTCA', leaf.chainPem, leaf.keyPem)]],
      [/has no tls_certificate/, 'certificate', [packBundle('default', ca.rootPem)]],
      [/the answer is of type "x"/, 'bundle', [rootsOf(ca)], 'x'],
      [/the secret is of type "y"/, 'bundle', [rawResource('y', new Uint8Array())]],
      [/the secret cannot be read/, 'bundle', [rawResource(SECRET_TYPE_URL, new Uint8Array([255, 255]))]],
      [/certificate_chain is not inline/, 'certificate', [file]],
      [
        /certificate chain cannot be used: it is empty/,
        'certificate',
        [packCertificate('default', '', leaf.keyPem)],
      ],
      [
        /certificate chain cannot be used: .*cut off/,
        'certificate',
        [packCertificate('default', leaf.chainPem.slice(0, 200), leaf.keyPem)],
      ],
      [/private key cannot be used/, 'certificate', [packCertificate('default', leaf.chainPem, 'no key')]],
      [/private key does not fit/, 'certificate', [misfit]],
      [/has expired/, 'certificate', [certificateOf(expired, ca)]],
      [
        /of trust domain "elsewhere", this mesh's are "cluster\.local", "old\.local"/,
        'certificate',
        [certificateOf(foreign, ca)],
      ],
      [/trust bundle cannot be used: it is empty/, 'bundle', [packBundle('ROOTCA', '')]],
      [
        /trust bundle cannot be used: certificate 1 is not a CA/,
        'bundle',
        [packBundle('ROOTCA', leaf.certPem)],
      ],
    ];
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    const streams = await settle(started, server);
    for (const [i, [what, kind, resources, typeUrl = SECRET_TYPE_URL]] of cases.entries()) {
      const nonce = `bad${i}`;
      give(streams[kind], nonce, resources, typeUrl);
      const request = await streams[kind].requests.next();
      assert.equal(request.responseNonce, nonce, String(what));
      assert.equal(request.versionInfo, kind === 'bundle' ? 'vb1' : 'vc1', 'the version in force');
      assert.match(request.errorDetail?.message ?? '', what);
      const error = await started.heard.errors.next();
      assert.match(error, what);
      assert.match(error, new RegExp(`^Cannot use "${kind === 'bundle' ? 'ROOTCA' : 'default'}" of unix:`));
      assert.ok(!error.includes('PRIVATE KEY'));
    }
    // The same again is refused again, and told no second time.
    give(streams.bundle, 'again', cases.at(-1)![2]);
    assert.match((await streams.bundle.requests.next()).errorDetail?.message ?? '', cases.at(-1)![0]);
    assert.equal(started.heard.errors.left, 0);
    assert.equal(started.heard.secrets.left, 0);
    const next = await ca.issue();
    give(streams.certificate, 'good', [certificateOf(next, ca)]);
    assert.equal((await started.heard.secrets.next()).certificateChainPem, next.chainPem);
    assert.equal((await streams.certificate.requests.next()).errorDetail, undefined);
  });

  it('wait with a certificate for its bundle, and the other way round', async () => {
    const cases = ['certificate first', 'bundle first'] as const;
    for (const order of cases) {
      using started = await start();
      using server = await HandMadeServer.listen(started.file);
      const { certificate, bundle } = await settle(started, server);
      const next = await nextCa.issue();
      const steps = [
        () => give(certificate, 'c2', [certificateOf(next, nextCa)]),
        () => give(bundle, 'b2', [rootsOf(nextCa)]),
      ];
      if (order === 'bundle first') steps.reverse();
      steps[0]!();
      steps[1]!();
      const secret = await started.heard.secrets.next();
      assert.equal(secret.certificateChainPem, next.chainPem, order);
      assert.equal(secret.bundles['cluster.local'], nextCa.rootPem);
      assert.deepEqual([secret.version, secret.trustVersion], [2, 2]);
      assert.equal((await certificate.requests.next()).versionInfo, 'vc2');
      assert.equal((await bundle.requests.next()).versionInfo, 'vb2');
      assert.deepEqual(started.heard.errors.all, []);
    }
  });

  it('refuse half of a rotation after a time, and take it all the same when the other half comes', async () => {
    using started = await start({ holdMs: 20 });
    using server = await HandMadeServer.listen(started.file);
    const { certificate, bundle } = await settle(started, server);
    const next = await nextCa.issue();
    give(certificate, 'c2', [certificateOf(next, nextCa)]);
    const refusal = await certificate.requests.next();
    assert.equal(refusal.versionInfo, 'vc1');
    assert.match(refusal.errorDetail?.message ?? '', /does not reach the trust bundle/);
    assert.match(await started.heard.errors.next(), /does not reach the trust bundle/);
    assert.equal(started.heard.secrets.left, 0);
    give(bundle, 'b2', [rootsOf(ca, nextCa)]);
    await started.heard.secrets.find(({ certificateChainPem }) => certificateChainPem === next.chainPem);
    const accepted = await certificate.requests.next();
    assert.deepEqual([accepted.responseNonce, accepted.versionInfo], ['c2', 'vc2']);
    assert.equal(accepted.errorDetail, undefined);
  });

  it('say nothing new when the same comes again, and then the roots in another order', async () => {
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    const { certificate, bundle } = await settle(started, server);
    give(bundle, 'b2', [rootsOf(ca, nextCa)]);
    const second = await started.heard.secrets.next();
    assert.equal((await bundle.requests.next()).versionInfo, 'vb2');
    give(bundle, 'b3', [rootsOf(nextCa, ca)]);
    assert.equal((await bundle.requests.next()).versionInfo, 'vb3');
    give(certificate, 'c2', [certificateOf(leaf, ca)]);
    assert.equal((await certificate.requests.next()).versionInfo, 'vc2');
    assert.equal(started.heard.secrets.left, 0);
    assert.equal(second.trustVersion, 2);
  });

  it('answer whatever nonce comes, also one that repeats or is empty', async () => {
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    const { certificate } = await settle(started, server);
    for (const nonce of ['c1', '', 'é\u0000', 'n'.repeat(10_000)]) {
      const next = await ca.issue();
      give(certificate, nonce, [certificateOf(next, ca)]);
      assert.equal((await started.heard.secrets.next()).certificateChainPem, next.chainPem);
      assert.equal((await certificate.requests.next()).responseNonce, nonce);
    }
  });

  it('strip the root and keep the intermediates of a chain', async () => {
    const between = await ca.intermediate();
    const below = await between.issue();
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    const { certificate, bundle } = await server.accept();
    give(certificate, '1', [certificateOf(below, ca)]);
    give(bundle, '1', [rootsOf(ca)]);
    const secret = await started.heard.secrets.next();
    assert.equal(secret.certificateChainPem, below.certPem + between.certPem);
  });
});

describe('SDS secrets and a server that comes and goes', () => {
  checkLeaks();

  it('come back by themselves, send the token of that moment, and stay silent if nothing has changed', async () => {
    using tokens = new TempFolder();
    const tokenFile = tokens.write('token', 'first');
    const { log, lines } = queueLog();
    using started = await start({ tokenFile, log });
    const first = await HandMadeServer.listen(started.file);
    const streams = await settle(started, first);
    assert.deepEqual(streams.certificate.call.metadata.get('authorization'), ['Bearer first']);
    tokens.write('token', 'second\n');
    first.close();
    // Gone long enough for an attempt to find nobody.
    await lines.find(({ fields }) => String(fields['error']).startsWith('connect ENOENT'));
    using second = await HandMadeServer.listen(started.file);
    const { certificate, bundle } = await second.accept();
    assert.deepEqual(certificate.call.metadata.get('authorization'), ['Bearer second']);
    give(certificate, 'again', [certificateOf(leaf, ca)]);
    give(bundle, 'again', [rootsOf(ca)]);
    await certificate.requests.next();
    assert.equal((await certificate.requests.next()).versionInfo, 'vagain');
    await lines.find(({ code }) => code === 'sds_connected');
    assert.equal(started.heard.secrets.left, 0);
    assert.deepEqual(started.heard.errors.all, []);
    assert.equal(started.heard.waiting.all.at(-1), '', 'the last good one is in force: nothing is missing');
    const next = await ca.issue();
    give(certificate, 'next', [certificateOf(next, ca)]);
    assert.equal((await started.heard.secrets.next()).version, 2);
  });

  it('say why there is nothing, for every way in which a server can fail', async () => {
    const cases: readonly (readonly [why: RegExp, misbehave: (stream: ServedStream) => void])[] = [
      [/yet: the server ended the stream$/, ({ call }) => call.end()],
      [
        /yet: UNAVAILABLE: the CA is not there$/,
        ({ call }) => fail(call, status.UNAVAILABLE, 'the CA is not there'),
      ],
      [/yet: NOT_FOUND: no "default" here$/, ({ call }) => fail(call, status.NOT_FOUND, 'no "default" here')],
      [
        /yet: RESOURCE_EXHAUSTED: Received message larger than max/,
        (stream) => give(stream, '1', [packBundle(stream.name, 'x'.repeat(1_100_000))]),
      ],
      [
        /yet: Cannot use "default" of unix:.*: the certificate chain cannot be used: it has no/,
        (stream) => {
          give(stream, '1', [stream.name === 'default' ? packCertificate('default', 'x', 'y') : rootsOf(ca)]);
        },
      ],
      [/yet: no answer in 50 ms$/, () => undefined],
    ];
    for (const [why, misbehave] of cases) {
      // Where the server is silent that time has to pass; elsewhere it must not.
      const answerTimeoutMs = why.source.includes('no answer') ? 50 : 5_000;
      using started = await start({ answerTimeoutMs });
      using server = await HandMadeServer.listen(started.file);
      const { certificate, bundle } = await server.accept();
      misbehave(certificate);
      misbehave(bundle);
      await started.heard.waiting.find((text) => why.test(text));
      assert.equal(started.heard.secrets.all.length, 0);
    }
  });

  it('wait longer each time that a server ends their streams at once, and never longer than they should', async () => {
    const times: number[] = [];
    const { log, lines } = queueLog();
    using started = await start({ backoffMs: { first: 4, longest: 32 }, log });
    using server = await HandMadeServer.listen(started.file);
    for (let i = 0; i < 8; i++) {
      const { certificate, bundle } = await server.accept();
      times.push(performance.now());
      certificate.call.end();
      bundle.call.end();
    }
    const gaps = times.slice(1).map((time, i) => time - times[i]!);
    // Half of the wait is chance; the least of each is 2, 4, 8, 16, 16, 16, 16.
    for (const [i, least] of [2, 4, 8, 16, 16, 16, 16].entries())
      assert.ok(gaps[i]! >= least - 1, `gap ${i}: ${gaps.join(' ')}`);
    const told = lines.all.filter(({ fields }) => fields['error'] === 'the server ended the stream');
    assert.equal(told.length, 1, 'the same again says nothing new');
  });

  it('tell what is wrong with the token, and not the token', async () => {
    using tokens = new TempFolder();
    const missing = tokens.join('missing');
    const cases: readonly (readonly [tokenFile: string, why: RegExp])[] = [
      [missing, /yet: cannot read ".*missing": ENOENT.*; correct identity\.tokenFile$/],
      [tokens.write('empty', '\n'), /yet: ".*empty" does not hold one token; write it anew$/],
      [tokens.write('two', 'secret1 secret2'), /yet: ".*two" does not hold one token/],
      [tokens.write('long', 's'.repeat(20_000)), /yet: ".*long" does not hold one token/],
    ];
    for (const [tokenFile, why] of cases) {
      using started = await start({ tokenFile });
      const text = await started.heard.waiting.find((said) => why.test(said));
      assert.ok(!text.includes('secret1'));
    }
    using started = await start({ tokenFile: missing });
    using server = await HandMadeServer.listen(started.file);
    await started.heard.waiting.find((said) => said.includes('missing'));
    tokens.write('missing', 'now');
    const { certificate } = await server.accept();
    assert.deepEqual(certificate.call.metadata.get('authorization'), ['Bearer now']);
  });

  it('forget a half that is held when its connection ends', async () => {
    using started = await start();
    const first = await HandMadeServer.listen(started.file);
    const { certificate } = await settle(started, first);
    await hold(certificate);
    first.close();
    using second = await HandMadeServer.listen(started.file);
    const streams = await second.accept();
    give(streams.bundle, 'b2', [rootsOf(ca, nextCa)]);
    const secret = await started.heard.secrets.next();
    assert.equal(secret.certificateChainPem, leaf.chainPem);
  });

  it('keep a connection on which both were answered', async () => {
    using started = await start({ answerTimeoutMs: 400, holdMs: 500 });
    using server = await HandMadeServer.listen(started.file);
    const { certificate } = await settle(started, server);
    give(certificate, 'late', [certificateOf(await nextCa.issue(), nextCa)]);
    assert.equal((await certificate.requests.next()).responseNonce, 'late');
    assert.equal(server.connections, 1);
  });

  it('leave nothing behind at stop, wherever they are', async () => {
    type Stage = (started: Started) => Promise<HandMadeServer | null>;
    const stages: readonly Stage[] = [
      async () => Promise.resolve(null),
      // Between two attempts.
      async ({ heard }) => {
        await heard.waiting.find((text) => text.includes('ENOENT'));
        return null;
      },
      async ({ file }) => {
        const server = await HandMadeServer.listen(file);
        await server.accept();
        return server;
      },
      // With a half that is held.
      async (started) => {
        const server = await HandMadeServer.listen(started.file);
        await hold((await settle(started, server)).certificate);
        return server;
      },
    ];
    for (const [i, stage] of stages.entries()) {
      const before = activeResources();
      // The first attempt of the last two may find nobody; nothing else may wait for long.
      const started = await start(i < 2 ? { backoffMs: { first: 60_000, longest: 60_000 } } : {});
      const server = await stage(started);
      started[Symbol.dispose]();
      // The connection is ended by us, before the server ends.
      if (server !== null) await server.closed.next();
      server?.close();
      const said = started.heard.waiting.all.length;
      await assertNoLeak(before);
      assert.equal(started.heard.waiting.all.length, said);
    }
  });

  it('make no connection after a stop that came before the token was read', async () => {
    using started = await start();
    using server = await HandMadeServer.listen(started.file);
    await server.accept();
    started.source.stop();
    await server.closed.next();
    const tokenFile = started.folder.write('token', 'abc');
    using stopped = await start({ socket: started.file, tokenFile });
    stopped.source.stop();
    using other = await start({ socket: started.file, tokenFile });
    const streams = await server.accept();
    give(streams.certificate, '1', [certificateOf(leaf, ca)]);
    give(streams.bundle, '1', [rootsOf(ca)]);
    await other.heard.secrets.next();
    assert.equal(server.connections, 2);
  });
});

/** Gives a certificate that fits no bundle yet; the answer after it, refused at once, shows that it was looked at. */
async function hold(certificate: ServedStream): Promise<void> {
  give(certificate, 'held', [certificateOf(await nextCa.issue(), nextCa)]);
  give(certificate, 'empty', []);
  assert.equal((await certificate.requests.next()).responseNonce, 'empty');
}

function fail(call: ServedStream['call'], code: status, details: string): void {
  call.emit('error', { code, details });
}
