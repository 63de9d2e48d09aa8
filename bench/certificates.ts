/**
 * The benchmark's own little PKI in a folder: a mesh CA, the server's and the client's SVID, and a foreign CA's client.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from '../src/identity/authority.ts';
import type { Authority } from '../src/identity/authority.ts';

export const SERVER_URI = 'spiffe://cluster.local/ns/foo/sa/httpbin';
export const CLIENT_URI = 'spiffe://cluster.local/ns/foo/sa/sleep';

export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Paths of PEM files. */
export interface Certificates {
  readonly roots: string;
  readonly server: CertificateFiles;
  /** Certificate and key of the server in one file, as HAProxy wants them. */
  readonly serverBundle: string;
  readonly client: CertificateFiles;
  /** A client with the right name from a CA that nobody trusts. */
  readonly foreign: CertificateFiles;
}

async function writeLeaf(
  folder: string,
  name: string,
  authority: Authority,
  spiffeId: string,
): Promise<CertificateFiles> {
  const leaf = await authority.issueWithKey({ spiffeId });
  const files = { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  writeFileSync(files.certificate, leaf.chainPem);
  writeFileSync(files.key, leaf.privateKeyPem, { mode: 0o600 });
  return files;
}

/** Writes everything into `folder`, which the caller owns and removes. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const mesh = await createAuthority({ trustDomain: 'cluster.local' });
  const foreign = await createAuthority({ trustDomain: 'cluster.local' });
  const roots = join(folder, 'roots.crt');
  writeFileSync(roots, mesh.rootPem);
  const server = await writeLeaf(folder, 'server', mesh, SERVER_URI);
  const serverBundle = join(folder, 'server-bundle.pem');
  const parts = [server.certificate, server.key].map((file) => readFileSync(file, 'utf8'));
  writeFileSync(serverBundle, parts.join(''), { mode: 0o600 });
  return {
    roots,
    server,
    serverBundle,
    client: await writeLeaf(folder, 'client', mesh, CLIENT_URI),
    foreign: await writeLeaf(folder, 'foreign-client', foreign, CLIENT_URI),
  };
}
