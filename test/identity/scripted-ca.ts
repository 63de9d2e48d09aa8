/** A CA on a real port that does what a test says: another life, another identity, another key, or a refusal. */
import { generateKeyPairSync } from 'node:crypto';
import { type Authority, createAuthority } from '../../src/identity/authority.ts';
import { type CaServer, openCaServer } from '../../src/identity/ca-server.ts';
import { CaRefusal, type CertificateCall } from '../../src/identity/ca-service.ts';
import { checkCsr } from '../../src/identity/csr-check.ts';
import { CapturedLog } from './ca-fixture.ts';

const CALLER = { namespace: 'foo', serviceAccount: 'sleep' };

export class ScriptedCa implements AsyncDisposable {
  authority: Authority;
  /** Milliseconds that this mesh's wall clock is ahead of the real one. */
  clockMs = 0;
  ttlMs = 24 * 3_600_000;
  spiffeId = 'spiffe://cluster.local/ns/foo/sa/sleep';
  /** Answers with a certificate for a key that nobody asked for. */
  signsOtherKey = false;
  /** Changes the elements of the answer. */
  rewrite: (chain: string[]) => string[] = (chain) => chain;
  /** Bearers that are taken; null: any. */
  accepts: ((bearer: string) => boolean) | null = null;
  /** Awaited before each answer. */
  gate: Promise<unknown> = Promise.resolve();
  readonly calls: CertificateCall[] = [];
  #wake = Promise.withResolvers<void>();
  #server: CaServer | null = null;
  port = 0;

  private constructor(authority: Authority) {
    this.authority = authority;
  }

  static async start(): Promise<ScriptedCa> {
    const ca = new ScriptedCa(await createAuthority({ trustDomain: 'cluster.local' }));
    await ca.open();
    return ca;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Waits until that many calls came. */
  async called(count: number): Promise<void> {
    while (this.calls.length < count) await this.#wake.promise;
  }

  /** The same port as before. */
  async open(): Promise<void> {
    this.#server = await openCaServer({
      bind: '127.0.0.1',
      port: this.port,
      names: [],
      authority: this.authority,
      service: { createCertificate: (call) => this.#answer(call) },
      log: new CapturedLog(),
    });
    this.port = this.#server.port;
  }

  async close(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #answer(call: CertificateCall): Promise<readonly string[]> {
    this.calls.push(call);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
    await this.gate;
    if (this.accepts?.(call.authorization[0]!.slice('Bearer '.length)) === false)
      throw new CaRefusal('token_invalid', 'UNAUTHENTICATED', 'request authenticate failure');
    const { publicKey } = checkCsr(call.csrPem, CALLER);
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    const nowMs = Date.now() + this.clockMs;
    const leaf = await this.authority.issue({
      spiffeId: this.spiffeId,
      publicKey: this.signsOtherKey ? other.export({ type: 'spki', format: 'der' }) : publicKey,
      notBefore: new Date(nowMs - 120_000),
      notAfter: new Date(nowMs + this.ttlMs),
    });
    return this.rewrite([leaf.certificatePem, this.authority.rootPem]);
  }
}
