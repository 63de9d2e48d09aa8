/** A CA on a free port, tokens for it, and a client that sends whatever a test wants. */
import { create } from '@bufbuild/protobuf';
import { ChannelCredentials, Client, Metadata } from '@grpc/grpc-js';
import type { JsonObject } from '@bufbuild/protobuf';
import { type CaOptions, type RunningCa, startCa } from '../../src/identity/ca-start.ts';
import {
  createTokenKey,
  DEVELOPMENT_ISSUER,
  signToken,
  type TokenKeyPair,
} from '../../src/identity/token-sign.ts';
import type { Log } from '../../src/observe/log.ts';
import {
  IstioCertificateRequestSchema,
  IstioCertificateService,
} from '../../src/wire/gen/istio/v1/auth/ca_pb.ts';
import { callUnary } from '../../src/wire/grpc-service.ts';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const tokenKey: TokenKeyPair = await createTokenKey();

export interface LogLine {
  readonly level: string;
  readonly code: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export class CapturedLog implements Log {
  readonly debugEnabled = true;
  readonly lines: LogLine[] = [];
  #wake = Promise.withResolvers<void>();
  error = this.#taker('error');
  warn = this.#taker('warn');
  info = this.#taker('info');
  debug = this.#taker('debug');

  /** Everything as one text, to search for what must not be there. */
  get text(): string {
    return JSON.stringify(this.lines, (_key, value: unknown) =>
      value instanceof Error ? `${value.stack} ${String(value.cause)}` : value,
    );
  }

  codes(): string[] {
    return this.lines.map(({ code }) => code);
  }

  async waitFor(code: string, from = 0): Promise<LogLine> {
    for (;;) {
      const found = this.lines.slice(from).find((line) => line.code === code);
      if (found !== undefined) return found;
      await this.#wake.promise;
    }
  }

  #taker(level: string) {
    return (code: string, fields: Readonly<Record<string, unknown>>, message: string): void => {
      this.lines.push({ level, code, fields, message });
      this.#wake.resolve();
      this.#wake = Promise.withResolvers<void>();
    };
  }
}

export function caOptions(log: Log, more: Partial<CaOptions> = {}): CaOptions {
  return {
    listen: { bind: '127.0.0.1', port: 0, names: [] },
    trustDomain: 'cluster.local',
    rootFolder: null,
    key: 'ecdsa-p256',
    ttl: { defaultMs: DAY_MS, maxMs: 90 * DAY_MS },
    tokens: [
      { issuer: DEVELOPMENT_ISSUER, publicKey: { pem: tokenKey.publicKeyPem }, audiences: ['istio-ca'] },
    ],
    admin: null,
    log,
    ...more,
  };
}

export class CaFixture implements AsyncDisposable {
  readonly log: CapturedLog;
  readonly ca: RunningCa;

  private constructor(ca: RunningCa, log: CapturedLog) {
    this.ca = ca;
    this.log = log;
  }

  static async start(more: Partial<CaOptions> = {}): Promise<CaFixture> {
    const log = new CapturedLog();
    return new CaFixture(await startCa(caOptions(log, more)), log);
  }

  get address(): string {
    return `127.0.0.1:${this.ca.ports.ca}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ca.close();
  }
}

export function tokenFor(namespace: string, serviceAccount: string): Promise<string> {
  return signToken({
    namespace,
    serviceAccount,
    privateKeyPem: tokenKey.privateKeyPem,
    ttlMs: HOUR_MS,
  });
}

export interface TestCall {
  readonly csr: string;
  /** Values of `authorization`, whole. */
  readonly authorization?: readonly string[];
  readonly validityDuration?: bigint;
  readonly metadata?: JsonObject;
}

/** One CreateCertificate; rejects with grpc-js's ServiceError. */
export async function ask(ca: RunningCa, call: TestCall): Promise<string[]> {
  const client = new Client(
    `127.0.0.1:${ca.ports.ca}`,
    ChannelCredentials.createSsl(Buffer.from(ca.rootPem)),
    {
      'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
    },
  );
  try {
    const metadata = new Metadata();
    for (const value of call.authorization ?? []) metadata.add('authorization', value);
    const request = create(IstioCertificateRequestSchema, {
      csr: call.csr,
      validityDuration: call.validityDuration ?? 0n,
      ...(call.metadata === undefined ? {} : { metadata: call.metadata }),
    });
    const answer = await callUnary(client, IstioCertificateService.method.createCertificate, request, {
      timeoutMs: 15_000,
      metadata,
    });
    return answer.certChain;
  } finally {
    client.close();
  }
}
