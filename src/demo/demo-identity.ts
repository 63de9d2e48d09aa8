/**
 * Who signs in the demo, and what it knows of keys: a CA with its root in memory, the issuer of service-account
 * tokens, and clients that have no agent, good and bad. No private key is ever written to a file.
 */
import { type Authority, createAuthority } from '../identity/authority.ts';
import { type RunningAgent, startAgent } from '../identity/agent-start.ts';
import { ISTIO_CA_NAME } from '../identity/ca-names.ts';
import { type RunningCa, startCa } from '../identity/ca-start.ts';
import {
  createTokenKey,
  DEFAULT_AUDIENCE,
  DEVELOPMENT_ISSUER,
  signToken,
  type TokenKeyPair,
} from '../identity/token-sign.ts';
import type { WorkloadSecret } from '../identity/workload-secrets.ts';
import type { Log } from '../observe/log.ts';
import type { Credentials } from './demo-client.ts';
import { CLIENT_ID, partsOf, TRUST_DOMAIN, type WorkloadName } from './demo-names.ts';

const DAY_MS = 86_400_000;
const TOKEN_LIFE_MS = 3_600_000;

/** Clients that a sidecar does not take, both with the name of foo/sleep. */
export interface BadClients {
  readonly expired: Credentials;
  /** Of an authority that says the same names with another key. */
  readonly otherCa: Credentials;
}

/** A private key that somebody in this process has, and whose it is. */
export interface HeldKey {
  readonly of: string;
  readonly pem: string;
}

export interface IdentityOptions {
  /** Their agents ask another CA, with the same trust domain. */
  readonly ofOtherCa: readonly WorkloadName[];
  readonly log: Log;
}

export class DemoIdentity {
  readonly badClients: BadClients;
  /** What clients verify the sidecars with. */
  readonly rootPem: string;
  readonly #log: Log;
  readonly #cas: readonly RunningCa[];
  readonly #ofOtherCa: ReadonlySet<WorkloadName>;
  readonly #tokenKey: TokenKeyPair;
  /** By the key, for a renewal brings a new one. */
  readonly #keys = new Map<string, string>();

  private constructor(
    options: IdentityOptions,
    tokenKey: TokenKeyPair,
    cas: readonly [RunningCa, ...RunningCa[]],
    badClients: BadClients,
  ) {
    this.badClients = badClients;
    this.#log = options.log;
    this.#ofOtherCa = new Set(options.ofOtherCa);
    this.#tokenKey = tokenKey;
    this.#cas = cas;
    this.rootPem = cas[0].rootPem;
  }

  static async start(options: IdentityOptions): Promise<DemoIdentity> {
    const nowMs = Date.now();
    const [tokenKey, authority, stranger] = await Promise.all([
      createTokenKey(),
      // Older than the expired certificate, which would have no time to be valid in otherwise.
      createAuthority({ trustDomain: TRUST_DOMAIN, notBefore: new Date(nowMs - 3 * DAY_MS) }),
      createAuthority({ trustDomain: TRUST_DOMAIN }),
    ]);
    const yesterday = { notBefore: new Date(nowMs - 2 * DAY_MS), notAfter: new Date(nowMs - DAY_MS) };
    const badClients = {
      expired: await issue(authority, yesterday),
      otherCa: await issue(stranger, {}),
    };
    const ca = await openCa(authority, tokenKey, options.log);
    const cas: [RunningCa, ...RunningCa[]] = [ca];
    try {
      if (options.ofOtherCa.length > 0) cas.push(await openCa(stranger, tokenKey, options.log));
      const identity = new DemoIdentity(options, tokenKey, cas, badClients);
      identity.#keys.set(tokenKey.privateKeyPem, 'the token issuer');
      for (const key of await ca.privateKeys()) identity.#keys.set(key, 'the CA');
      identity.#keys.set(await stranger.exportPrivateKey(), 'the other CA');
      identity.#keys.set(badClients.expired.keyPem, 'the expired client');
      identity.#keys.set(badClients.otherCa.keyPem, 'the client of the other CA');
      return identity;
    } catch (thrown) {
      for (const open of cas) await open.close();
      throw thrown;
    }
  }

  /** An agent as a host has it, but that its token comes from memory and not from a file. */
  startAgent(name: WorkloadName, socket: string): Promise<RunningAgent> {
    const workload = partsOf(name);
    const [own, other = own] = this.#cas;
    const ca = this.#ofOtherCa.has(name) ? other! : own!;
    const { privateKeyPem } = this.#tokenKey;
    return startAgent({
      workload,
      socket: { path: socket, mode: 0o600, uids: [] },
      ca: {
        address: `127.0.0.1:${ca.ports.ca}`,
        serverName: ISTIO_CA_NAME,
        root: { pem: ca.rootPem },
      },
      token: { get: () => signToken({ ...workload, privateKeyPem, ttlMs: TOKEN_LIFE_MS }) },
      certificate: { ttlMs: DAY_MS, key: 'ecdsa-p256', renewAt: 0.5, jitter: 0.01 },
      trustBundleFile: null,
      readiness: null,
      log: this.#log,
    });
  }

  /** Remembers its key, also when there is a newer one. */
  note(name: WorkloadName, secret: WorkloadSecret): void {
    this.#keys.set(secret.keyPem, `the agent of ${name}`);
  }

  /** Every key that was noted or made here. */
  heldKeys(): readonly HeldKey[] {
    return [...this.#keys].map(([pem, of]) => ({ of, pem }));
  }

  async close(): Promise<void> {
    await Promise.all(this.#cas.map((ca) => ca.close()));
  }
}

function openCa(authority: Authority, tokenKey: TokenKeyPair, log: Log): Promise<RunningCa> {
  return startCa({
    listen: { bind: '127.0.0.1', port: 0, names: [] },
    trustDomain: TRUST_DOMAIN,
    rootFolder: null,
    authority,
    key: 'ecdsa-p256',
    ttl: { defaultMs: DAY_MS, maxMs: 90 * DAY_MS },
    tokens: [
      {
        issuer: DEVELOPMENT_ISSUER,
        publicKey: { pem: tokenKey.publicKeyPem },
        audiences: [DEFAULT_AUDIENCE],
      },
    ],
    admin: null,
    log,
  });
}

async function issue(
  authority: Authority,
  life: { readonly notBefore?: Date; readonly notAfter?: Date },
): Promise<Credentials> {
  const { chainPem, privateKeyPem } = await authority.issueWithKey({ spiffeId: CLIENT_ID, ...life });
  return { chainPem, keyPem: privateKeyPem };
}
