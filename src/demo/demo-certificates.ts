/**
 * Development certificates of the demo: an authority for its mesh, a sidecar's certificate that can be swapped,
 * and clients good and bad. The authority's own key never leaves memory.
 */
import { createAuthority } from '../identity/authority.ts';
import type { Authority, KeyedLeaf } from '../identity/authority.ts';
import { CLIENT_ID, SERVER_ID, TRUST_DOMAIN } from './demo-documents.ts';
import type { DemoFolder } from './demo-folder.ts';

/** A client's certificate, and where it lies for who wants to try it by hand. */
export interface Credentials {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly certificateFile: string;
  readonly privateKeyFile: string;
}

export interface DemoClients {
  readonly sleep: Credentials;
  readonly expired: Credentials;
  /** Of an authority that says the same names with another key. */
  readonly otherCa: Credentials;
}

const DAY_MS = 86_400_000;

export class DemoCertificates {
  readonly clients: DemoClients;
  readonly #folder: DemoFolder;
  readonly #authority: Authority;

  private constructor(folder: DemoFolder, authority: Authority, clients: DemoClients) {
    this.#folder = folder;
    this.#authority = authority;
    this.clients = clients;
  }

  /** Makes everything and writes the files that postern.yaml names. */
  static async create(folder: DemoFolder): Promise<DemoCertificates> {
    const nowMs = Date.now();
    // Older than the expired certificate, which would have no time to be valid in otherwise.
    const authority = await createAuthority({
      trustDomain: TRUST_DOMAIN,
      notBefore: new Date(nowMs - 3 * DAY_MS),
    });
    const stranger = await createAuthority({ trustDomain: TRUST_DOMAIN });
    folder.write('root-cert.pem', authority.rootPem);
    const yesterday = { notBefore: new Date(nowMs - 2 * DAY_MS), notAfter: new Date(nowMs - DAY_MS) };
    const certificates = new DemoCertificates(folder, authority, {
      sleep: save(folder, 'sleep', await authority.issueWithKey({ spiffeId: CLIENT_ID })),
      expired: save(folder, 'expired', await authority.issueWithKey({ spiffeId: CLIENT_ID, ...yesterday })),
      otherCa: save(folder, 'other-ca', await stranger.issueWithKey({ spiffeId: CLIENT_ID })),
    });
    await certificates.swapServer();
    return certificates;
  }

  /** What clients verify the sidecar with. */
  get rootPem(): string {
    return this.#authority.rootPem;
  }

  /** Gives the sidecar a new key and certificate by rewriting its files; answers the serial, lower-case hex. */
  async swapServer(): Promise<string> {
    const leaf = await this.#authority.issueWithKey({ spiffeId: SERVER_ID });
    this.#folder.write('identity/key.pem', leaf.privateKeyPem, 0o600);
    this.#folder.write('identity/cert-chain.pem', leaf.chainPem);
    return leaf.serial;
  }
}

function save(folder: DemoFolder, name: string, leaf: KeyedLeaf): Credentials {
  return {
    certificatePem: leaf.chainPem,
    privateKeyPem: leaf.privateKeyPem,
    certificateFile: folder.write(`clients/${name}.pem`, leaf.chainPem),
    privateKeyFile: folder.write(`clients/${name}.key`, leaf.privateKeyPem, 0o600),
  };
}
