import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { create, fromBinary } from '@bufbuild/protobuf';
import { Metadata, status } from '@grpc/grpc-js';
import { readAnswer, SECRET_TYPE_URL } from '../../src/identity/sds-resources.ts';
import {
  createSdsServer,
  MAX_SDS_CONNECTIONS,
  type SdsServer,
  type SdsServerOptions,
} from '../../src/identity/sds-server.ts';
import { listenOnSocket } from '../../src/identity/sds-socket.ts';
import { SecretSchema } from '../../src/wire/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.ts';
import {
  type DiscoveryResponse,
  DiscoveryRequestSchema,
} from '../../src/wire/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { SecretDiscoveryService } from '../../src/wire/gen/envoy/service/secret/v3/sds_pb.ts';
import { callUnary, openStream } from '../../src/wire/grpc-service.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import {
  connectRaw,
  type LogLine,
  type Queue,
  queueLog,
  secretOf,
  TestClient,
  TestProvider,
  TestStream,
} from './sds-fixture.ts';

const ca = await TestCa.create('cluster.local');
const otherCa = await TestCa.create('cluster.local');
const first = secretOf(ca, await ca.issue());
const second = secretOf(ca, await ca.issue());

interface Served extends AsyncDisposable {
  readonly server: SdsServer;
  readonly client: TestClient;
  readonly provider: TestProvider;
  readonly lines: Queue<LogLine>;
  readonly file: string;
}

async function serve(options: Partial<SdsServerOptions> = {}): Promise<Served> {
  const folder = new TempFolder();
  const provider = new TestProvider(first);
  const { log, lines } = queueLog();
  const file = folder.join('run/agent.sock');
  let server: SdsServer;
  try {
    server = await createSdsServer({ path: file, mode: 0o600, uids: [], provider, log, ...options });
  } catch (thrown) {
    folder.remove();
    throw thrown;
  }
  const client = new TestClient(server.path);
  return {
    server,
    client,
    provider,
    lines,
    file,
    async [Symbol.asyncDispose]() {
      client.client.close();
      await server.close();
      folder.remove();
    },
  };
}

/** Names of the secrets of an answer. */
function namesOf(answer: DiscoveryResponse): readonly string[] {
  return answer.resources.map((resource) => fromBinary(SecretSchema, resource.value).name);
}

const acknowledge = (answer: DiscoveryResponse): { versionInfo: string; responseNonce: string } => ({
  versionInfo: answer.versionInfo,
  responseNonce: answer.nonce,
});

/** Answers to a question of another stream show that a server has nothing more to say on this one. */
async function assertSilent(stream: TestStream, client: TestClient): Promise<void> {
  const before = stream.answers.all.length;
  const other = client.open();
  other.ask(['ROOTCA']);
  await other.answers.next();
  other.call.cancel();
  assert.equal(stream.answers.all.length, before);
}

describe('an SDS server', () => {
  checkLeaks();

  it('gives certificate with key and root, and bundle, to streams of one name each', async () => {
    await using served = await serve();
    const certificate = served.client.open('Bearer token-1');
    certificate.ask(['default']);
    const answer = await certificate.answers.next();
    assert.equal(answer.typeUrl, SECRET_TYPE_URL);
    assert.notEqual(answer.nonce, '');
    assert.notEqual(answer.versionInfo, '');
    assert.deepEqual(readAnswer(answer, 'default', 'certificate'), {
      kind: 'certificate',
      chainPem: first.chainPem,
      keyPem: first.keyPem,
    });
    assert.ok(first.chainPem.endsWith(ca.rootPem));
    const bundle = served.client.open();
    bundle.ask(['ROOTCA']);
    assert.deepEqual(readAnswer(await bundle.answers.next(), 'ROOTCA', 'bundle'), {
      kind: 'bundle',
      rootsPem: ca.rootPem,
    });
    assert.deepEqual(served.provider.tokens, ['token-1', '']);
  });

  it('pushes what has changed, and only that', async () => {
    await using served = await serve();
    const stream = served.client.open();
    stream.ask(['default', 'ROOTCA']);
    const both = await stream.answers.next();
    assert.deepEqual(namesOf(both), ['default', 'ROOTCA']);
    stream.ask(['default', 'ROOTCA'], acknowledge(both));
    served.provider.set(second);
    const rotated = await stream.answers.next();
    assert.deepEqual(namesOf(rotated), ['default']);
    assert.notEqual(rotated.nonce, both.nonce);
    stream.ask(['default', 'ROOTCA'], acknowledge(rotated));
    served.provider.set({ ...second, rootsPem: ca.rootPem + otherCa.rootPem });
    assert.deepEqual(namesOf(await stream.answers.next()), ['ROOTCA']);
    served.provider.set({ ...second, rootsPem: ca.rootPem + otherCa.rootPem });
    await assertSilent(stream, served.client);
  });

  it('tells the last of several changes to a client that takes its time', async () => {
    await using served = await serve();
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
    stream.call.pause();
    let last = first;
    for (let i = 0; i < 200; i++) {
      last = secretOf(ca, await ca.issue());
      served.provider.set(last);
    }
    stream.call.resume();
    await stream.answers.find((answer) => {
      const content = readAnswer(answer, 'default', 'certificate');
      return 'chainPem' in content && content.chainPem === last.chainPem;
    });
  });

  it('holds one answer for a client that never reads, whatever the number of changes', async () => {
    await using served = await serve();
    const bulky = 'x'.repeat(200_000);
    const stream = openStream(
      served.client.client,
      SecretDiscoveryService.method.streamSecrets,
      new Metadata(),
    );
    stream.on('error', () => undefined);
    // Nobody listens to `data`: nothing is read but what grpc-js reads ahead.
    served.provider.set({ ...first, rootsPem: `0${bulky}` });
    stream.write(create(DiscoveryRequestSchema, { resourceNames: ['ROOTCA'], typeUrl: SECRET_TYPE_URL }));
    const other = served.client.open();
    other.ask(['default']);
    await other.answers.next();
    const asked = served.provider.tokens.length;
    for (let i = 1; i <= 100; i++) served.provider.set({ ...first, rootsPem: `${i}${bulky}` });
    await assertSilent(other, served.client);
    // Each answer that was written asked the provider once: a few, not a hundred.
    assert.ok(served.provider.tokens.length - asked < 20, `${served.provider.tokens.length - asked} answers`);
    stream.cancel();
  });

  it('answers once more only what is new when the names of a stream change', async () => {
    await using served = await serve();
    const stream = served.client.open();
    stream.ask(['default']);
    const certificate = await stream.answers.next();
    stream.ask(['default', 'ROOTCA'], acknowledge(certificate));
    const bundle = await stream.answers.next();
    assert.deepEqual(namesOf(bundle), ['ROOTCA']);
    stream.ask(['ROOTCA'], acknowledge(bundle));
    await assertSilent(stream, served.client);
    served.provider.set(second);
    await assertSilent(stream, served.client);
    stream.ask(['ROOTCA', 'default'], acknowledge(bundle));
    const back = await stream.answers.next();
    assert.deepEqual(namesOf(back), ['default']);
    // Who gave a name up and wants it again has to be told, though nothing has changed.
    stream.ask(['ROOTCA'], acknowledge(back));
    stream.ask(['ROOTCA', 'default'], acknowledge(back));
    const again = await stream.answers.next();
    assert.deepEqual(namesOf(again), ['default']);
    assert.equal(again.versionInfo, back.versionInfo);
  });

  it('logs a refusal once, cut to a bound, and answers again only after a change', async () => {
    await using served = await serve();
    const stream = served.client.open();
    stream.ask(['default']);
    const answer = await stream.answers.next();
    const refusal = {
      responseNonce: answer.nonce,
      errorDetail: { code: 13, message: `no good\n${'é'.repeat(5_000)}${'y'.repeat(5_000)}` },
    };
    stream.ask(['default'], refusal);
    stream.ask(['default'], refusal);
    const line = await served.lines.find(({ code }) => code === 'sds_nack');
    assert.match(String(line.fields['error']), /^no good y+~$/);
    assert.equal(String(line.fields['error']).length, 512);
    await assertSilent(stream, served.client);
    served.provider.set(first);
    await assertSilent(stream, served.client);
    served.provider.set(second);
    const next = await stream.answers.next();
    assert.deepEqual(namesOf(next), ['default']);
    assert.equal(served.lines.all.filter(({ code }) => code === 'sds_nack').length, 1);
  });

  it('ignores what is said of an earlier answer', async () => {
    await using served = await serve();
    const stream = served.client.open();
    stream.ask(['default']);
    const old = await stream.answers.next();
    served.provider.set(second);
    const now = await stream.answers.next();
    stream.ask(['ROOTCA'], { responseNonce: old.nonce, errorDetail: { code: 13, message: 'late' } });
    stream.ask(['nobody'], { responseNonce: 'made up' });
    await assertSilent(stream, served.client);
    stream.ask(['default', 'ROOTCA'], acknowledge(now));
    assert.deepEqual(namesOf(await stream.answers.next()), ['ROOTCA']);
    assert.equal(
      served.lines.all.some(({ code }) => code === 'sds_nack'),
      false,
    );
  });

  it('ends streams that ask for what is not given here', async () => {
    const cases: readonly (readonly [
      code: status,
      details: RegExp,
      names: readonly string[],
      typeUrl?: string,
    ])[] = [
      [status.NOT_FOUND, /"file-cert:\/etc\/passwd~\/etc\/shadow"/, ['file-cert:/etc/passwd~/etc/shadow']],
      [
        status.NOT_FOUND,
        /"spiffe:\/\/cluster\.local\/ns\/foo\/sa\/other"/,
        ['default', 'spiffe://cluster.local/ns/foo/sa/other'],
      ],
      [status.NOT_FOUND, /""/, ['']],
      [status.NOT_FOUND, /named "n0"/, Array.from({ length: 1_000 }, (_, i) => `n${i}`)],
      [
        status.INVALID_ARGUMENT,
        /not "type\.googleapis\.com\/envoy/,
        ['default'],
        'type.googleapis.com/other',
      ],
    ];
    await using served = await serve();
    for (const [code, details, names, typeUrl = SECRET_TYPE_URL] of cases) {
      const stream = served.client.open();
      stream.ask(names, { typeUrl });
      const end = await stream.statuses.next();
      assert.equal(end.code, code);
      assert.match(end.details, details);
      assert.equal(stream.answers.all.length, 0);
    }
    assert.equal(served.lines.all.filter(({ code }) => code === 'sds_unknown_name').length, 4);
    assert.deepEqual(served.provider.tokens, []);
  });

  it('ends streams whose authorization is not one bearer token, before the provider hears of it', async () => {
    await using served = await serve();
    for (const token of [
      'Basic dXNlcjpwYXNz',
      'Bearer',
      'Bearer two tokens',
      `Bearer ${'x'.repeat(20_000)}`,
    ]) {
      const stream = served.client.open(token);
      stream.ask(['default']);
      const end = await stream.statuses.next();
      assert.equal(end.code, status.UNAUTHENTICATED, token.slice(0, 40));
      assert.ok(!end.details.includes('dXNlcjpwYXNz'));
    }
    assert.deepEqual(served.provider.tokens, []);
  });

  it('ends streams with the reason when there is no secret, and serves the next one', async () => {
    await using served = await serve();
    served.provider.set('Cannot reach the CA at "127.0.0.1:15012": connect ECONNREFUSED \ud800');
    const stream = served.client.open();
    stream.ask(['default']);
    const end = await stream.statuses.next();
    assert.equal(end.code, status.UNAVAILABLE);
    assert.equal(end.details, 'Cannot reach the CA at "127.0.0.1:15012": connect ECONNREFUSED');
    const line = await served.lines.find(({ code }) => code === 'sds_no_secret');
    assert.match(String(line.fields['error']), /ECONNREFUSED/);
    served.provider.set(first);
    const again = served.client.open();
    again.ask(['default']);
    assert.deepEqual(namesOf(await again.answers.next()), ['default']);
  });

  it('has neither FetchSecrets nor DeltaSecrets', async () => {
    await using served = await serve();
    const { method } = SecretDiscoveryService;
    const request = create(DiscoveryRequestSchema, { resourceNames: ['default'] });
    const options = { timeoutMs: 5_000, metadata: new Metadata() };
    await assert.rejects(callUnary(served.client.client, method.fetchSecrets, request, options), {
      code: status.UNIMPLEMENTED,
    });
    const delta = openStream(served.client.client, method.deltaSecrets, new Metadata());
    const ended = Promise.withResolvers<{ code: status }>();
    delta.on('error', () => undefined);
    delta.on('status', ended.resolve);
    delta.resume();
    assert.equal((await withDeadline(ended.promise, 5_000, 'the end')).code, status.UNIMPLEMENTED);
  });

  it('refuses a message that is too long, and one that is none', async () => {
    await using served = await serve();
    const long = served.client.open();
    long.ask(['x'.repeat(200_000)]);
    assert.equal((await long.statuses.next()).code, status.RESOURCE_EXHAUSTED);
    const garbage = served.client.client.makeBidiStreamRequest(
      '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      new Metadata(),
    );
    const ended = Promise.withResolvers<{ code: status }>();
    garbage.on('error', () => undefined);
    garbage.on('status', ended.resolve);
    garbage.resume();
    garbage.write(Buffer.from('ffffffff', 'hex'));
    assert.equal((await withDeadline(ended.promise, 5_000, 'the end')).code, status.INTERNAL);
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
  });

  it('outlives connections that speak no HTTP/2, and refuses more connections than it can hold', async () => {
    await using served = await serve();
    const garbage = await connectRaw(served.file);
    garbage.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
    await garbage.closed;
    const open = [];
    for (let i = 0; i < MAX_SDS_CONNECTIONS; i++) open.push(await connectRaw(served.file));
    const oneMore = await connectRaw(served.file);
    await oneMore.closed;
    await served.lines.find(({ code }) => code === 'sds_too_many_connections');
    for (const connection of open) connection.end();
    await Promise.all(open.map(async (connection) => connection.closed));
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
  });

  it('lets the streams of a client that half closes or goes away end', async () => {
    await using served = await serve();
    const polite = served.client.open('Bearer polite');
    polite.ask(['default']);
    await polite.answers.next();
    polite.call.end();
    assert.equal((await polite.statuses.next()).code, status.OK);
    const rude = served.client.open('Bearer rude');
    rude.ask(['default']);
    await rude.answers.next();
    rude.call.cancel();
    // The cancellation comes before the question that follows it.
    await assertSilent(rude, served.client);
    served.provider.set(second);
    await assertSilent(rude, served.client);
    const named = served.provider.tokens.filter((token) => token !== '');
    assert.deepEqual(named, ['polite', 'rude']);
  });
});

describe('the socket of an SDS server', () => {
  checkLeaks();

  it('is made in a folder for the owner alone, with the mode that was asked for, and removed at close', async () => {
    const served = await serve({ mode: 0o660 });
    assert.equal(statSync(path.dirname(served.file)).mode & 0o777, 0o700);
    const made = statSync(served.file);
    assert.ok(made.isSocket());
    assert.equal(made.mode & 0o777, 0o660);
    await served[Symbol.asyncDispose]();
    assert.equal(existsSync(served.file), false);
    assert.equal(served.provider.subscribers, 0);
  });

  it('is open to nobody but the owner before it has its mode', async () => {
    using folder = new TempFolder();
    const file = folder.join('agent.sock');
    const server = createServer();
    let modeAtFirst = -1;
    server.once('listening', () => {
      modeAtFirst = statSync(file).mode & 0o777;
    });
    const umask = process.umask(0);
    try {
      await listenOnSocket(server, file, 0o666);
      assert.equal(process.umask(), 0);
    } finally {
      process.umask(umask);
    }
    assert.equal(modeAtFirst, 0o600);
    assert.equal(statSync(file).mode & 0o777, 0o666);
    server.close();
    await once(server, 'close');
  });

  it('takes the place of one that nobody answers on', async () => {
    using folder = new TempFolder();
    const file = folder.join('agent.sock');
    const made = spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    assert.equal(made.signal, 'SIGKILL');
    assert.ok(existsSync(file));
    await using served = await serve({ path: file });
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
  });

  it('is refused where it would take the place of anything else', async () => {
    using folder = new TempFolder();
    const taken = folder.join('taken.sock');
    await using served = await serve({ path: taken });
    const plain = folder.write('plain', 'a file');
    const link = folder.join('link');
    symlinkSync(plain, link);
    mkdirSync(folder.join('folder'));
    const table: readonly (readonly [file: string, reason: RegExp])[] = [
      [taken, /Cannot listen on "unix:.*taken\.sock": an SDS server is already listening; stop it or/],
      [plain, /something that is not a socket; remove it/],
      [link, /something that is not a socket; remove it/],
      [folder.join('folder'), /something that is not a socket; remove it/],
      [folder.join('plain/agent.sock'), /ENOTDIR|EEXIST/],
      [folder.join('x'.repeat(200)), /longer than 107 bytes/],
    ];
    for (const [file, reason] of table)
      await assert.rejects(serve({ path: file }), { code: 'sds_not_listening', detail: reason });
    // The first server is as it was.
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
    assert.ok(existsSync(plain));
  });

  it('is refused if a server that does not speak is there', async () => {
    using folder = new TempFolder();
    const file = folder.join('agent.sock');
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    await new Promise<void>((resolve) => {
      silent.listen(file, resolve);
    });
    await assert.rejects(serve({ path: file }), { code: 'sds_not_listening', detail: /already listening/ });
    await new Promise((resolve) => {
      silent.close(resolve);
    });
  });

  it('lets in the users that were named and closes the connections of others', async () => {
    const uid = process.getuid?.() ?? -1;
    await using served = await serve({ uids: [uid] });
    const stream = served.client.open();
    stream.ask(['default']);
    await stream.answers.next();
    await using closed = await serve({ uids: [uid + 1, uid + 2] });
    const refused = closed.client.open();
    refused.ask(['default']);
    assert.equal((await refused.statuses.next()).code, status.UNAVAILABLE);
    const line = await closed.lines.find(({ code }) => code === 'sds_peer_refused');
    assert.deepEqual(line.fields, { uid, uids: [uid + 1, uid + 2] });
    assert.deepEqual(closed.provider.tokens, []);
  });

  it(
    'asks the kernel, so that another user is refused whatever it says',
    { skip: process.getuid?.() === 0 ? false : 'needs root to become another user' },
    async () => {
      await using served = await serve({ uids: [0], mode: 0o666 });
      chmodSync(path.dirname(served.file), 0o755);
      chmodSync(path.dirname(path.dirname(served.file)), 0o755);
      const script = `
        const socket = require('net').connect(${JSON.stringify(served.file)});
        socket.on('connect', () => process.stdout.write('connected '));
        socket.on('error', (error) => process.stdout.write(error.code));
        socket.on('close', () => process.stdout.write('closed'));
        socket.resume();`;
      const child = spawn(process.execPath, ['-e', script], { uid: 65_534, gid: 65_534 });
      let said = '';
      child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const line = await served.lines.find(({ code }) => code === 'sds_peer_refused');
      assert.equal(line.fields['uid'], 65_534);
      const ended = new Promise((resolve) => {
        child.on('close', resolve);
      });
      await withDeadline(ended, 5_000, 'the other user to be closed');
      assert.match(said, /^connected (?:ECONNRESET)?closed$/);
    },
  );
});
